"""``dadsp data describe`` and ``dadsp data simulate``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from dadsp.cli.console import console, print_cross_checks, print_notes
from dadsp.configuration.compose import build
from dadsp.data.cross_checks import cross_checks
from dadsp.data.describe import describe
from dadsp.data.tidy_writer import write_tidy
from dadsp.errors import ConfigError
from dadsp.evaluation.metrics import evaluate
from dadsp.models.base import predict_split
from dadsp.models.systems.naive import naive_rows
from dadsp.schema import Study
from dadsp.splits.cross_screen import cross_screen


def describe_study(config: DictConfig, as_json: bool) -> None:
    """Prints what there is in the study of a configuration, and what naive predictors score on it."""
    study = _study(config)
    checks = cross_checks(study, labels=True)
    facts = {**describe(study), "cross_checks": [asdict(check) for check in checks], "naive": _naive_scores(study)}
    if as_json:
        print(json.dumps(facts, allow_nan=False))
        return
    out = console()
    table = Table(
        title=f"{study.source.name} → {study.target.name}: {facts['n_genes']:,} shared genes", title_justify="left"
    )
    table.add_column("")
    table.add_column(f"source {study.source.name}", justify="right")
    table.add_column(f"target {study.target.name}", justify="right")
    for label, key in (
        ("lines with expression", "lines"),
        ("lines with labels", "labelled_lines"),
        ("drugs with a structure", "drugs"),
        ("drugs with labels", "labelled_drugs"),
        ("labelled pairs", "pairs"),
        ("share of the grid measured", "grid_share"),
        ("labels at the cap", "censored_share"),
        ("cap, −log10 IC50(µM)", "cap"),
        ("labels are", "measure"),
        ("label range", "labels"),
        ("expression range", "expression"),
    ):
        table.add_row(label, *(_cell(key, facts[role][key]) for role in ("source", "target")))
    out.print(table)
    overlap = facts["overlap"]
    print(
        f"In both: {overlap['lines']} lines ({overlap['labelled_target_lines']} with target labels), "
        f"{overlap['labelled_target_drugs']} labelled target drugs by structure, {overlap['pairs']:,} measured pairs"
    )
    for role in ("source", "target"):
        if origins := facts[role]["origins"]:
            print(f"Labels of {facts[role]['name']}: " + ", ".join(f"{n:,} from {name}" for name, n in origins.items()))
    print_notes((study.source, study.target))
    print_cross_checks(checks)
    naive = Table(title="What naive predictors score on the target", title_justify="left")
    naive.add_column("predictor")
    naive.add_column("RMSE", justify="right")
    naive.add_column("R²", justify="right")
    naive.add_column("target labels")
    for row in facts["naive"]:
        naive.add_row(
            row["name"], _cell("", row["rmse"]), _cell("", row["r2"]), "seen" if row["saw_target_labels"] else "unseen"
        )
    out.print(naive)
    print(f"data hash {facts['content_hash']}")


def _naive_scores(study: Study) -> list[dict[str, Any]]:
    """Every naive predictor, fitted on all source pairs (or, as an oracle, on the target's own)."""
    rows = []
    split = cross_screen(study, seed=0)  # naive rows use training and validation pairs alike
    for naive in naive_rows(study):
        scores = evaluate(predict_split(naive.fit(study, split), study, split, parts=("test",))).pooled.to_json()
        rows.append(
            {"name": naive.name, "saw_target_labels": naive.sees_target_labels, "rmse": scores["rmse"], "r2": scores["r2"]}
        )
    return rows


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return f"{value['min']:.2f} … {value['max']:.2f}, mean {value['mean']:.2f}, sd {value['sd']:.2f}"
    if key in ("grid_share", "censored_share"):
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def simulate(config: DictConfig, out: Path, as_json: bool) -> None:
    """Writes a simulated study as CSV files with its truth.

    Raises:
        ConfigError: The folder exists, or the study is no simulated one.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already and is left alone. Choose a new folder.")
    study = _study(config)
    if not study.source.truth:
        raise ConfigError("data simulate writes simulated studies. Valid: data=simulated, simulated_paper, simulated_tiny.")
    write_tidy(study, out)
    if as_json:
        print(json.dumps({"folder": str(out), "data_hash": study.content_hash}))
    else:
        print(f"{out}: two screens as CSV, truth.json, and conf/data/simulated_files.yaml to train on them:")
        print(f"  dadsp train --config-dir {out / 'conf'} data=simulated_files data.root={out}")


def _study(config: DictConfig) -> Study:
    study: Study = build(config.data, "data")
    return study
