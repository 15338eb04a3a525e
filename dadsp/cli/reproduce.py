"""``dadsp reproduce``: rows of a committed table trained again."""

import json
import math
from typing import Any

from omegaconf import DictConfig
from rich.text import Text

from dadsp.cli.console import console, number, table_of, tell
from dadsp.configuration.compose import plain
from dadsp.options import validated
from dadsp.runs.reproducing import Again, ReproduceOptions, reproduced


def work(config: DictConfig, as_json: bool) -> None:
    """Reproduces as the configuration says."""
    given = plain(config)
    given["beside"] = given.pop("with")
    options = validated(ReproduceOptions, given, "")
    found: list[Again] = []
    for row in reproduced(options):
        found += row
        for each in row:
            tell(f"row {each.row}  {each.system}  {each.score} {number(each.before)} → {number(each.now)}  {_verdict(each)}")
    _report(found, options, as_json)


def _verdict(each: Again) -> str:
    if each.problem:
        return f"failed: {each.problem}"
    where = "within" if each.within else "outside"
    stated = f"{where} ± {each.limit:.3f}" + ("" if each.sd == each.sd else ", the digits of a table: no spread is stated")
    return stated if each.same_data else f"{stated}; on other data or another split"


def _report(found: list[Again], options: ReproduceOptions, as_json: bool) -> None:
    rows = {row: [each for each in found if each.row == row] for row in sorted({each.row for each in found})}
    n_within = sum(all(each.within for each in scores) for scores in rows.values())
    if as_json:
        content = [{**_without_nan(each._asdict()), "limit": each.limit, "within": each.within} for each in found]
        print(
            json.dumps({"out": str(options.out), "rows": len(rows), "within": n_within, "scores": content}, allow_nan=False)
        )
        return
    table = table_of(f"Rows of {options.table}, again", ["System", "Row", "Score", "Then", "Now", "Verdict"])
    for each in found:
        numbers = (str(each.row), each.score, number(each.before), number(each.now))
        table.add_row(Text(each.system), *numbers, Text(_verdict(each)))
    console().print(table)
    print(f"{n_within} of {len(rows)} rows lie within the spread that rounding gives them")
    print(f"results  {options.out / 'reproduced.csv'}")


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}
