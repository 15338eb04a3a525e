"""``dadsp design``: which pairs to measure next."""

import json
import sys
from pathlib import Path

from omegaconf import DictConfig
from rich.text import Text

from dadsp.analysis.design import Design, DesignOptions, design
from dadsp.cli.console import console, table_of
from dadsp.cli.places import Places, open_run
from dadsp.configuration.compose import plain
from dadsp.options import validated
from dadsp.runs.analyses import write_design


def work(config: DictConfig, as_json: bool) -> None:
    """Chooses as the configuration says."""
    given = plain(config)
    folder, out = Places.taken_from(given)
    options = validated(DesignOptions, given, "")
    run = open_run(folder)
    screen = run.study.target if options.domain == "target" else run.study.source

    def told(done: int) -> None:
        if done % 10 == 0 and sys.stderr.isatty():
            print(f"\r{done} of {options.budget} pairs chosen", end="", file=sys.stderr, flush=True)

    found = design(run.model, screen, options, told)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    written = out or folder / "design"
    write_design(found, options, written)
    _report(found, written, as_json)


def _report(found: Design, out: Path, as_json: bool) -> None:
    facts = found.facts
    if as_json:
        print(json.dumps({"out": str(out), **facts}, allow_nan=False))
        return
    print(
        f"{facts['system']}: {facts['n_pairs']:,} pairs of {facts['screen']} to measure, of {facts['n_lines']:,} lines and "
        f"{facts['n_drugs']:,} drugs, on {facts['n_plates']} plate(s) of {facts['options']['plate']}\n"
        f"expected RMSE: {facts['expected_rmse_before']:.3f} before, {facts['expected_rmse_after']:.3f} after "
        f"(a label's own noise is {facts['label_noise_sd']:.3f})"
    )
    if not facts["states_covariance"]:
        print("This system does not state its uncertainty: drugs are measured in turn, which lines is arbitrary.")
    table = table_of("The first pairs", ["Line", "Drug", "−log10 µM", "sd", "Expected RMSE", "Plate", "Well"])
    for row in found.pairs.head(10).to_dict("records"):
        numbers = (f"{row[name]:.2f}".replace("-", "−") for name in ("neg_log10_ic50_um", "sd"))
        place = (f"{row['expected_rmse']:.3f}", str(row["plate"]), row["well"])
        table.add_row(Text(row["cell_id"]), Text(row["drug_name"]), *numbers, *place)
    console().print(table)
    print(f"results  {out}")
