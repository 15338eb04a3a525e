"""``dadsp embed``: both screens' lines before and after the training of a finished run."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from pydantic.dataclasses import dataclass
from rich.box import SIMPLE_HEAD
from rich.table import Table

from dadsp.analysis.embedding import MEASURES, Embedding, EmbedOptions, embed
from dadsp.analysis.embedding_figures import maps_figure
from dadsp.cli.app import run_app
from dadsp.cli.finished_run import open_run
from dadsp.cli.results import console
from dadsp.errors import ConfigError
from dadsp.files import write_atomically, write_json
from dadsp.options import STRICT, validated
from dadsp.written_tables import write_csv


@dataclass(frozen=True, config=STRICT)
class Places:
    """The run that is read, and the folder that is written, of a verb over a finished run; None: inside the run."""

    run: str = Field(min_length=1)
    out: str | None = None

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> tuple[Path, Path | None]:
        """Both, which no longer stand among the verb's other keys."""
        places = validated(cls, {key: given.pop(key) for key in ("run", "out")}, "")
        out = Path(places.out) if places.out else None
        if out is not None and out.exists() and not out.is_dir():
            raise ConfigError(f"out={out} is a file. Name a folder.")
        return Path(places.run), out


def run(arguments: list[str], as_json: bool) -> None:
    """Embeds as the arguments say."""
    run_app("embed", "embed", arguments, lambda config: _embed(config, as_json))


def _embed(config: DictConfig, as_json: bool) -> None:
    given: Any = OmegaConf.to_container(config, throw_on_missing=True)
    folder, out = Places.taken_from(given)
    options = validated(EmbedOptions, given, "")
    finished = open_run(folder)
    found = embed(finished.model, finished.study, options)
    written = out or folder / "embed"
    _write(found, written)
    _report(found, written, as_json)


def _write(found: Embedding, out: Path) -> None:
    """Writes the tables and the figure and, last, ``embed.json``: a folder that has it is complete."""
    (out / "embed.json").unlink(missing_ok=True)
    write_atomically(out / "coordinates.csv", partial(write_csv, found.coordinates))
    write_atomically(out / "measures.csv", partial(write_csv, found.measures))
    screens = " and ".join(found.facts["screens"].values())
    maps_figure(found.coordinates, out / "maps.png", f"{found.facts['system']}\nlines of {screens}, t-SNE")
    write_json(out / "embed.json", found.facts)


def _report(found: Embedding, out: Path, as_json: bool) -> None:
    facts = found.facts
    if as_json:
        print(json.dumps({"out": str(out), **facts}, allow_nan=False))
        return
    source, target = facts["screens"].values()
    title = (
        f"{facts['system']}: {facts['n_source_lines']:,} lines of {source} (source), {facts['n_target_lines']:,} of "
        f"{target} (target), {facts['n_shared_lines']:,} of them in both"
    )
    table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
    table.add_column("", overflow="fold")
    for heading in ("Before", "After", "Chance"):
        table.add_column(heading, justify="right")
    for name, words in MEASURES.items():
        if row := facts["measures"].get(name):
            table.add_row(
                words, *("–" if row[step] is None else f"{row[step]:.4g}" for step in ("before", "after", "chance"))
            )
    console().print(table)
    print(f"results  {out}")
