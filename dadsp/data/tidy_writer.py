"""Writing a study as the CSV files that the ``tidy`` source reads."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from dadsp.errors import DadspError
from dadsp.files import write_json
from dadsp.schema import Screen, Study

CONFIG_NAME = "simulated_files"


def write_tidy(study: Study, folder: Path) -> None:
    """Writes both screens, the truth of a simulated study, and a data config that reads the same screens back.

    Args:
        study: A study whose source had no cap of its own; source labels are written as measured, before clipping.
        folder: Must not exist; it appears complete or not at all.

    Raises:
        DadspError: The folder cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    except OSError as error:
        raise DadspError(f"Cannot write {folder}: {error.strerror}. Choose a writable folder with free space.") from error
    try:
        options = {
            role: _write_screen(screen, potency, building, role, clipped=role == "source" and study.label_cap == "target")
            for role, screen, potency in (
                ("source", study.source, study.raw_source_potency),
                ("target", study.target, study.target.responses.potency),
            )
        }
        config = {
            "_target_": "dadsp.data.sources.tidy.tidy_study",
            "root": "???",
            "label_cap": study.label_cap,
            **options,
        }
        (building / "conf" / "data").mkdir(parents=True)
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        (building / "conf" / "data" / f"{CONFIG_NAME}.yaml").write_text(text, encoding="utf-8")
        building.chmod(0o755)
        building.rename(folder)
    except OSError as error:
        raise DadspError(f"Cannot write {folder}: {error.strerror}. Choose a writable folder with free space.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_screen(screen: Screen, potency: np.ndarray, root: Path, role: str, *, clipped: bool) -> dict[str, object]:
    """Writes one screen and returns its options for the tidy source."""
    folder = root / role
    folder.mkdir()
    cells, drugs, responses = screen.cells, screen.drugs, screen.responses
    expression = pd.DataFrame(cells.expression, columns=list(screen.genes))
    expression.insert(0, "cell_id", list(cells.ids))
    expression.to_csv(folder / "expression.csv.gz", index=False, compression={"method": "gzip", "mtime": 0})
    lines = {"cell_id": cells.ids, "link_id": cells.link_ids, "tissue": cells.tissues}
    pd.DataFrame(lines).to_csv(folder / "cell_lines.csv", index=False)
    compounds = {"drug_id": drugs.ids, "name": drugs.names, "smiles": drugs.smiles, "target": drugs.targets}
    pd.DataFrame(compounds).to_csv(folder / "drugs.csv", index=False)
    pairs = {
        "cell_id": np.array(cells.ids, dtype=object)[responses.cell_idx],
        "drug_id": np.array(drugs.ids, dtype=object)[responses.drug_idx],
        "neg_log10_ic50_um": potency,
    }
    pd.DataFrame(pairs).to_csv(folder / "responses.csv", index=False)
    if screen.truth:
        truth = {name: value for name, value in screen.truth.items() if not isinstance(value, np.ndarray)}
        write_json(folder / "truth.json", truth)
        arrays = {name: value for name, value in screen.truth.items() if isinstance(value, np.ndarray)}
        np.savez_compressed(folder / "truth.npz", allow_pickle=False, **arrays)
    return {
        "name": screen.name,
        "expression": {"path": f"{role}/expression.csv.gz", "id_column": "cell_id"},
        "responses": {
            "path": f"{role}/responses.csv",
            "columns": {"cell_id": "cell_id", "drug_id": "drug_id", "value": "neg_log10_ic50_um"},
            "unit": "neg_log10_um",
            # Clipped labels are written as measured, so the cap they were clipped at is not theirs.
            "cap": None if clipped else screen.cap,
        },
        "drugs": {
            "path": f"{role}/drugs.csv",
            "columns": {"drug_id": "drug_id", "name": "name", "smiles": "smiles", "target": "target"},
        },
        "cells": {
            "path": f"{role}/cell_lines.csv",
            "columns": {"cell_id": "cell_id", "link_id": "link_id", "tissue": "tissue"},
        },
    }
