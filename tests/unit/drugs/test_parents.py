"""Which drawings are one drug once salt, solvent and charge are left out."""

import pytest

from dadsp.drugs.parents import is_mixture, parent_of
from dadsp.drugs.structures import structure_keys

ERLOTINIB = "COCCOc1cc2ncnc(Nc3cccc(C#C)c3)c2cc1OCCOC"
IMATINIB = "CN1CCN(Cc2ccc(cc2)C(=O)Nc2ccc(C)c(Nc3nccc(n3)-c3cccnc3)c2)CC1"
VALPROATE = "CCCC(CCC)C(=O)O"

SAME = {
    "hydrochloride": [ERLOTINIB, f"{ERLOTINIB}.Cl", f"Cl.{ERLOTINIB}", "COCCOc1cc2nc[nH+]c(Nc3cccc(C#C)c3)c2cc1OCCOC.[Cl-]"],
    "hydrate, sulfate of two": [ERLOTINIB, f"{ERLOTINIB}.O", f"{ERLOTINIB}.{ERLOTINIB}.OS(O)(=O)=O"],
    "mesylate": [IMATINIB, f"{IMATINIB}.CS(=O)(=O)O", f"{IMATINIB}.CS(=O)(=O)[O-].[Na+]"],
    "metal salts of an acid": [
        *(VALPROATE, "CCCC(CCC)C(=O)[O-].[Na+]", "CCCC(CCC)C(=O)O[Na]", "CCCC(CCC)C(=O)[O-]"),
        *("CCCC(CCC)C(=O)[O-].CCCC(CCC)C(=O)[O-].[Mg+2]", "CCCC(CCC)C(=O)[O-].[K+]", "CCCC(CCC)C(=O)[O-].[Cs+]"),
    ],
    "zwitterion": ["NCC(=O)O", "[NH3+]CC(=O)[O-]"],
    "partner of no known kind, of less than half the drug's size": [ERLOTINIB, f"{ERLOTINIB}.CCCN"],
    "partner larger than the drug": ["NCCS", "NCCS.OC(C(O)C(O)=O)C(O)=O"],
    "two halides of a cation": ["C[N+](C)(C)CCCC", "C[N+](C)(C)CCCC.[Cl-]", "C[N+](C)(C)CCCC.[Br-]"],
    "both mirror images": ["CC(N)C(O)=O", "C[C@H](N)C(O)=O.C[C@@H](N)C(O)=O"],
    "nitro groups": ["O=N(=O)c1ccccc1", "O=[N+]([O-])c1ccccc1"],
    "cisplatin": [
        *("N.N.Cl[Pt]Cl", "[NH3][Pt](Cl)(Cl)[NH3]", "[NH3+][Pt-2](Cl)(Cl)[NH3+]", "N.N.[Cl-].[Cl-].[Pt+2]"),
        *("[NH3]->[Pt](Cl)(Cl)<-[NH3]", "[H][N]([H])([H])[Pt](Cl)(Cl)[N]([H])([H])[H]", "[NH2-].[NH2-].Cl[Pt+2]Cl"),
        "[NH3+][Pt@SP2-2](Cl)(Cl)[NH3+]",  # transplatin: InChI has no geometry of metals
    ],
    "carboplatin": ["N.N.O=C1O[Pt]OC(=O)C12CCC2", "C1CC(C1)(C(=O)O)C(=O)O.[NH2-].[NH2-].[Pt+2]"],
    "oxaliplatin": ["C1CCC(C(C1)[NH-])[NH-].C(=O)(C(=O)O)O.[Pt+2]", "[NH2]1C2CCCCC2[NH2][Pt]13OC(=O)C(=O)O3"],
}

DIFFERENT = {
    **{name: drawings[0] for name, drawings in SAME.items() if name.endswith("platin")},
    **{"ammonia": "N", "hydrochloric acid": "Cl", "platinum": "[Pt]", "oxalic acid": "OC(=O)C(O)=O"},
    "tetrachloride": "N.N.Cl[Pt](Cl)(Cl)Cl",
    "auranofin": "CCP(=[Au]SC1OC(COC(C)=O)C(OC(C)=O)C(OC(C)=O)C1OC(C)=O)(CC)CC",
    "its thiol": "SC1OC(COC(C)=O)C(OC(C)=O)C(OC(C)=O)C1OC(C)=O",
    "arsenic trioxide": "O=[As]O[As]=O",
    **{
        "lithium chloride": "[Li+].[Cl-]",
        "sodium chloride": "[Na+].[Cl-]",
        "lithium carbonate": "[Li+].[Li+].[O-]C([O-])=O",
    },
    "bortezomib": "B(C(CC(C)C)NC(=O)C(Cc1ccccc1)NC(=O)c1cnccn1)(O)O",
    "its amide": "CC(C)CCNC(=O)C(Cc1ccccc1)NC(=O)c1cnccn1",
    **{"ferrocene": "[CH-]1C=CC=C1.[CH-]1C=CC=C1.[Fe+2]", "zinc pyrithione": "[O-]n1ccccc1=S.[O-]n1ccccc1=S.[Zn+2]"},
    **{"pyrithione": "On1ccccc1=S", "erlotinib": ERLOTINIB, "imatinib": IMATINIB, "both": f"{ERLOTINIB}.{IMATINIB}"},
}


@pytest.mark.parametrize("drug", SAME)
def test_drawings_of_one_drug_have_one_key(drug: str) -> None:
    drawings = SAME[drug]
    assert len(set(structure_keys(drawings, drawings, "parent"))) == 1


def test_drugs_that_are_not_one_keep_their_keys() -> None:
    drawings = list(DIFFERENT.values())
    assert len(set(structure_keys(drawings, drawings, "parent"))) == len(drawings)


def test_told_as_written_a_salt_is_another_drug() -> None:
    one, other = structure_keys([ERLOTINIB, f"{ERLOTINIB}.Cl"], ["a", "b"])
    assert one != other


@pytest.mark.parametrize(
    "smiles", [ERLOTINIB, "NCC(=O)O", "O=[N+]([O-])c1ccccc1", "O=[As]O[As]=O", f"{ERLOTINIB}.{IMATINIB}"]
)
def test_a_structure_that_is_its_own_parent_has_no_other(smiles: str) -> None:
    assert parent_of(smiles) is None


def test_an_inorganic_salt_keeps_all_its_parts() -> None:
    assert parent_of("[Na+].[Cl-]") == "Cl.[Na]"
    assert parent_of("O.O") is None


def test_the_parent_keeps_stereochemistry_and_isotopes() -> None:
    assert parent_of("[2H]C([2H])([2H])O[C@@H](C)CN.Cl") == "[2H]C([2H])([2H])O[C@@H](C)CN"


def test_parts_of_like_size_are_a_mixture_and_partners_are_not() -> None:
    assert is_mixture(f"{ERLOTINIB}.{IMATINIB}")
    assert not is_mixture(f"{ERLOTINIB}.Cc1ccc(cc1)S(O)(=O)=O")
    assert not is_mixture("N.N.Cl[Pt]Cl")
