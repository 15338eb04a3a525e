"""What a cell of a table says of a structure: one SMILES, nothing, or something else, which is then named."""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from rdkit import Chem, rdBase

MAX_SMILES = 2_500  # characters; insulin has some 1,100, and RDKit takes up to 1.4 s for so many, growing with the square

# What people write where there is nothing.
_WORDS = """
    - -- --- . / ? #n/a n/a na nan nil no none null various several multiple mixture missing unknown unavailable tba tbd
    confidential proprietary undisclosed withheld
"""
NO_ANSWER = frozenset(_WORDS.split()) | {
    *("no data", "no structure", "not applicable", "not available", "not disclosed", "not found")
}

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_MINUS = re.compile("[\u2010-\u2015\u2212]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_EXTENSION = re.compile(r"\|[^|]*\|")
_OPEN_EXTENSION = re.compile(r"Sg:|LN:|m:|RG:|_R\d|_AP\d|_e\b")  # polymers, link nodes, bonds that move, R groups

# Other ways to write what may be a compound, and what to call them.
_OTHERS = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"(?i)^InChI=", "an InChI"),
        (r"^(?![BCFINOPS]{14}$)[A-Z]{14}(-[A-Z]{10}(-[A-Z])?)?$", "an InChIKey"),  # fourteen C are an alkane
        (r"(?i)^((PubChem\s*)?CID\s*:?\s*)?\d+(\.0*)?$", "a PubChem CID"),
        (r"(?i)^(CHEMBL\d+|DB\d{5}|CHEBI:\d+|\d{2,7}-\d\d-\d)$", "an id"),
        (r"\n|V[23]000", "a mol block"),
        (r"\{", "a polymer"),
        (r"(?<!-)>", "a reaction"),
        (r"\[R['\d]*\]", "an R group"),
        (r"\[[^\]]*(#\d|[,;!&$]|[RXvD]\d)|~", "a SMARTS pattern"),
    )
)
_NAME = re.compile(r"(?<![\[a-z@])[a-z]*[adefghijkmqtuvwxyz][a-z]{2,}")


class Cell(NamedTuple):
    """What a cell says.

    Attributes:
        smiles: One structure, as RDKit is to read it; None where there is none.
        fault: Why what is there cannot be used, "" where no more is known than that; None where it can, or where the cell
            says that there is nothing.
        repaired: What was taken away or replaced; "" for nothing.
    """

    smiles: str | None
    fault: str | None = None
    repaired: str = ""


@lru_cache(maxsize=100_000)  # the sources of one study name the same drugs
def read_cell(text: str) -> Cell:
    """The structure that a cell holds.

    RDKit takes what stands before white space and forgets the rest. Here only a CXSMILES extension may follow a SMILES; with
    a name or another SMILES it could be either, and the cell is at fault. Open places (``*``, R groups) and bonds of any
    order are at fault too, since they stand for many structures.
    """
    plain = _MINUS.sub("-", _INVISIBLE.sub("", text)).translate(_FULL_WIDTH).strip()
    if plain.casefold() in NO_ANSWER:
        return Cell(None)
    bare = plain.strip("\"'`").rstrip(",; \t")
    if not bare:
        return Cell(None)
    smiles, rest = (*bare.split(maxsplit=1), "", "")[:2]
    extension = _EXTENSION.fullmatch(rest)
    if extension and _OPEN_EXTENSION.search(rest):
        return Cell(None, f"its extension {rest[:30]} leaves places open, so that it stands for many structures")
    fault = _fault(smiles if extension else bare, bool(rest and not extension))
    if fault is not None:
        return Cell(None, fault)
    done = {
        "typographic or invisible characters": plain != text.strip(),
        "quotes, commas or semicolons around it": bare != plain,
        "a CXSMILES extension": bool(extension),
    }
    return Cell(smiles, None, ", ".join(what for what, was_done in done.items() if was_done))


def _fault(text: str, parted: bool) -> str | None:
    """Why a text without extension is not one structure, "" where RDKit does not say; None where it is one."""
    if len(text) > MAX_SMILES:
        return f"{len(text):,} characters, and no drug has more than {MAX_SMILES:,}"
    for pattern, what in _OTHERS:
        if pattern.search(text):
            return what
    if parted:
        return "something after white space: a name, or a second structure"
    if _NAME.search(text):
        return "a name"
    if not text.isprintable() or not text.isascii():
        return "a character that no SMILES has"
    with rdBase.BlockLogs():  # RDKit writes its own multi-line complaint for each failure
        molecule: Any = Chem.MolFromSmiles(text)
    if molecule is None:
        return _reason(text)
    if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
        return "places left open (*), so that it stands for many structures"
    return None


def _reason(text: str) -> str:
    """Why RDKit refuses a text, as far as that helps to correct it."""
    with rdBase.BlockLogs():
        molecule: Any = Chem.MolFromSmiles(text, sanitize=False)
        problem = next(iter(Chem.DetectChemistryProblems(molecule)), None) if molecule is not None else None
        upper = re.sub("CL|BR", lambda found: found[0].capitalize(), text)
        if molecule is None and upper != text and Chem.MolFromSmiles(upper) is not None:
            return "Cl and Br are written so"
    if problem is None:
        return ""
    kind = problem.GetType()
    if kind == "KekulizeException":
        return "an aromatic ring that does not work out; a pyrrole's nitrogen is [nH]"
    if kind == "AtomKekulizeException":
        return "an aromatic atom, in small letters, outside a ring"
    atom = molecule.GetAtomWithIdx(problem.GetAtomIdx())
    return f"too many bonds at atom {problem.GetAtomIdx() + 1}, {atom.GetSymbol()}, or its charge left out"
