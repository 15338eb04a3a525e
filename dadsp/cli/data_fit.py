"""``dadsp data fit``: the dose-response curves of a table of wells."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from dadsp.building import build
from dadsp.configuration.compose import compose, plain
from dadsp.data.curves.quality import FLAGS
from dadsp.data.curves.table import FittedTable, fitted_table
from dadsp.errors import ConfigError, DadspError
from dadsp.files import withdraw, write_atomically, write_json
from dadsp.written_tables import write_csv


def run(overrides: list[str], as_json: bool) -> None:
    """Fits, writes the table and the sheets, and prints what was noticed."""
    settings: Any = plain(compose("fit", overrides))
    out, draw = Path(settings["out"]), settings["draw"]
    if draw != "all" and (not isinstance(draw, int) or isinstance(draw, bool) or draw < 0):
        raise ConfigError(f"draw={draw!r} is not valid. Give a number of curves, or all.")
    given = {key: settings[key] for key in ("delimiter", "columns", "on_missing_value", "fit") if settings[key] is not None}
    with _own_keys():
        file = build({"_target_": settings["layout"], "path": str(settings["table"]), **given}, "responses")
        found = fitted_table(file, Path())
    facts = _facts(found)
    for name in ("curves.json", "curves.pdf", "curves.png"):  # the pictures may not be drawn again
        withdraw(out / name)
    write_atomically(out / "curves.csv", partial(write_csv, found.curves))
    write_atomically(out / "curves.parquet", lambda path: found.curves.to_parquet(path, index=False))
    if draw:
        from dadsp.analysis.curve_sheets import curve_sheets

        facts["drawn"] = curve_sheets(found, out, None if draw == "all" else draw)
    write_json(out / "curves.json", facts)
    if as_json:
        print(json.dumps({**facts, "out": str(out)}, allow_nan=False))
        return
    _print(found, facts)
    print(f"results  {out}")


@contextmanager
def _own_keys() -> Iterator[None]:
    """In its block, errors name keys as they stand here, not below the ``responses`` of a screen."""
    try:
        yield
    except DadspError as error:
        own = r"(?<![\w/.-])responses\.(?=(delimiter|columns|on_missing_value|fit)\b)"
        raise type(error)(re.sub(own, "", str(error))) from error


def _facts(found: FittedTable) -> dict[str, Any]:
    curves = found.curves
    raised = Counter(name for own in curves["flags"] for name in own.split(";") if name)
    return {
        "curves": len(curves),
        "lines": int(curves["cell_id"].nunique()),
        "drugs": int(curves["drug_id"].nunique()),
        "wells": int(curves["n_wells"].sum()),
        "ic50": {word: int((curves["ic50_relation"] == sign).sum()) for word, sign in _RELATIONS.items()},
        "median_rmse": float(curves["rmse"].median()),
        "median_auc": float(curves["auc"].median()),
        "flags": {name: raised[name] for name in FLAGS if raised[name]},
        "notes": [asdict(note) for note in found.notes],
        "drawn": 0,
    }


_RELATIONS = {"reached": "", "above the highest dose": ">", "below the lowest dose": "<"}


def _print(found: FittedTable, facts: dict[str, Any]) -> None:
    print(f"{facts['curves']:,} curves of {facts['lines']:,} lines, {facts['drugs']:,} drugs and {facts['wells']:,} wells")
    print("IC50 " + ", ".join(f"{word}: {count:,}" for word, count in facts["ic50"].items()))
    print(f"median RMSE {facts['median_rmse']:.3f}, median AUC {facts['median_auc']:.3f}")
    for note in found.notes:
        print(note)
