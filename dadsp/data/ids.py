"""Which lines and which drugs of two tables are the same: by id table, by name, by PubChem CID."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from dadsp.data.problems import refuse
from dadsp.drugs.structures import structure_keys
from dadsp.errors import SchemaError, examples
from dadsp.schema import Note

MatchBy = Literal["id", "name", "cid"]

# Different lines whose names differ by a hyphen only: TT (thyroid) and T-T (oesophagus; DepMap writes T.T), KM-H2 (Hodgkin
# lymphoma) and KMH-2 (thyroid), MS-1 and MS1 (small-cell lung cancers under two DepMap ids). Of these the name must agree
# to the place of the hyphen.
PUNCTUATION_DECIDES = {"TT", "KMH2", "MS1"}


def line_key(name: str) -> str:
    """The same text for every spelling of a line's name ("DMS 53", "DMS-53", "dms53"), but not for TT and T-T."""
    plain = unicodedata.normalize("NFKC", name).strip().upper()
    bare = bare_line_key(name)
    return re.sub(r"[\W_]+", "-", plain) if bare in PUNCTUATION_DECIDES else bare


def bare_line_key(name: str) -> str:
    """A line's name without case, blanks and punctuation, also where these tell lines apart."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).strip().upper())


def drug_key(name: str) -> str:
    """The same text for every spelling of a drug's name ("PD-0325901", "PD 0325901", "pd0325901")."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())


def line_keys(names: Sequence[str | None], where: str) -> tuple[str | None, ...]:
    """The key of each line's name; None where it has none.

    Args:
        names: One name per line.
        where: What holds them, for an error.

    Raises:
        SchemaError: Different names have one key; the message lists them.
    """
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    keys = tuple(line_key(name) or None if name is not None else None for name in names)
    for key, name in zip(keys, names, strict=True):
        if key is not None:
            spellings[key].append(str(name))
    _refuse_shared({key: names for key, names in spellings.items() if len(names) > 1}, "line names", where)
    return keys


def one_to_one(pairs: pd.DataFrame, where: str) -> dict[str, str]:
    """First column → second, of a table of two columns of ids; rows that lack either are left out.

    Raises:
        SchemaError: An id of either column belongs to several of the other; the message lists them.
    """
    known = pairs.dropna().drop_duplicates()
    for own, other in ((0, 1), (1, 0)):
        groups = known.groupby(known.iloc[:, own])[known.columns[other]].agg(list)
        shared = {str(key): names for key, names in groups.items() if len(names) > 1}
        _refuse_shared(shared, f"{known.columns[other]}s", where)
    return dict(zip(known.iloc[:, 0], known.iloc[:, 1], strict=True))


def structures_of(
    drugs: pd.DataFrame, table: pd.DataFrame, by: MatchBy, where: str
) -> tuple[tuple[str | None, ...], tuple[Note, ...]]:
    """SMILES of each drug from a table of structures, and notes on those that it lacks.

    By name, a drug's own name goes before its synonyms.

    Args:
        drugs: Columns ``drug_id`` and, as ``by`` needs, ``name``, ``synonyms`` (comma-separated), ``cid``.
        table: Columns ``key`` and ``smiles``, some of them empty.
        by: What ``key`` holds.
        where: What holds the table, for an error.

    Raises:
        SchemaError: A key has several structures, or a drug's synonyms lead to several; the message lists them.
    """
    usable = table.dropna()
    keys = usable["key"].map(drug_key) if by == "name" else usable["key"]
    choices: defaultdict[str, dict[str | None, str]] = defaultdict(dict)  # key → structure → a SMILES of it
    skeletons = structure_keys(tuple(usable["smiles"]), tuple(usable["key"]))
    for key, skeleton, text in zip(keys, skeletons, usable["smiles"], strict=True):
        choices[key].setdefault(skeleton, text)
    _refuse_shared({key: list(found.values()) for key, found in choices.items() if len(found) > 1}, "structures", where)
    smiles = {key: next(iter(found.values())) for key, found in choices.items()}
    if by != "name":
        column = "drug_id" if by == "id" else "cid"
        found = [smiles.get(str(key)) for key in drugs[column]]
    else:
        found = [_by_name(str(row["name"]), row.get("synonyms"), smiles, where) for _, row in drugs.iterrows()]
    missing = [str(name) for name, text in zip(drugs.get("name", drugs["drug_id"]), found, strict=True) if text is None]
    notes = (Note(f"drugs without a structure in {Path(where).name}", len(missing), examples(missing)),) if missing else ()
    return tuple(found), notes


def _by_name(name: str, synonyms: object, smiles: Mapping[str, str], where: str) -> str | None:
    own = smiles.get(drug_key(name))
    if own is not None or not isinstance(synonyms, str):
        return own
    reached = {other.strip(): smiles[drug_key(other)] for other in synonyms.split(",") if drug_key(other) in smiles}
    if len(set(reached.values())) > 1:
        _refuse_shared({name: list(reached)}, "structures by synonym", where)
    return next(iter(reached.values()), None)


def _refuse_shared(groups: Mapping[str, Collection[str]], what: str, where: str) -> None:
    if groups:
        shown = [f"{key}: {' / '.join(names)}" for key, names in groups.items()]
        refuse(
            SchemaError(
                f"{where}: {len(groups)} ids have several {what} ({examples(shown)}). "
                "Correct the table, or name each line or drug in an id table of your own."
            )
        )
