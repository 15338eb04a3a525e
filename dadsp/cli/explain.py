"""``dadsp explain``: which genes, and which atoms of the drug, a finished run's predictions rest on; and how surely."""

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from dadsp.analysis.attribution import MEANING, MEASURED
from dadsp.analysis.enrichment_figures import SIGNIFICANT
from dadsp.cli.places import Places, open_run
from dadsp.configuration.compose import plain
from dadsp.errors import examples
from dadsp.options import STRICT, validated
from dadsp.runs.explaining import UNIT, Explained, check_request, explain_run, write_explanation
from dadsp.runs.folder import RunFolder
from dadsp.runs.run import Run


@dataclass(frozen=True, config=STRICT)
class Others:
    """Runs to compare with."""

    runs: tuple[str, ...]


def work(config: DictConfig, as_json: bool) -> None:
    """Explains as the configuration says."""
    given = plain(config)
    folder, out = Places.taken_from(given)
    others = validated(Others, {"runs": given.pop("runs")}, "").runs
    check_request(given)
    run = open_run(folder)
    found = explain_run(run, given, [Run(RunFolder(other).trained("runs")) for other in others])
    written = out or folder / "explain" / found.label
    facts = write_explanation(found, written)
    if as_json:
        print(json.dumps({"folder": str(written), **facts}, allow_nan=False))
    else:
        _print(written, found, facts)


def _print(folder: Path, answer: Explained, facts: dict[str, Any]) -> None:
    explanation = answer.explanation
    print(f"{answer.title}: {len(facts['lines'])} lines, {facts['chosen']}")
    print(f"compared with {explanation.baseline}: {MEANING[explanation.baseline]}")
    if facts["genes"] != MEASURED:
        print(f"attributions are of {facts['genes']}")
    for note in explanation.notes:
        print(note)
    gate = explanation.gate
    potency = explanation.by_baseline[explanation.baseline].potency
    for (name, genes), predicted in zip(explanation.top.groupby("cell_id", sort=False), potency, strict=True):
        best = "  ".join(
            f"{gene}{'*' if named else ''} {value:+.3f}"
            for gene, named, value in genes.head(5)[["gene", "named", "attribution"]].to_numpy()
        )
        print(f"  {explanation.called[str(name)]}  predicted {predicted:.2f}" + ("" if gate.closed else f"   {best}"))
    print(f"genes          {gate.sentence}" + ("" if gate.closed else f" (*): {examples(facts['gate']['named'], 10)}"))
    whole = facts["completeness"]
    print(f"completeness   largest error {whole['largest_error']:.1g} {UNIT}, tolerance {whole['tolerance']:g}")
    if facts["other_drugs"]:
        print(f"other drugs    {examples(facts['other_drugs'], 8)}, drawn at random")
    for row in facts["agreement"]:
        what = f"{row['comparison']}: {row['other']}"
        print(f"agreement      {what}: Spearman {row['spearman']:.2f}, top genes in common {row['jaccard']:.2f} (Jaccard)")
    shuffled = facts["randomisation"]
    verdict = (
        "they change with the weights, whatever these learned"
        if shuffled["passed"]
        else "FAILED: they hardly depend on the weights"
    )
    print(f"randomisation  mean |Spearman| {shuffled['mean_abs_spearman']:.2f}, limit {shuffled['limit']}: {verdict}")
    if planted := facts.get("planted_genes"):
        low, high = planted["interval_over_lines"]
        print(f"planted genes  AUROC {planted['auroc']:.2f}, over lines [{low:.2f}, {high:.2f}], chance 0.5")
    if isinstance(explanation.atoms, str):
        print(f"drug atoms     {explanation.atoms}")
    for name, table in answer.enriched.items():
        if gate.closed:
            print(f"{name}: no gene sets, since no genes are ranked")
            continue
        print(f"{name}: {table['gene_set'].nunique()} gene sets tested")
        for of, sets in facts["enriched"][name].items():
            which = explanation.called.get(of, of)  # a line, or their mean
            print(f"  {which}: {len(sets)} with adjusted p < {SIGNIFICANT}" + (f" ({examples(sets)})" if sets else ""))
    print(f"written to {folder}")
