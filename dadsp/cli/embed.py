"""``dadsp embed``: both screens' lines before and after the training of a finished run."""

import json
from pathlib import Path

from omegaconf import DictConfig
from rich.text import Text

from dadsp.analysis.embedding import MEASURES, Embedding, EmbedOptions, embed
from dadsp.cli.console import console, table_of
from dadsp.cli.places import Places, open_run
from dadsp.configuration.compose import plain
from dadsp.options import validated
from dadsp.runs.analyses import write_embedding


def work(config: DictConfig, as_json: bool) -> None:
    """Embeds as the configuration says."""
    given = plain(config)
    folder, out = Places.taken_from(given)
    options = validated(EmbedOptions, given, "")
    run = open_run(folder)
    found = embed(run.model, run.study, options)
    written = out or folder / "embed"
    write_embedding(found, written)
    _report(found, written, as_json)


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
    table = table_of(title, ["", "Before", "After", "Chance"])
    for name, words in MEASURES.items():
        if row := facts["measures"].get(name):
            table.add_row(
                words, *("–" if row[step] is None else f"{row[step]:.4g}" for step in ("before", "after", "chance"))
            )
    console().print(table)
    judged = facts["verdict"]
    console().print(Text(judged["sentence"], style="green" if judged["passed"] else "bold red"))
    print(f"results  {out}")
