"""Explaining a finished run: which genes and atoms its predictions rest on, with what checks them; and the files of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from dataclasses import dataclass as plain_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp import __version__
from dadsp.analysis.attribution import MEANING, meaning_of_genes
from dadsp.analysis.attribution_figures import atoms_figure, stability_figure, top_genes_figure
from dadsp.analysis.enrichment import GeneSets, read_gmt
from dadsp.analysis.enrichment_figures import SIGNIFICANT, dot_plot
from dadsp.analysis.explanation import UNRELATED, Explanation, ExplanationOptions, enrich, explain
from dadsp.analysis.gate import HeldOut, gate_table
from dadsp.analysis.gene_rankings import chance_jaccard
from dadsp.errors import ConfigError, MissingIdsError, examples, nearest
from dadsp.evaluation.statistics import mean_interval
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import Predictor
from dadsp.options import STRICT, validated
from dadsp.runs.run import Run
from dadsp.schema import Domain, IntArray, Pairs, Responses, Screen, Study
from dadsp.seeding import derive_seed
from dadsp.written_tables import write_csv

DEFAULT_LINES = 3  # as in the paper
SUMMARY = "explanation.json"
UNIT = "−log10 IC50(µM)"

Name = str | int  # a number on the command line is an id too


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ExplainRequest:
    """What is to be explained of a run; see conf/explain.yaml."""

    drug: Name
    lines: tuple[Name, ...] | None = None
    most_sensitive: int | None = Field(default=None, ge=1)
    domain: Domain = "target"
    gene_sets: tuple[str, ...] | str | None = None

    def __post_init__(self) -> None:
        if self.lines is not None and self.most_sensitive is not None:
            raise ConfigError("lines and most_sensitive both choose lines. Give one of them.")
        if self.lines is not None and len(set(map(str, self.lines))) < max(1, len(self.lines)):
            raise ConfigError(f"lines={examples(self.lines)} is empty or names a line twice. Name each line once.")


@plain_dataclass(frozen=True, eq=False)
class Explained:
    """An explanation with what it is of.

    Attributes:
        explanation: Attributions and their checks.
        enriched: Gene sets tested, by the name of their file.
        facts: JSON-able summary.
        title: For figures.
        label: A name for its folder.
        options: As asked.
    """

    explanation: Explanation
    enriched: Mapping[str, pd.DataFrame]
    facts: dict[str, Any]
    title: str
    label: str
    options: ExplanationOptions

    def __repr__(self) -> str:
        return f"<{self.title}: {len(self.facts['lines'])} lines, {len(self.explanation.genes):,} genes>"


def check_request(asked: Mapping[str, Any]) -> tuple[ExplainRequest, ExplanationOptions]:
    """What is to be explained, and how.

    Raises:
        ConfigError: A key is unknown, or a value impossible.
    """
    of_request = {column.name for column in fields(ExplainRequest)}
    request = {key: value for key, value in asked.items() if key in of_request}
    options = {key: value for key, value in asked.items() if key not in of_request}
    return validated(ExplainRequest, request, ""), validated(ExplanationOptions, options, "")


def explain_run(run: Run, asked: Mapping[str, Any], others: Sequence[Run] = ()) -> Explained:
    """Explains predictions of a run.

    Args:
        run: Whose system.
        asked: Keys of ``ExplainRequest`` and of ``ExplanationOptions``.
        others: Runs of the same system on the same data with other seeds.

    Raises:
        ConfigError: A key is unknown, a value impossible, or another run is of no use here.
        MissingIdsError: The drug, or a line, is not known.
    """
    request, options = check_request(asked)
    gene_sets = _read_gene_sets(request.gene_sets)
    screen = with_drug(run.study, request.domain, str(request.drug))
    lines, choice = _lines(run.model, screen, request)
    pairs = Pairs(screen, request.domain, lines, np.zeros(len(lines), dtype=np.int64))
    drugs = _other_drugs(run.study, pairs, options)
    explanation = explain(
        run.model, pairs, options, _other_models(run, others), drugs, held_out_labels(run, screen.drug_keys[0])
    )
    enriched = {name: enrich(explanation, sets, options) for name, sets in gene_sets.items()}
    drug = screen.drugs.names[0]
    facts = {
        "system": run.model.name,
        "run": str(run.folder) if run.is_kept else None,
        "drug": {"id": screen.drugs.ids[0], "name": drug},
        "other_drugs": [each.screen.drugs.names[0] for each in drugs],
        "screen": screen.name,
        "domain": request.domain,
        "lines": list(explanation.cell_ids),
        "called": dict(explanation.called),
        "chosen": choice,
        "unit": UNIT,
        "baselines": {name: MEANING[name] for name in options.attribution.baselines},
        "genes": meaning_of_genes(run.model, request.domain),
        "notes": list(explanation.notes),
        "gate": explanation.gate.facts,
        **_checks(explanation, options),
        "enriched": {name: _significant(table) for name, table in enriched.items() if not explanation.gate.closed},
        "options": asdict(options),
        "version": __version__,
    }
    label = drug if drug == screen.drugs.ids[0] else f"{drug}_{screen.drugs.ids[0]}"
    title = f"{drug} on {screen.name}, {run.model.name}"
    return Explained(explanation, enriched, facts, title, re.sub(r"[^\w.-]+", "_", label), options)


def _read_gene_sets(given: tuple[str, ...] | str | None) -> dict[str, GeneSets]:
    """Gene sets by the name of their file."""
    paths = [Path(path) for path in ([given] if isinstance(given, str) else given or [])]
    if len({path.stem for path in paths}) < len(paths):
        raise ConfigError(f"gene_sets names two files alike ({examples(paths)}). Rename one: tables bear their names.")
    return {path.stem: read_gmt(path) for path in paths}


def with_drug(study: Study, domain: Domain, wanted: str) -> Screen:
    """The lines of one screen with the one drug, of either screen, whose id or name is ``wanted``."""
    own, other = (study.source, study.target) if domain == "source" else (study.target, study.source)
    for screen in (own, other):
        if wanted in screen.drugs.ids:
            return _joined(own, screen, screen.drugs.ids.index(wanted))
    for screen in (own, other):
        found = [row for row, name in enumerate(screen.drugs.names) if name.casefold() == wanted.casefold()]
        if len(found) > 1:
            ids = examples([screen.drugs.ids[row] for row in found], len(found))
            raise ConfigError(f"drug={wanted} is the name of {len(found)} drugs of {screen.name}. Give an id: {ids}.")
        if found:
            return _joined(own, screen, found[0])
    names = {*own.drugs.names, *other.drugs.names}
    raise MissingIdsError(f"drug={wanted} is neither id nor name of a drug with a structure. {nearest(wanted, names)}")


def _joined(lines: Screen, drugs: Screen, row: int) -> Screen:
    none = np.zeros(0, dtype=np.int64)
    nothing = Responses(none, none, none.astype(np.float32), none.astype(bool))
    return replace(lines, drugs=drugs.drugs.take([row]), responses=nothing, truth=drugs.truth)


def _lines(model: Predictor, screen: Screen, asked: ExplainRequest) -> tuple[IntArray, str]:
    """Rows of the lines to explain, and how they were chosen."""
    ids = screen.cells.ids
    if asked.lines is not None:
        wanted = [str(line) for line in asked.lines]
        unknown = [line for line in wanted if line not in ids]
        if unknown:
            raise MissingIdsError(
                f"{len(unknown)} of {len(wanted)} lines are not in {screen.name} (e.g. {examples(unknown)}). "
                f"{nearest(unknown[0], ids)}"
            )
        return np.array([ids.index(line) for line in wanted], dtype=np.int64), "named"
    n = asked.most_sensitive or min(DEFAULT_LINES, len(ids))
    if n > len(ids):
        raise ConfigError(f"most_sensitive={n}, but {screen.name} has {len(ids)} lines. Choose fewer.")
    every = np.arange(len(ids))
    predicted = model.predict(Pairs(screen, asked.domain, every, np.zeros_like(every)))
    return np.argsort(-predicted, kind="stable")[:n], f"highest predicted potency of {len(ids)} lines"


def _other_models(run: Run, others: Sequence[Run]) -> dict[str, Predictor]:
    """Models of other runs on the same data by system and seed."""
    own = run.facts
    models: dict[str, Predictor] = {}
    for other in others:
        facts = other.facts
        name = f"{facts['system']} seed {facts['seed']}"
        where = f"runs={other.folder if other.is_kept else name}"
        if other is run or (run.is_kept and other.is_kept and other.folder.resolve() == run.folder.resolve()):
            raise ConfigError(f"{where} is the explained run itself. Give others.")
        if facts["data_hash"] != own["data_hash"]:
            this = run.folder if run.is_kept else run.name
            raise ConfigError(f"{where} was trained on other data. Give runs on the data of run={this}.")
        if name in models:
            raise ConfigError(f"{where} is a second run of {name}. Give one run of each.")
        models[name] = other.model
    return models


def _other_drugs(study: Study, pairs: Pairs, options: ExplanationOptions) -> list[Pairs]:
    """The lines with other drugs of their screen, drawn at random."""
    screen = study.source if pairs.domain == "source" else study.target
    others = [row for row, key in enumerate(screen.drug_keys) if key not in pairs.screen.drug_keys]
    random = np.random.default_rng(derive_seed(options.seed, "other drugs"))
    chosen = random.choice(others, size=min(options.other_drugs, len(others)), replace=False).astype(np.int64)
    return [replace(pairs, screen=_joined(screen, screen, row)) for row in chosen]


def held_out_labels(run: Run, drug: str) -> list[HeldOut]:
    """Predictions and labels of one structure that trained nothing, a line once, by screen."""
    frame, found = run.predictions.frame, []
    for domain, screen in (("source", run.study.source), ("target", run.study.target)):
        ids = [name for name, key in zip(screen.drugs.ids, screen.drug_keys, strict=True) if key == drug]
        rows = frame[(frame["domain"] == domain) & frame["drug_id"].isin(ids)]
        means = rows.groupby("cell_id")[["y_pred", "y_true"]].mean().to_numpy(np.float32)
        found.append(HeldOut(means[:, 0], means[:, 1]))
    return found


def _checks(explanation: Explanation, options: ExplanationOptions) -> dict[str, Any]:
    """The numbers that say how far to trust the attributions."""
    columns = ["jaccard", "spearman", "spearman_size"]
    means = explanation.overlaps.groupby(["comparison", "other"], sort=False)[columns].mean().reset_index()
    checks: dict[str, Any] = {
        "completeness": {
            "tolerance": options.attribution.tolerance,
            "largest_error": float(explanation.lines["completeness_error"].abs().max()),
            "most_steps": int(explanation.lines["steps"].max()),
        },
        "agreement": means.to_dict(orient="records"),
        "chance_jaccard": chance_jaccard(len(explanation.genes), options.top),
        "randomisation": {
            "mean_abs_spearman": explanation.shuffled_correlation,
            "limit": UNRELATED,
            "passed": explanation.depends_on_weights,
        },
        "drug_atoms": explanation.atoms if isinstance(explanation.atoms, str) else "attributed",
    }
    if explanation.n_planted:
        mine = explanation.lines[explanation.lines["baseline"] == explanation.baseline]
        mean, low, high = mean_interval(mine["planted_auroc"].to_numpy())
        checks["planted_genes"] = {
            "genes": explanation.n_planted,
            "auroc": mean,
            "chance": 0.5,
            "interval_over_lines": [low, high],
        }
    return checks


def _significant(table: pd.DataFrame) -> dict[str, list[str]]:
    """Gene sets below the usual level, by list of genes."""
    below = table[table["q_value"] < SIGNIFICANT]
    return {str(name): list(below.loc[below["genes_of"] == name, "gene_set"]) for name in table["genes_of"].unique()}


def write_explanation(answer: Explained, folder: Path) -> dict[str, Any]:
    """Writes tables, figures and, last, the facts, which it returns with the names of the files.

    What an earlier explanation left in the folder is removed first.
    """
    if (folder / SUMMARY).exists():
        earlier = read_json(folder / SUMMARY).get("files", [])
        for name in [SUMMARY, *earlier]:
            (folder / Path(name).name).unlink(missing_ok=True)
    explanation, title, baseline = answer.explanation, answer.title, answer.explanation.baseline
    potency = explanation.by_baseline[baseline].potency.tolist()
    chance = chance_jaccard(len(explanation.genes), answer.options.top)
    is_open = not explanation.gate.closed
    tables = {
        "lines": explanation.lines,
        "top_genes": explanation.top,
        "gate": gate_table(explanation.gate, explanation.genes),
        "agreement": explanation.overlaps,
    }
    figures: dict[str, Callable[..., None]] = {
        "agreement": partial(stability_figure, explanation.overlaps, chance, baseline, title=title),
    }
    if is_open:  # a chart of genes that are not ranked would say otherwise
        figures["top_genes"] = partial(top_genes_figure, explanation.top, potency, title=title, called=explanation.called)
    if not isinstance(atoms := explanation.atoms, str):
        tables |= {"drug_atoms": atoms.table, "drug_bits": atoms.bits}
        figures["drug_atoms"] = partial(atoms_figure, atoms, title=f"{title}, mean over {len(potency)} lines")
    for name, table in answer.enriched.items():
        tables[f"enrichment_{name}"] = table
        if is_open:
            figures[f"enrichment_{name}"] = partial(dot_plot, table, title=f"{title}: {name}", called=explanation.called)
    everything = explanation.table()
    write_atomically(folder / "attributions.parquet", partial(everything.to_parquet, index=False))
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", partial(write_csv, table))
    for name, draw in figures.items():
        draw(path=folder / f"{name}.png")
    names = ["attributions.parquet", *(f"{name}.csv" for name in tables), *(f"{name}.png" for name in figures)]
    facts = {**answer.facts, "files": names}
    write_json(folder / SUMMARY, facts)
    return facts
