"""``dadsp explain``: which genes, and which atoms of the drug, a finished run's predictions rest on; and how surely."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from dataclasses import dataclass as plain_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp import __version__
from dadsp.analysis.attribution import MEANING, MEASURED, meaning_of_genes
from dadsp.analysis.attribution_figures import atoms_figure, stability_figure, top_genes_figure
from dadsp.analysis.enrichment import GeneSets, read_gmt
from dadsp.analysis.enrichment_figures import SIGNIFICANT, dot_plot
from dadsp.analysis.explanation import UNRELATED, Explanation, ExplanationOptions, enrich, explain
from dadsp.analysis.gene_rankings import chance_jaccard
from dadsp.analysis.planted_genes import mean_interval
from dadsp.cli.app import run_app
from dadsp.cli.finished_run import FinishedRun, finished_folder, open_run
from dadsp.cli.results import load_results
from dadsp.errors import ConfigError, MissingIdsError, examples, nearest
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import Predictor, load_model
from dadsp.options import STRICT, validated
from dadsp.schema import Domain, Drugs, IntArray, Pairs, Responses, Screen, Study
from dadsp.seeding import derive_seed
from dadsp.written_tables import write_csv

DEFAULT_LINES = 3  # as in the paper
SUMMARY = "explanation.json"
UNIT = "−log10 IC50(µM)"

Name = str | int  # a number on the command line is an id too


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Question:
    """What is to be explained, of which run; see conf/explain.yaml."""

    run: str = Field(min_length=1)
    drug: Name
    lines: tuple[Name, ...] | None
    most_sensitive: int | None = Field(ge=1)
    domain: Domain
    runs: tuple[str, ...]
    out: str | None
    gene_sets: tuple[str, ...] | str | None

    def __post_init__(self) -> None:
        if self.lines is not None and self.most_sensitive is not None:
            raise ConfigError("lines and most_sensitive both choose lines. Give one of them.")
        if self.lines is not None and len(set(map(str, self.lines))) < max(1, len(self.lines)):
            raise ConfigError(f"lines={examples(self.lines)} is empty or names a line twice. Name each line once.")


@plain_dataclass(frozen=True, eq=False)
class Answer:
    """An explanation with what it is of."""

    explanation: Explanation
    enriched: Mapping[str, pd.DataFrame]
    facts: dict[str, Any]
    title: str


def run(arguments: list[str], as_json: bool) -> None:
    """Explains as the arguments say."""
    run_app("explain", "explain", arguments, lambda config: _explain(config, as_json))


def _explain(config: DictConfig, as_json: bool) -> None:
    asked, options = _settings(config, Question), _settings(config, ExplanationOptions)
    gene_sets = _read_gene_sets(asked.gene_sets)
    run = open_run(Path(asked.run))
    screen = _with_drug(run.study, asked.domain, str(asked.drug))
    lines, choice = _lines(run, screen, asked)
    others = _other_runs(run, asked.runs)
    pairs = Pairs(screen, asked.domain, lines, np.zeros(len(lines), dtype=np.int64))
    drugs = _other_drugs(run.study, pairs, options)
    explanation = explain(run.model, pairs, options, others, drugs)
    enriched = {name: enrich(explanation, sets, options) for name, sets in gene_sets.items()}
    drug = screen.drugs.names[0]
    facts = {
        "system": run.model.name,
        "run": str(run.folder),
        "drug": {"id": screen.drugs.ids[0], "name": drug},
        "screen": screen.name,
        "domain": asked.domain,
        "lines": list(explanation.cell_ids),
        "chosen": choice,
        "unit": UNIT,
        "baselines": {name: MEANING[name] for name in options.attribution.baselines},
        "genes": meaning_of_genes(run.model, asked.domain),
        "notes": list(explanation.notes),
        **_checks(explanation, options),
        "enriched": {name: _significant(table) for name, table in enriched.items()},
        "options": asdict(options),
        "version": __version__,
    }
    answer = Answer(explanation, enriched, facts, f"{drug} on {screen.name}, {run.model.name}")
    label = drug if drug == screen.drugs.ids[0] else f"{drug}_{screen.drugs.ids[0]}"
    folder = Path(asked.out) if asked.out else run.folder / "explain" / re.sub(r"[^\w.-]+", "_", label)
    facts["files"] = _write(folder, answer, options)
    write_json(folder / SUMMARY, facts)
    if as_json:
        print(json.dumps({"folder": str(folder), **facts}, allow_nan=False))
    else:
        _print(folder, answer)


def _settings(config: DictConfig, model: type[Any]) -> Any:
    """The keys of ``config`` that are fields of ``model``, checked."""
    given: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return validated(model, {field.name: given[field.name] for field in fields(model)}, "")


def _read_gene_sets(given: tuple[str, ...] | str | None) -> dict[str, GeneSets]:
    """Gene sets by the name of their file."""
    paths = [Path(path) for path in ([given] if isinstance(given, str) else given or [])]
    if len({path.stem for path in paths}) < len(paths):
        raise ConfigError(f"gene_sets names two files alike ({examples(paths)}). Rename one: tables bear their names.")
    return {path.stem: read_gmt(path) for path in paths}


def _with_drug(study: Study, domain: Domain, wanted: str) -> Screen:
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
    one = Drugs(**{column.name: (getattr(drugs.drugs, column.name)[row],) for column in fields(Drugs)})
    none = np.zeros(0, dtype=np.int64)
    nothing = Responses(none, none, none.astype(np.float32), none.astype(bool))
    return replace(lines, drugs=one, responses=nothing, truth=drugs.truth)


def _lines(run: FinishedRun, screen: Screen, asked: Question) -> tuple[IntArray, str]:
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
    predicted = run.model.predict(Pairs(screen, asked.domain, every, np.zeros_like(every)))
    return np.argsort(-predicted, kind="stable")[:n], f"highest predicted potency of {len(ids)} lines"


def _other_runs(run: FinishedRun, folders: tuple[str, ...]) -> dict[str, Predictor]:
    """Models of other runs on the same data by system and seed."""
    data_hash = load_results(run.folder)["run"]["data_hash"]
    others: dict[str, Predictor] = {}
    for folder in map(Path, folders):
        if finished_folder(folder, "runs").resolve() == run.folder.resolve():
            raise ConfigError(f"runs={folder} is the explained run itself. Give others.")
        facts = load_results(folder)["run"]
        name = f"{facts['system']} seed {facts['seed']}"
        if facts["data_hash"] != data_hash:
            raise ConfigError(f"runs={folder} was trained on other data. Give runs on the data of run={run.folder}.")
        if name in others:
            raise ConfigError(f"runs={folder} is a second run of {name}. Give one run of each.")
        others[name] = load_model(folder / "model")
    return others


def _other_drugs(study: Study, pairs: Pairs, options: ExplanationOptions) -> list[Pairs]:
    """The lines with other drugs of their screen, drawn at random."""
    screen = study.source if pairs.domain == "source" else study.target
    others = [row for row, key in enumerate(screen.drug_keys) if key not in pairs.screen.drug_keys]
    random = np.random.default_rng(derive_seed(options.seed, "other drugs"))
    chosen = random.choice(others, size=min(options.other_drugs, len(others)), replace=False).astype(np.int64)
    return [replace(pairs, screen=_joined(screen, screen, row)) for row in chosen]


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


def _write(folder: Path, answer: Answer, options: ExplanationOptions) -> list[str]:
    """Writes tables and figures; returns their names. What an earlier explanation left in the folder is removed first."""
    if (folder / SUMMARY).exists():
        earlier = read_json(folder / SUMMARY).get("files", [])
        for name in [SUMMARY, *earlier]:
            (folder / Path(name).name).unlink(missing_ok=True)
    explanation, title, baseline = answer.explanation, answer.title, answer.explanation.baseline
    potency = explanation.by_baseline[baseline].potency.tolist()
    chance = chance_jaccard(len(explanation.genes), options.top)
    tables = {"lines": explanation.lines, "top_genes": explanation.top, "agreement": explanation.overlaps}
    figures: dict[str, Callable[..., None]] = {
        "top_genes": partial(top_genes_figure, explanation.top, potency, title=title),
        "agreement": partial(stability_figure, explanation.overlaps, chance, baseline, title=title),
    }
    if not isinstance(atoms := explanation.atoms, str):
        tables |= {"drug_atoms": atoms.table, "drug_bits": atoms.bits}
        figures["drug_atoms"] = partial(atoms_figure, atoms, title=f"{title}, mean over {len(potency)} lines")
    for name, table in answer.enriched.items():
        tables[f"enrichment_{name}"] = table
        figures[f"enrichment_{name}"] = partial(dot_plot, table, title=f"{title}: {name}")
    everything = explanation.table()
    write_atomically(folder / "attributions.parquet", partial(everything.to_parquet, index=False))
    for name, table in tables.items():
        write_atomically(folder / f"{name}.csv", partial(write_csv, table))
    for name, draw in figures.items():
        draw(path=folder / f"{name}.png")
    return ["attributions.parquet", *(f"{name}.csv" for name in tables), *(f"{name}.png" for name in figures)]


def _print(folder: Path, answer: Answer) -> None:
    explanation, facts = answer.explanation, answer.facts
    print(f"{answer.title}: {len(facts['lines'])} lines, {facts['chosen']}")
    print(f"compared with {explanation.baseline}: {MEANING[explanation.baseline]}")
    if facts["genes"] != MEASURED:
        print(f"attributions are of {facts['genes']}")
    for note in explanation.notes:
        print(note)
    potency = explanation.by_baseline[explanation.baseline].potency
    for (name, genes), predicted in zip(explanation.top.groupby("cell_id", sort=False), potency, strict=True):
        best = "  ".join(f"{row.gene} {row.attribution:+.3f}" for row in genes.head(5).itertuples())
        print(f"  {name}  predicted {predicted:.2f}   {best}")
    whole = facts["completeness"]
    print(f"completeness   largest error {whole['largest_error']:.1g} {UNIT}, tolerance {whole['tolerance']:g}")
    for row in facts["agreement"]:
        what = f"{row['comparison']}: {row['other']}"
        print(f"agreement      {what}: Spearman {row['spearman']:.2f}, top genes in common {row['jaccard']:.2f} (Jaccard)")
    shuffled = facts["randomisation"]
    verdict = (
        "attributions depend on what was learned" if shuffled["passed"] else "FAILED: they hardly depend on the weights"
    )
    print(f"randomisation  mean |Spearman| {shuffled['mean_abs_spearman']:.2f}, limit {shuffled['limit']}: {verdict}")
    if planted := facts.get("planted_genes"):
        low, high = planted["interval_over_lines"]
        print(f"planted genes  AUROC {planted['auroc']:.2f}, over lines [{low:.2f}, {high:.2f}], chance 0.5")
    if isinstance(explanation.atoms, str):
        print(f"drug atoms     {explanation.atoms}")
    for name, table in answer.enriched.items():
        print(f"{name}: {table['gene_set'].nunique()} gene sets tested")
        for of, sets in facts["enriched"][name].items():
            print(f"  {of}: {len(sets)} with adjusted p < {SIGNIFICANT} ({examples(sets)})")
    print(f"written to {folder}")
