"""Miniature raw files of two screens, written by the tests that read them."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

# Source: 5 lines × 4 genes × 4 drugs (one without structure), ln µM. Target: 4 lines × 4 genes × 3 drugs, µM capped at 8;
# its responses go by name, its expression by id; one response name has no expression. Lines L2, L3 and the drugs
# ethanol and benzene stand in both.
SOURCE_LINES = ("1001", "1002", "1003", "1004", "1005")
SOURCE_DRUGS = {"11": "ethanol", "12": "benzene", "13": "acetic acid", "14": "secret"}
SMILES = {"ethanol": "CCO", "benzene": "c1ccccc1", "acetic acid": "CC(=O)O", "secret": "", "pyridine": "c1ccncc1"}
TARGET_LINES = {"A-1": "ALPHA", "A-2": "BETA", "A-3": "GAMMA", "A-4": "DELTA"}
TARGET_DRUGS = ("ethanol", "benzene", "pyridine")


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]], delimiter: str = ",") -> Path:
    """A delimited text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
    return path


def edit(path: Path, old: str, new: str) -> None:
    """Replaces the one place where ``old`` stands in a text file."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def write_source(folder: Path) -> dict[str, Any]:
    """Writes the source screen's files and returns the options that read them, paths from ``folder``'s parent on."""
    write_rows(
        folder / "expression.csv",
        ["line", "TP53", "EGFR", "KRAS", "MYC"],
        [[line, row + 0.5, 2 * row, 3.25 - row, 7] for row, line in enumerate(SOURCE_LINES)],
    )
    write_rows(
        folder / "responses.csv",
        ["line", "drug", "ln_ic50"],
        [[line, drug, 4 - row - 1.5 * n] for row, line in enumerate(SOURCE_LINES) for n, drug in enumerate(SOURCE_DRUGS)],
    )
    write_rows(
        folder / "drugs.csv",
        ["drug", "name", "smiles", "target"],
        [[drug, name, SMILES[name], "ADH1A" if name == "ethanol" else ""] for drug, name in SOURCE_DRUGS.items()],
    )
    write_rows(
        folder / "cells.csv",
        ["line", "link", "tissue"],
        [["1001", "L1", "lung"], ["1002", "L2", "lung"], ["1003", "L3", "skin"], ["1004", "", ""], ["1005", "L5", "skin"]],
    )
    return {
        "name": "SRC",
        "expression": {"path": f"{folder.name}/expression.csv", "id_column": "line"},
        "responses": {
            "path": f"{folder.name}/responses.csv",
            "columns": {"cell_id": "line", "drug_id": "drug", "value": "ln_ic50"},
            "unit": "ln_um",
        },
        "drugs": {
            "path": f"{folder.name}/drugs.csv",
            "columns": {"drug_id": "drug", "name": "name", "smiles": "smiles", "target": "target"},
        },
        "cells": {
            "path": f"{folder.name}/cells.csv",
            "columns": {"cell_id": "line", "link_id": "link", "tissue": "tissue"},
        },
    }


def write_target(folder: Path) -> dict[str, Any]:
    """Writes the target screen's files and returns the options that read them, paths from ``folder``'s parent on."""
    write_rows(
        folder / "expression.csv",
        ["id", "EGFR", "BRAF", "TP53", "KRAS"],
        [[line, 5 + row, 1, 10 - row, row * row] for row, line in enumerate(TARGET_LINES)],
    )
    write_rows(
        folder / "responses.csv",
        ["name", "compound", "ic50_um"],
        [
            [name, drug, min(8, 0.125 * 4 ** (row + n))]
            for row, name in enumerate([*TARGET_LINES.values(), "OMEGA"])
            for n, drug in enumerate(TARGET_DRUGS)
        ],
    )
    write_rows(folder / "drugs.csv", ["compound", "smiles"], [[drug, SMILES[drug]] for drug in TARGET_DRUGS])
    write_rows(
        folder / "cells.csv",
        ["id", "name", "link", "tissue"],
        [
            [line, name, link, "lung"]
            for (line, name), link in zip(TARGET_LINES.items(), ("L2", "L3", "L8", "L9"), strict=True)
        ],
    )
    return {
        "name": "TGT",
        "expression": {"path": f"{folder.name}/expression.csv", "id_column": "id"},
        "responses": {
            "path": f"{folder.name}/responses.csv",
            "columns": {"cell_id": "name", "drug_id": "compound", "value": "ic50_um"},
            "unit": "um",
            "cap": 8,
            "on_missing_expression": "drop",
        },
        "id_map": {"path": f"{folder.name}/cells.csv", "columns": {"response_id": "name", "expression_id": "id"}},
        "drugs": {"path": f"{folder.name}/drugs.csv", "columns": {"drug_id": "compound", "smiles": "smiles"}},
        "cells": {"path": f"{folder.name}/cells.csv", "columns": {"cell_id": "id", "link_id": "link", "tissue": "tissue"}},
    }


def write_panel(root: Path) -> dict[str, Any]:
    """Writes both screens under ``root`` and returns the options of ``tidy_study``."""
    return {"root": str(root), "source": write_source(root / "source"), "target": write_target(root / "target")}


def write_config(folder: Path, options: dict[str, Any]) -> None:
    """Writes the data config ``mine`` for ``--config-dir folder/conf``."""
    config = {"_target_": "dadsp.data.sources.tidy.tidy_study", **options}
    (folder / "conf" / "data").mkdir(parents=True)
    (folder / "conf" / "data" / "mine.yaml").write_text(yaml.safe_dump(config))
