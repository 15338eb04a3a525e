"""Miniature files in the publishers' own layouts, written by the tests that read them.

Five lines stand in GDSC and four in CCLE; Hs 578T and TT in both. TT (thyroid) and T-T (oesophagus) are different lines. The
largest tested dose of Olaparib is 10 µM, that of Lapatinib 1 µM.
"""

import gzip
import math
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

from tests.support.raw_files import write_rows

GDSC_LINES = {"906826": "A-1", "905957": "Hs-578-T", "930299": "TT", "1299064": "T-T", "753531": "BB30-HNC"}
CCLE_LINES = {"HS578T_BREAST": "Hs 578T", "TT_THYROID": "TT", "B2_LUNG": "B2", "T47D_BREAST": "T-47D"}
DRUGS = {"Olaparib": ("1017", 10.0), "Lapatinib": ("1558", 1.0)}
SMILES = {"Olaparib": "CCO", "Lapatinib": "c1ccccc1", "Erlotinib": "CCN"}
DOSE_RESPONSE_HEADER = [
    "DATASET",
    "NLME_RESULT_ID",
    "NLME_CURVE_ID",
    "COSMIC_ID",
    "CELL_LINE_NAME",
    "SANGER_MODEL_ID",
    "TCGA_DESC",
    "DRUG_ID",
    "DRUG_NAME",
    "PUTATIVE_TARGET",
    "PATHWAY_NAME",
    "COMPANY_ID",
    "WEBRELEASE",
    "MIN_CONC",
    "MAX_CONC",
    "LN_IC50",
    "AUC",
    "RMSE",
    "Z_SCORE",
]
NP24_HEADER = [
    "CCLE Cell Line Name",
    "Primary Cell Line Name",
    "Compound",
    "Target",
    "Doses (uM)",
    "Activity Data (median)",
    "Activity SD",
    "Num Data",
    "FitType",
    "EC50 (uM)",
    "IC50 (uM)",
    "Amax",
    "ActArea",
]


def dose_response_rows() -> list[list[Any]]:
    """IC50 of line n and drug d is 2^(n + 2 d) / 2 µM: 0.5, 1, 2, 4, 8 of Olaparib, 2, 4, 8, 16, 32 of Lapatinib (top 1)."""
    rows: list[list[Any]] = []
    for n, (cosmic, name) in enumerate(GDSC_LINES.items()):
        for d, (drug, (drug_id, top)) in enumerate(DRUGS.items()):
            ln_ic50 = math.log(2 ** (n + 2 * d) / 2)
            start = [
                "GDSC2",
                343,
                15946320 + len(rows),
                cosmic,
                name,
                f"SIDM0{n}",
                "BRCA",
                drug_id,
                drug,
                "PARP1",
                "DNA",
                1046,
            ]
            rows.append([*start, "Y", top / 1000, top, ln_ic50, 0.9 - 0.1 * n, 0.07, 0.2])
    return rows


def write_xlsx(path: Path, rows: list[list[object]]) -> Path:
    """One sheet; the first row is the header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def write_gdsc(folder: Path) -> None:
    """The files of conf/screen/gdsc2.yaml; 905957 has two arrays, one row no symbol, and RARA stands twice."""
    numbers = [[float(v) if i in (3, 7, 13, 14, 15, 16) else v for i, v in enumerate(row)] for row in dose_response_rows()]
    write_xlsx(folder / "GDSC2_fitted_dose_response_27Oct23.xlsx", [list(DOSE_RESPONSE_HEADER), *numbers])
    arrays = [f"DATA.{cosmic}" for cosmic in GDSC_LINES] + ["DATA.905957.1"]
    genes = {"TSPAN6": 1.0, "TP53": 2.0, "": 9.0, "RARA": 4.0, "EGFR": 5.0}
    rows = [[gene, f"{gene} title", *(base + n / 8 for n in range(6))] for gene, base in genes.items()]
    rows.append(["RARA", "RARA title", *(6 + n / 8 for n in range(6))])
    write_rows(folder / "Cell_line_RMA_proc_basalExp.txt", ["GENE_SYMBOLS", "GENE_title", *arrays], rows, "\t")
    compounds = [[drug_id, "SANGER", name, f"{name} B.V., KU-1", "PARP1", "DNA"] for name, (drug_id, _) in DRUGS.items()]
    header = ["DRUG_ID", "SCREENING_SITE", "DRUG_NAME", "SYNONYMS", "TARGET", "TARGET_PATHWAY"]
    write_rows(folder / "screened_compounds_rel_8.5.csv", header, compounds)
    details: list[list[object]] = [
        ["Sample Name", "COSMIC identifier", "GDSC\nTissue descriptor 1", "Cancer Type\n(matching TCGA label)"]
    ]
    details += [[name, float(cosmic), "tissue", "BRCA"] for cosmic, name in GDSC_LINES.items()]
    details[-1][3] = "UNABLE TO CLASSIFY"
    write_xlsx(folder / "Cell_Lines_Details.xlsx", [*details, ["TOTAL:", None, None, None]])


def np24_rows() -> list[list[object]]:
    """IC50 of line n and compound d is min(8, 0.5 · 4^n) µM; the last curve ends at 2.53 µM, as does its IC50."""
    doses = ".0025,.0080,.025,.080,.25,.80,2.53,8"
    rows: list[list[object]] = []
    for n, name in enumerate(CCLE_LINES):
        for d, drug in enumerate(DRUGS):
            short = n == 3 and d == 1
            tops = doses.rsplit(",", 1)[0] if short else doses
            vector = ",".join(str(-k) for k in range(len(tops.split(","))))
            ic50 = 2.53 if short else min(8, 0.5 * 4**n)
            fit = ["Sigmoid", 6.5 + 2 * n, ic50] if n < 3 else ["Constant", "NA", ic50]
            rows.append(
                [name, name.split("_")[0], drug, "PARP", tops, vector, vector, len(tops.split(",")), *fit, -40 - n, 0.5 + n]
            )
    return rows


def write_gct(path: Path, names: list[str], columns: list[str]) -> Path:
    """Genes × lines; gene g of line n is 2^g + n."""
    path.parent.mkdir(parents=True, exist_ok=True)
    symbols = ["TSPAN6", "TP53", "RARA", "EGFR"]
    lines = ["#1.2", f"{len(names)}\t{len(columns)}", "\t".join(["Name", "Description", *columns])]
    for g, (name, symbol) in enumerate(zip(names, symbols, strict=True)):
        lines.append("\t".join([name, symbol, *(str(2**g + n) for n in range(len(columns)))]))
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        file.write("\n".join(lines) + "\n")
    return path


ENSEMBL = ["ENSG00000000003.10", "ENSG00000141510.11", "ENSG00000131759.13", "ENSG00000146648.11"]
ENTREZ = ["7105_at", "7157_at", "5914_at", "1956_at"]


def write_ccle(folder: Path) -> None:
    """The files of conf/screen/ccle.yaml."""
    write_rows(folder / "CCLE_NP24.2009_Drug_data_2015.02.24.csv", NP24_HEADER, np24_rows())
    columns = [f"{name} (ACH-00000{n})" for n, name in enumerate(CCLE_LINES)]
    write_gct(folder / "CCLE_RNAseq_genes_rpkm_20180929.gct.gz", ENSEMBL, columns)
    rows = [[ccle, f"ACH-00000{n}", name, "lung", "BRCA"] for n, (ccle, name) in enumerate(CCLE_LINES.items())]
    header = ["CCLE_ID", "depMapID", "Name", "Site_Primary", "tcga_code"]
    write_rows(folder / "Cell_lines_annotations_20181226.txt", header, rows, "\t")


def write_depmap(folder: Path) -> None:
    """The files of conf/screen/ccle_depmap.yaml."""
    header = ["", "TSPAN6 (7105)", "TP53 (7157)", "RARA (5914)", "EGFR (1956)"]
    rows = [[f"ACH-00000{n}", 1 + n, 2.5, 3.5, 4.5 - n] for n in range(4)]
    write_rows(folder / "OmicsExpressionProteinCodingGenesTPMLogp1.csv", header, rows)
    header = ["ModelID", "PatientID", "CellLineName", "StrippedCellLineName", "OncotreeLineage", "CCLEName", "COSMICID"]
    models = [
        [f"ACH-00000{n}", f"PT-{n}", name, name.replace("-", ""), "Breast", ccle, ""]
        for n, (ccle, name) in enumerate(CCLE_LINES.items())
    ]
    models.append(["ACH-003000", "PT-9", "Organoid 9", "ORGANOID9", "Bowel", "", ""])  # stands outside CCLE
    write_rows(folder / "Model.csv", header, models)


def write_smiles(path: Path) -> None:
    """The table that fetching structures from PubChem leaves."""
    write_rows(path, ["query", "cid", "smiles"], [[name, "1", smiles] for name, smiles in SMILES.items()])


def write_coderdata(folder: Path) -> None:
    """Two studies over three samples, four genes (one missing in a sample) and two drugs, one with a synonym.

    Line 3 is too resistant to olaparib for its flat curve to have an IC50.
    """
    genes = {"7105": "TSPAN6", "7157": "TP53", "5914": "RARA", "1956": "EGFR"}
    write_rows(
        folder / "genes.csv",
        ["entrez_id", "gene_symbol", "other_id", "other_id_source"],
        [[entrez, symbol, f"{symbol}-{k}", "ensembl_gene"] for entrez, symbol in genes.items() for k in range(2)],
    )
    for study, shift in (("GDSCv2", 0.0), ("CTRPv2", 0.125)):
        prefix = study.lower()
        write_rows(
            folder / f"{prefix}_samples.csv",
            ["common_name", "cancer_type", "other_names", "species", "other_id_source", "other_id", "improve_sample_id"],
            [
                [f"Line {n}", "Breast", other, "Homo sapiens (Human)", source, f"{source}-{n}", n]
                for n in (1, 2, 3)
                for other in (f"L{n}", f"L-{n}")
                for source in ("DepMap", "Sanger")
            ],
        )
        write_rows(
            folder / f"{prefix}_transcriptomics.csv",
            ["entrez_id", "improve_sample_id", "transcriptomics", "source", "study"],
            [[e, s, g + 2**s, "Broad", "DepMap"] for g, e in enumerate(genes) for s in (1, 2, 3) if (e, s) != ("1956", 3)],
        )
        write_rows(
            folder / f"{prefix}_drugs.tsv",
            ["improve_drug_id", "chem_name", "pubchem_id", "canSMILES", "isoSMILES", "InChIKey", "formula", "weight"],
            [
                ["SMI_1", "olaparib", 1, SMILES["Olaparib"], "", "", "", 1],
                ["SMI_1", "ku-0059436", 1, SMILES["Olaparib"], "", "", "", 1],
                ["SMI_2", "lapatinib", 2, SMILES["Lapatinib"], "", "", "", 1],
            ],
            "\t",
        )
        metrics = {"fit_ic50": 5 + shift, "fit_auc": 0.2 + shift, "aac": 0.1 + shift, "fit_r2": 0.9}
        rows = [
            ["pharmacoGX", sample, f"SMI_{drug}", study, 72, "hours", metric, value + sample / 8 + drug / 4]
            for sample in (1, 2, 3)
            for drug in (1, 2)
            for metric, value in metrics.items()
        ]
        rows[2 * 2 * len(metrics)][-1] = -31.5
        header = ["source", "improve_sample_id", "improve_drug_id", "study", "time", "time_unit"]
        header += ["dose_response_metric", "dose_response_value"]
        write_rows(folder / f"{prefix}_experiments.tsv", header, rows, "\t")
    for name in ("*_transcriptomics.csv", "*_drugs.tsv", "*_experiments.tsv", "genes.csv"):
        for path in list(folder.glob(name)):
            (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()


def write_hgnc(path: Path) -> Path:
    """HGNC's complete set: TP53 was P53; "AGS" is an alias of two genes."""
    frame = pd.DataFrame(
        {
            "hgnc_id": ["HGNC:11998", "HGNC:3236", "HGNC:1", "HGNC:2"],
            "symbol": ["TP53", "EGFR", "ADGRE5", "TREX1"],
            "alias_symbol": ["p53|LFS1", "ERBB1", "AGS", "AGS|DRN3"],
            "prev_symbol": ["P53", "ERBB", "CD97", ""],
            "entrez_id": [7157, 1956, 976, 11277],
            "ensembl_gene_id": ["ENSG00000141510", "ENSG00000146648", "ENSG00000123146", "ENSG00000213689"],
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, sep="\t", index=False)
    return path
