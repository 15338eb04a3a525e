"""Rows of a table of results trained again, and held against the spread that rounding gives such rows."""

import math
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy import stats

from dadsp.data.tables import read_table
from dadsp.errors import ConfigError, SchemaError, examples
from dadsp.files import read_json, write_atomically
from dadsp.options import STRICT
from dadsp.runs.collection import own_row
from dadsp.runs.folder import RESULTS, RunFolder
from dadsp.seeding import derive_seed
from dadsp.written_tables import write_csv

SCORES = ("rmse", "median_drug_pearson")
NAMES = ("system", "command", "data_hash", "split_hash")
AS_PRINTED = 1e-3  # smaller differences than this no table shows
LEVEL = 0.95  # of differences of two draws lie within the limit
OURS = re.compile(
    r"(runs|resume|sweep|plugins|tracking[./]?.*|hydra[./].*)=|\+|~|-"
)  # parts of a command that are not the row's to say


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReproduceOptions:
    """Which rows of which table.

    Attributes:
        table: CSV file with a row per run: the system, its command, hashes of data and split, and scores.
        rows: Which rows, counted from 1; None draws ``draw`` of them.
        draw: How many are drawn.
        seed: Of the draw.
        beside: Keys of a configuration to add to each command.
        spread: CSV file of standard deviations from rounding and their degrees of freedom, by system and data hash; without
            it none is known.
        out: Folder of the runs and of ``reproduced.csv``.
    """

    table: Path
    rows: tuple[int, ...] | None = None
    draw: int = Field(default=1, ge=1)
    seed: int = 0
    beside: tuple[str, ...] = ()
    spread: Path | None = Path("experiments/rounding/summary.csv")
    out: Path = Path("reproduced")


class Again(NamedTuple):
    """One score of one row, then and now.

    Attributes:
        row: Of the table, from 1.
        system: As the table names it.
        command: What was run.
        score: Name of the score.
        before: In the table.
        now: Of the new run; NaN where it failed.
        sd: From rounding alone; NaN where the spread table has no such row.
        df: Degrees of freedom of ``sd``: of few draws it may be far too small.
        same_data: Whether hashes of data and split are those of the table.
        problem: What ended the run, if it failed.
    """

    row: int
    system: str
    command: str
    score: str
    before: float
    now: float
    sd: float
    df: float
    same_data: bool
    problem: str = ""

    @property
    def limit(self) -> float:
        """The largest difference that rounding explains, √2·t·sd of two draws, t of ``df``; never less than is printed."""
        if math.isnan(self.sd):
            return AS_PRINTED
        return max(AS_PRINTED, math.sqrt(2) * float(stats.t.ppf((1 + LEVEL) / 2, self.df)) * self.sd)

    @property
    def within(self) -> bool:
        """Whether the new score lies within the limit of the old."""
        return abs(self.now - self.before) <= self.limit


def reproduced(options: ReproduceOptions) -> Iterator[list[Again]]:
    """The chosen rows, each as it is done; ``reproduced.csv`` holds those that are.

    Raises:
        DadspError: A table cannot be read, or a row cannot be trained from its command.
    """
    table = _table(options.table)
    rows = _chosen(table, options)
    commands = {row: _arguments(str(table.at[row, "command"]), row + 1) for row in rows}
    sds = _spreads(options.spread)
    done: list[Again] = []
    for row in rows:
        found = _again(row, table.iloc[row], commands[row], sds, options)
        done += found
        frame = pd.DataFrame([{**each._asdict(), "limit": each.limit, "within": each.within} for each in done])
        write_atomically(options.out / "reproduced.csv", partial(write_csv, frame))
        yield found


def _table(path: Path) -> pd.DataFrame:
    names = {name: name for name in (*NAMES, *SCORES)}
    return read_table(path, names, numbers=SCORES, optional=(*NAMES[1:], "median_drug_pearson")).reset_index(drop=True)


def _chosen(table: pd.DataFrame, options: ReproduceOptions) -> list[int]:
    runs = [row for row, command in enumerate(table["command"]) if str(command or "").startswith("dadsp train ")]
    runs = [row for row in runs if not str(table.at[row, "system"]).startswith(("source ", "oracle ", "target "))]
    if options.rows is None:
        random = np.random.default_rng(derive_seed(options.seed, "reproduce"))
        return (
            sorted(random.choice(runs, min(options.draw, len(runs)), replace=False).tolist()) if runs else _refuse(options)
        )
    bad = [row for row in options.rows if row - 1 not in runs]
    if bad:
        raise ConfigError(
            f"{len(bad)} of rows={list(options.rows)} of {options.table} are no runs of dadsp train (e.g. {examples(bad)}). "
            f"Name some of the {len(runs)} that are{f' (e.g. {examples(row + 1 for row in runs)})' if runs else ''}."
        )
    return [row - 1 for row in options.rows]


def _refuse(options: ReproduceOptions) -> list[int]:
    raise SchemaError(f"{options.table} has no row with a command of dadsp train. Give a table of such runs.")


def _arguments(command: str, row: int) -> list[str]:
    """Keys of a command, without those that say where results go.

    Raises:
        ConfigError: It has parts that a table may not ask for.
    """
    parts = [part for part in shlex.split(command)[2:] if not part.startswith(("runs=", "tracking="))]
    strange = [part for part in parts if OURS.match(part) or "=" not in part]
    if strange:
        raise ConfigError(
            f"The command of row {row} cannot be run as it stands: {examples(strange)} is no key=value of one training. "
            "Choose another row, or run it by hand."
        )
    return parts


def _spreads(path: Path | None) -> dict[tuple[str, str], dict[str, float]]:
    if path is None:
        return {}
    if not path.exists():
        raise ConfigError(
            f"spread={path} does not exist. Name a table of standard deviations from rounding, or set spread=null: "
            "scores must then agree to the digits of a table."
        )
    columns = {"df": "df", **{name: f"{name}_sd" for name in SCORES}}
    names = {"system": "system", "data_hash": "data_hash", **columns}
    frame = read_table(path, names, numbers=tuple(columns), optional=SCORES)
    bad = frame.loc[(frame["df"] < 1) & frame[list(SCORES)].notna().any(axis=1), "system"]
    if len(bad):
        raise SchemaError(
            f"spread={path}: {len(bad)} of {len(frame)} standard deviations have less than one degree of freedom in 'df' "
            f"(e.g. {examples(bad)}). Give the number of draws minus that of their settings, or leave the rows out."
        )
    return {
        (str(row["system"]), str(row["data_hash"])): {name: float(row[name]) for name in columns}
        for row in frame.to_dict("records")
    }


def _again(
    row: int,
    before: "pd.Series[Any]",
    arguments: Sequence[str],
    sds: dict[tuple[str, str], dict[str, float]],
    options: ReproduceOptions,
) -> list[Again]:
    place = options.out / f"row_{row + 1}"
    command = ["train", *arguments, *options.beside]
    finished = subprocess.run(
        [sys.executable, "-m", "dadsp", *command, "tracking=none", f"runs={place}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    folders = sorted(place.glob(f"*/{RESULTS}"), key=lambda path: path.stat().st_mtime)
    problem, now, same = "", dict.fromkeys(SCORES, math.nan), False
    if finished.returncode or not folders:
        problem = (finished.stderr.strip().splitlines() or ["it left no results"])[-1]
    else:
        model = own_row(RunFolder(folders[-1].parent))
        run = read_json(folders[-1])["run"]
        now = {name: float(model[name]) for name in SCORES}
        same = all(run.get(name) == before[name] for name in ("data_hash", "split_hash"))
    system = str(before["system"])
    sd = sds.get((system, str(before["data_hash"])), {})
    return [
        Again(
            row=row + 1,
            system=system,
            command=shlex.join(["dadsp", *command]),
            score=name,
            before=float(before[name]),
            now=now[name],
            sd=sd.get(name, math.nan),
            df=sd.get("df", math.nan),
            same_data=same,
            problem=problem,
        )
        for name in SCORES
        if not math.isnan(before[name])
    ]
