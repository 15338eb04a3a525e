"""``dadsp impute``: what the model of a finished run says of the pairs that nobody measured."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig
from rich.table import Table
from rich.text import Text

from dadsp.analysis.back_test import score_columns
from dadsp.analysis.missing_pairs import NEAR_CAP, Imputation, ImputeOptions, impute
from dadsp.cli.console import console, number, table_of
from dadsp.cli.places import Places, open_run
from dadsp.configuration.compose import plain
from dadsp.options import validated
from dadsp.runs.analyses import write_imputation
from dadsp.schema import Study


def work(config: DictConfig, as_json: bool) -> None:
    """Imputes as the configuration says."""
    given = plain(config)
    folder, out = Places.taken_from(given)
    options = validated(ImputeOptions, given, "")
    run = open_run(folder)
    found = impute(run.model, run.study, run.split, options, run.trust)
    written = out or folder / "impute" / options.domain
    write_imputation(found, run.study, options, written)
    _report(found, run.study, written, as_json)


def _report(found: Imputation, study: Study, out: Path, as_json: bool) -> None:
    facts = found.facts
    if as_json:
        print(json.dumps({"out": str(out), **facts}, allow_nan=False))
        return
    interval = facts["interval"]
    print(
        f"{facts['system']}: {facts['n_pairs']:,} unmeasured pairs of {facts['screen']} ({facts['n_lines']:,} lines, "
        f"{facts['n_drugs']:,} drugs) predicted in {facts['prediction_seconds']:.2f} s\n"
        f"{facts['n_drugs_never_measured']} of the drugs were never measured in {facts['screen']}, "
        f"{facts['n_drugs_not_trained_on']} have no training labels"
    )
    if facts["n_drugs_near_cap"]:
        print(
            f"{facts['n_drugs_near_cap']} drugs have a median IC50 within {NEAR_CAP:.0%} of the training labels' cap of "
            f"{facts['training_cap_ic50_um']:.3g} µM: their order says little"
        )
    calibrated = f"calibrated on {interval['n_calibration_lines']} held-out {study.source.name} lines"
    drawn = "halvings"
    if interval["by_pair"]:
        calibrated, drawn = "the median; each pair has its own, from the run's calibration", "lines drawn anew"
    print(
        f"\nIntervals for {interval['nominal']:.0%}: ± {number(interval['half_width'])} −log10 µM (IC50 times or divided "
        f"by {number(interval['ic50_factor'])}), {calibrated}"
    )
    if interval["coverage_source"] is None:
        print(f"  true coverage on {study.source.name} unknown: too few held-out lines to calibrate on half of them")
    else:
        low, high = interval["coverage_source_range"]
        print(
            f"  true coverage on held-out {study.source.name} lines  {interval['coverage_source']:.1%} "
            f"(5th to 95th percentile of {drawn}: {low:.1%} to {high:.1%})"
        )
    print(f"  true coverage on {study.target.name} lines  {interval['coverage_target']:.1%} (nothing is guaranteed there)\n")
    console().print(_flags_table(facts))
    console().print(_back_test_table(found.back_test, facts))
    ends = found.ranking if len(found.ranking) <= 10 else pd.concat([found.ranking.head(5), found.ranking.tail(5)])
    console().print(_ranking_table(ends))
    print(f"results  {out}")


def _flags_table(facts: dict[str, Any]) -> Table:
    table = table_of("Distance to the training set", ["", "Missing pairs", "Measured pairs", "RMSE", "Covered"])
    for flag, row in facts["applicability"]["flags"].items():
        scores = [number(row["rmse"]), "–" if row["coverage"] is None else f"{row['coverage']:.1%}"]
        table.add_row(flag, f"{row['share_of_missing_pairs']:.1%}", f"{row['n_scored']:,}", *scores)
    return table


def _back_test_table(rows: pd.DataFrame, facts: dict[str, Any]) -> Table:
    columns = score_columns(rows)
    table = table_of(f"Back-test on {rows['n'].iloc[0]:,} measured pairs that trained nothing", ["System", *columns])
    table.caption = f"† saw target labels. The drugs of {facts['share_back_tested']:.1%} of the missing pairs are tested."
    for row in rows.to_dict("records"):
        name = f"† {row['system']}" if row["saw_target_labels"] else row["system"]
        table.add_row(Text(name), *(number(row[column]) for column in columns.values()))
    return table


def _ranking_table(ranking: pd.DataFrame) -> Table:
    table = table_of(
        "Lowest and highest predicted IC50", ["Drug", "Rank", "Median IC50, µM", "Lines", "Labels in training, here"]
    )
    for row in ranking.to_dict("records"):
        marks = ", ".join("yes" if row[mark] else "no" for mark in ("drug_seen", "drug_measured"))
        table.add_row(Text(row["drug_name"]), str(row["rank"]), f"{row['median_ic50_um']:.3g}", str(row["n_pairs"]), marks)
    return table
