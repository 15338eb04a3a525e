"""What other verbs found out about a run and left in its folder, as sections of a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dadsp.analysis.back_test import score_columns
from dadsp.analysis.embedding import MEASURES, verdict
from dadsp.analysis.enrichment_figures import SIGNIFICANT
from dadsp.errors import examples
from dadsp.evaluation.compare_tables import marked
from dadsp.files import read_json
from dadsp.report.document import Block, Facts, Figure, Figures, Section, Table, Text
from dadsp.report.words import LONG, MISSING, decimal, number, percent
from dadsp.runs.folder import RunFolder, complete

SUMMARIES = ("impute/*/impute.json", "embed/embed.json", "explain/*/explanation.json")  # each is written last
_STEPS = ("before", "after", "chance")
_GENES = ["cell_id", "rank", "gene", "attribution", "expression", "named"]
_DRUGS = ["drug_name", "rank", "median_ic50_um", "n_pairs", "drug_seen", "drug_measured"]
NO_GATE = {"open": False, "sentence": "explained by a version without a gate, so no gene is named: run dadsp explain again"}
NAMED = 20  # genes above the null that are told
ENDS = 3  # drugs of each end of the ranking that a description names


_complete = partial(complete, what="analysis", remedy="Run its verb again, or remove the folder.")


@dataclass(frozen=True, eq=False)
class Finding:
    """One finished analysis.

    Attributes:
        name: Its folder inside the run's, e.g. ``"impute/target"``.
        folder: The same, with the run's.
        facts: What its JSON file holds.
        tables: Its CSV files by name.
        figures: Its pictures by file name.
    """

    name: str
    folder: Path
    facts: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    figures: Mapping[str, bytes]


def read_findings(folder: Path) -> list[Finding]:
    """The finished analyses of a run folder.

    Raises:
        LoadError: A file of theirs is damaged.
    """
    found = []
    for summary in (path for pattern in SUMMARIES for path in sorted(folder.glob(pattern))):
        place = summary.parent
        with _complete(place):
            shown = ("drug_ranking", "top_genes")
            tables = {name: pd.read_csv(place / f"{name}.csv") for name in shown if (place / f"{name}.csv").exists()}
            found.append(
                Finding(str(place.relative_to(folder)), place, read_json(summary), tables, RunFolder(place).figures("."))
            )
    return found


def findings_sections(findings: list[Finding]) -> list[Section]:
    """One section for each finding.

    Raises:
        LoadError: A file holds other things than its verb writes.
    """
    sections = []
    for finding in findings:
        write = {"impute": _impute, "embed": _embed, "explain": _explain}[finding.name.split("/")[0]]
        with _complete(finding.folder):
            sections.append(write(finding))
    return sections


def _impute(finding: Finding) -> Section:
    facts, ranking = finding.facts, finding.tables["drug_ranking"]
    interval, screen = facts["interval"], facts["screen"]
    coverage = (
        f"{percent(interval['coverage_source'])} of held-out source lines' pairs, {percent(interval['coverage_target'])} on "
        "the target, where nothing is guaranteed"
    )
    own = ", the median of intervals that differ by pair" if interval.get("by_pair") else ""
    pairs = [
        ("Pairs", f"{facts['n_pairs']:,} of {facts['n_lines']:,} lines and {facts['n_drugs']:,} drugs that nobody measured"),
        ("Drugs never measured here", f"{facts['n_drugs_never_measured']:,}"),
        ("Drugs without training labels", f"{facts['n_drugs_not_trained_on']:,}"),
        ("Drugs near the labels' cap", f"{facts['n_drugs_near_cap']:,}; their order says little"),
        (f"Intervals for {percent(interval['nominal'])}", f"± {decimal(interval['half_width'], 2)} −log10 µM{own}"),
        ("They cover", coverage),
    ]
    ends = [ranking["drug_name"].head(ENDS), ranking["drug_name"].tail(ENDS)]
    low, high = (examples(end, ENDS) for end in ends)
    words = {
        "drug_ranking": (
            "Drugs by predicted IC50",
            f"Box plots over the lines of {screen} of the predicted IC50 of the strongest and the weakest drugs; behind "
            f"each the interval of one line's label, beside it the number of lines. Strongest: {low}; weakest: {high}.",
        ),
        "coverage": (
            "Do the intervals hold?",
            f"True against nominal coverage of the intervals with the line where both are equal. At "
            f"{percent(interval['nominal'])}: {coverage}.",
        ),
    }
    answer = (
        f"Which drugs are the most potent where nobody measured? {low}, by median predicted IC50. Intervals for "
        f"{percent(interval['nominal'])}, ± {decimal(interval['half_width'], 2)} −log10 µM{own}, held "
        f"{percent(interval['coverage_target'])} of the labels of {screen}."
    )
    blocks: list[Block] = [
        Text([answer]),
        Figures(_figures(finding, words)),
        Facts(pairs),
        _distances(facts),
        _back_test(facts),
        Text(["† oracle: saw labels of the target screen; no fair rival to unmarked rows."], as_list=True),
        _ranking(ranking),
    ]
    return Section(f"Unmeasured pairs of {screen}", blocks)


def _distances(facts: Mapping[str, Any]) -> Table:
    rows = [
        [
            flag,
            percent(row["share_of_missing_pairs"]),
            f"{row['n_scored']:,}",
            decimal(row["rmse"]),
            percent(row["coverage"]),
        ]
        for flag, row in facts["applicability"]["flags"].items()
    ]
    return Table("Distance to the training set", ["Where", "Missing pairs", "Measured pairs", "RMSE", "Covered"], rows)


def _back_test(facts: Mapping[str, Any]) -> Table:
    frame = pd.DataFrame(facts["back_test"])
    columns = score_columns(frame)
    values = frame[list(columns.values())].astype(float).to_numpy()
    rows = [[name, *map(decimal, row)] for name, row in zip(marked(frame), values, strict=True)]
    return Table("Back-test on measured pairs that trained nothing", ["System", *columns], rows)


def _ranking(ranking: pd.DataFrame) -> Table:
    rows = [
        [str(name), str(rank), f"{ic50:.3g}", str(n), *("yes" if mark else "no" for mark in marks)]
        for name, rank, ic50, n, *marks in ranking[_DRUGS].itertuples(index=False)
    ]
    headings = ["Drug", "Rank", "Median IC50, µM", "Lines", "In training", "Measured here"]
    return Table("Drugs by median predicted IC50", headings, rows, folded=len(rows) > LONG)


def _embed(finding: Finding) -> Section:
    facts = finding.facts
    measures = facts["measures"]
    source, target = facts["screens"].values()
    rows = [
        [words.strip(), *(MISSING if measures[name][step] is None else f"{measures[name][step]:.4g}" for step in _STEPS)]
        for name, words in MEASURES.items()
        if name in measures
    ]
    mixing = measures["domain_mixing"]
    words = {
        "maps": (
            "Lines before and after training",
            f"Four t-SNE maps of {facts['n_source_lines']:,} lines of {source} and {facts['n_target_lines']:,} of {target}: "
            "before and after training, coloured and shaped by screen and by tissue. Neighbours in the other screen, over "
            f"chance: {decimal(mixing['before'])} before, {decimal(mixing['after'])} after.",
        )
    }
    counted = (
        f"{facts['n_source_lines']:,} lines of {source}, {facts['n_target_lines']:,} of {target}, "
        f"{facts['n_shared_lines']:,} of them in both."
    )
    table = Table("How far the screens are apart", ["Measure", *(step.capitalize() for step in _STEPS)], rows)
    judged = verdict(facts)
    told = Text(
        [f"Did training bring the screens together and keep what tells lines apart? {judged['sentence']}"],
        passed=judged["passed"],
    )
    return Section("Feature space", [told, Figures(_figures(finding, words)), Text([counted]), table])


def _explain(finding: Finding) -> Section:
    facts, top = finding.facts, finding.tables["top_genes"]
    drug, gate, called = facts["drug"]["name"], facts.get("gate", NO_GATE), facts.get("called", {})
    enriched = facts["enriched"] if gate["open"] else {}
    sets = {name: {of: found for of, found in lists.items() if found} for name, lists in enriched.items()}
    words = {
        "agreement": (
            "How far to trust them",
            "Agreement of the attributions with those of other baselines, other drugs, other runs and shuffled weights; the "
            "table of agreement holds the numbers.",
        ),
        "drug_atoms": ("Atoms of the drug", f"Structure of {drug}, its atoms coloured by their share in the prediction."),
    }
    if gate["open"]:
        first = top[top["rank"] == 1].itertuples()
        strongest = "; ".join(f"{row.gene} for {called.get(row.cell_id, row.cell_id)}" for row in first)
        bars = (
            f"Bars of the genes of largest attribution to the predicted potency of {drug}, a panel for each line; grey: not "
            f"above the null. First of each: {strongest}."
        )
        words = {"top_genes": ("Critical genes", bars), **words}
    for name, lists in sets.items():
        words[f"enrichment_{name}"] = (
            f"Gene sets: {name}",
            f"Dot plot of the gene sets of {name} that hold most critical genes of {drug}, by line; {len(lists)} lists of "
            f"genes have sets with adjusted p < {SIGNIFICANT}.",
        )
    agreement = [
        [f"{row['comparison']}: {row['other']}", decimal(row["spearman"]), decimal(row["jaccard"])]
        for row in facts["agreement"]
    ]
    agreement.append(["chance", decimal(0.0), decimal(facts["chance_jaccard"])])
    blocks: list[Block] = [
        Text([f"Which genes does its predicted potency rest on? {_sentence(gate)}"], passed=gate["open"]),
        Figures(_figures(finding, words)),
        Facts(_explained(facts, sets, gate, called)),
        Table("Agreement, mean over lines", ["With", "Spearman", "Top genes in common (Jaccard)"], agreement),
    ]
    if gate["open"]:
        blocks.append(_genes(top, called, facts["unit"]))
    return Section(f"Critical genes: {drug} on {facts['screen']}", blocks)


def _sentence(gate: Mapping[str, Any]) -> str:
    named = f": {examples(gate['named'], NAMED)}" if gate["open"] else ""
    return f"{gate['sentence'][:1].upper()}{gate['sentence'][1:]}{named}."


def _explained(
    facts: Mapping[str, Any], sets: Mapping[str, Any], gate: Mapping[str, Any], called: Mapping[str, str]
) -> list[tuple[str, str]]:
    """What was explained, and its checks; ``sets`` are those over-represented, by file and list of genes."""
    whole, shuffled = facts["completeness"], facts["randomisation"]
    passed = "they change with the weights, whatever these learned"
    verdict = passed if shuffled["passed"] else "FAILED: they hardly depend on the weights"
    pairs = [
        ("Lines", f"{examples([called.get(line, line) for line in facts['lines']], 8)}: {facts['chosen']}"),
        ("Attributions add up", f"largest error {whole['largest_error']:.1g}, tolerance {whole['tolerance']:g}"),
        ("Against shuffled weights", f"mean |Spearman| {decimal(shuffled['mean_abs_spearman'])}: {verdict}"),
        ("Drug atoms", facts["drug_atoms"]),
    ]
    if others := facts.get("other_drugs"):
        pairs.insert(1, ("Other drugs compared with, drawn at random", examples(others, 8)))
    if planted := facts.get("planted_genes"):
        low, high = planted["interval_over_lines"]
        pairs.append(("Planted genes", f"AUROC {decimal(planted['auroc'])} [{decimal(low)}, {decimal(high)}], chance 0.5"))
    for name, lists in sets.items():
        told = "; ".join(f"{of}: {examples(found, 5)}" for of, found in lists.items()) or "none"
        pairs.append((f"Gene sets of {name} with adjusted p < {SIGNIFICANT}", told))
    return pairs


def _genes(top: pd.DataFrame, called: Mapping[str, str], unit: str) -> Table:
    rows = [
        [called.get(line, str(line)), str(rank), str(gene), number(given, 4), decimal(seen), "yes" if named else "no"]
        for line, rank, gene, given, seen, named in top[_GENES].itertuples(index=False)
    ]
    headings = ["Line", "Rank", "Gene", "Attribution", "Expression", "Above the null"]
    return Table(f"Genes of largest attribution ({unit})", headings, rows, folded=len(rows) > LONG)


def _figures(finding: Finding, words: Mapping[str, tuple[str, str]]) -> list[Figure]:
    """Those that the verb drew, in the order of ``words``."""
    by_stem = {
        name.rpartition(".")[0]: (f".{name.rpartition('.')[2]}", content) for name, content in finding.figures.items()
    }
    return [
        Figure(title, by_stem[stem][1], by_stem[stem][0], said) for stem, (title, said) in words.items() if stem in by_stem
    ]
