"""By which structure drugs are told: as written, or by the parent, without salt, solvent and charge."""

import re
from functools import lru_cache
from typing import Any

from rdkit import Chem, rdBase

# Acids, bases and solvents with which drugs are sold, as neutral molecules; other small partners go by their size.
_PARTNERS = """
    O F Cl Br I N [HH] OO O=C=O OS(O)(=O)=O OP(O)(O)=O O[N+]([O-])=O OCl(=O)(=O)=O F[B-](F)(F)F F[P-](F)(F)(F)(F)F OB(O)O
    CS(O)(=O)=O CCS(O)(=O)=O OCCS(O)(=O)=O OS(=O)(=O)CCS(O)(=O)=O OS(=O)(=O)C(F)(F)F OS(=O)(=O)c1ccccc1
    Cc1ccc(S(O)(=O)=O)cc1 OS(=O)(=O)c1ccc2ccccc2c1 OS(=O)(=O)c1cccc2ccccc12 CC1(C)C2CCC1(CS(O)(=O)=O)C(=O)C2 NS(O)(=O)=O
    OC=O CC(O)=O OC(=O)C(F)(F)F CCC(O)=O OCC(O)=O CC(O)C(O)=O OC(=O)C(O)=O OC(=O)CC(O)=O OC(=O)CCC(O)=O OC(=O)C=CC(O)=O
    OC(=O)CC(O)C(O)=O OC(=O)C(O)C(O)C(O)=O OC(=O)CC(O)(CC(O)=O)C(O)=O OC(=O)CCCCC(O)=O OC(=O)c1ccccc1 OC(=O)c1ccccc1O
    OC(=O)C(O)c1ccccc1 OC(=O)CNC(=O)c1ccccc1 OCC(O)C(O)C(O)C(O)C(O)=O OC1OC(C(O)=O)C(O)C(O)C1O
    OCC1OC(OC(C(O)CO)C(O)C(O)C(O)=O)C(O)C(O)C1O OC(=O)c1ccc2ccccc2c1O
    OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(O)=O)cc3ccccc23)c1O NC(CC(O)=O)C(O)=O NC(CCC(O)=O)C(O)=O NCCCCC(N)C(O)=O
    NC(=N)NCCCC(N)C(O)=O CN CNC CCN(CC)CC CCNCC NCCO NC(CO)(CO)CO CNCC(O)C(O)C(O)C(O)CO C[N+](C)(C)CCO NCCN C1CNCCN1
    C1COCCN1 C1CCC(CC1)NC1CCCCC1 CO CCO CC(C)O OCCO CC(O)CO CC(C)=O CC#N CS(C)=O CN(C)C=O CCOC(C)=O ClCCl C1CCOC1
"""

_NOT_METALS = {1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 85, 86}  # semimetals too
_COUNTER_METALS = {11, 12, 19, 20, 37, 55}  # Na, Mg, K, Ca, Rb, Cs; lithium is a drug
_UNCHARGED = re.compile(r"\[\d*(H|B|C|N|O|F|Si|P|S|Cl|Br|I|[bcnops])(?![a-z])[^\]+-]*\]")  # atoms in brackets
CLOSE_IN_SIZE = 0.5  # of the largest part's heavy atoms: another part of so many is no partner of it


@lru_cache(maxsize=100_000)
def parent_of(smiles: str) -> str | None:
    """The SMILES of a structure's parent; None where the structure is its own.

    The parent is what remains without partners (acids, bases, solvents, alkali and alkaline earth ions), uncharged where
    protons do it. Parts of like size stay together, as in a mixture of two drugs. A complex of any other metal is a drug as
    a whole: its bonds to the metal are cut and all parts made neutral, so that drawings with bonds, dative bonds and charges
    have one parent. So have geometric isomers, such as cisplatin and transplatin, which InChI does not tell apart either.

    Args:
        smiles: A valid structure.
    """
    if "." not in smiles and "[" not in _UNCHARGED.sub("", smiles):  # most drugs
        return None
    with rdBase.BlockLogs():
        molecule: Any = Chem.MolFromSmiles(smiles)
        atoms = list(molecule.GetAtoms())
        metals = {atom.GetAtomicNum() for atom in atoms} - _NOT_METALS
        if not metals and "." not in smiles and not any(atom.GetFormalCharge() for atom in atoms):
            return None
        parts = _neutral_parts(_cut_from_metals(molecule, metals) if metals else molecule)
        kept = parts if metals - _COUNTER_METALS else _drug_among(parts)
        parent = Chem.MolFromSmiles(".".join(sorted(kept)))
        if parent is None or Chem.MolToInchiKey(parent) == Chem.MolToInchiKey(molecule) != "":
            return None
        return Chem.MolToSmiles(parent)


def is_mixture(smiles: str) -> bool:
    """Whether a valid structure holds several parts of like size, none of them a metal."""
    if "." not in (parent_of(smiles) or smiles):
        return False
    atoms = Chem.MolFromSmiles(smiles).GetAtoms()
    return all(atom.GetAtomicNum() in _NOT_METALS for atom in atoms)


def _cut_from_metals(molecule: Any, metals: set[int]) -> Any:
    """The molecule without bonds to metals; their former ends are neutral, with the hydrogens that this takes."""
    edited = Chem.RWMol(molecule)
    for bond in list(molecule.GetBonds()):
        ends = [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]
        if any(molecule.GetAtomWithIdx(end).GetAtomicNum() in metals for end in ends):
            edited.RemoveBond(*ends)
            for atom in map(edited.GetAtomWithIdx, ends):
                hydrogens = atom.GetTotalNumHs()
                atom.SetFormalCharge(0)
                atom.SetNoImplicit(False)
                atom.SetNumExplicitHs(hydrogens if atom.GetIsAromatic() else 0)
    for atom in edited.GetAtoms():
        if atom.GetAtomicNum() in metals:
            atom.SetFormalCharge(0)
            atom.SetNoImplicit(True)
            atom.SetNumExplicitHs(0)
            atom.SetNumRadicalElectrons(0)
    works = Chem.SanitizeMol(edited, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE
    return edited if works else molecule


def _neutral_parts(molecule: Any) -> list[str]:
    """Canonical SMILES of each part, uncharged where protons do it."""
    from rdkit.Chem.MolStandardize import rdMolStandardize  # slow to import, and few structures need it

    uncharger = rdMolStandardize.Uncharger()
    parts = []
    for part in Chem.GetMolFrags(molecule, asMols=True):
        neutral = Chem.MolToSmiles(uncharger.uncharge(part))
        parts.append(Chem.MolToSmiles(part) if Chem.MolFromSmiles(neutral) is None else neutral)  # PF6- takes no proton
    return parts


@lru_cache(maxsize=1)
def _partners() -> frozenset[str]:
    neutral = [_neutral_parts(Chem.MolFromSmiles(smiles))[0] for smiles in _PARTNERS.split()]
    symbol = Chem.GetPeriodicTable().GetElementSymbol
    return frozenset([_flat(smiles) for smiles in neutral] + [f"[{symbol(metal)}]" for metal in _COUNTER_METALS])


def _flat(smiles: str) -> str:
    """Without stereochemistry and isotopes."""
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles), isomericSmiles=False))


def _drug_among(parts: list[str]) -> list[str]:
    """The parts that are the drug, each once; all of them where none can be told from its partners."""
    different = list(dict.fromkeys(parts))
    organic = [part for part in different if re.search("C(?![a-z])|c", part)]
    drugs = [part for part in different if _flat(part) not in _partners()] or organic
    if not drugs or (len(drugs) > 1 and not organic):  # an inorganic salt
        return parts
    if len(drugs) > 1 and len(set(map(_flat, drugs))) == 1:  # both mirror images: the racemate
        return [_flat(drugs[0])]
    sizes = [Chem.MolFromSmiles(part).GetNumHeavyAtoms() for part in drugs]
    return [part for part, size in zip(drugs, sizes, strict=True) if size >= CLOSE_IN_SIZE * max(sizes)]
