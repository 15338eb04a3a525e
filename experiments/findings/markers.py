"""Do the genes that a run rests on hold the published expression markers of its drugs? Against chance, with intervals.

    python experiments/findings/markers.py RUNS… --out experiments/findings/markers_results.csv

A gene's effect is the gate's (``dadsp.analysis.gate``), over random lines of the source. Its rank is that of the effect in
the published direction (1: the largest). Intervals draw drugs with replacement: markers of one drug are not independent.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from dadsp.analysis.attribution import AttributionOptions
from dadsp.analysis.gate import GateOptions, gate, gene_effects
from dadsp.cli.script import end
from dadsp.errors import ConfigError, DadspError
from dadsp.files import write_atomically
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.runs.collection import row_identity
from dadsp.runs.explaining import held_out_labels, with_drug
from dadsp.runs.folder import RunFolder
from dadsp.runs.run import Run
from dadsp.schema import Pairs

HERE = Path(__file__).parent
OPTIONS = GateOptions(lines=40)  # fewer lines than by default, for time
OTHERS, TOP = 5, 0.05


def effects_of(run: Run, drug: str) -> tuple[tuple[str, ...], np.ndarray, dict, np.ndarray | None]:
    """Genes, effects in the model, the gate's facts, and correlations of expression with the drug's own labels."""
    source = run.study.source
    screen = with_drug(run.study, "source", drug)
    pairs = Pairs(screen, "source", np.array([0]), np.array([0]))
    random = np.random.default_rng(0)
    others = [name for name in random.permutation(source.drugs.ids) if name != screen.drugs.ids[0]][:OTHERS]
    other = [Pairs(with_drug(run.study, "source", name), "source", np.array([0]), np.array([0])) for name in others]
    held_out = held_out_labels(run, screen.drug_keys[0])
    found = gate(run.model, pairs, OPTIONS, AttributionOptions(), 0, other, held_out)
    own = [row for row, key in enumerate(source.drug_keys) if key == screen.drug_keys[0]]
    labels = source.responses.take(np.flatnonzero(np.isin(source.responses.drug_idx, own)))
    plain = None
    if len(labels):
        measured = (labels.potency - labels.potency.mean())[:, None]
        expression = source.with_genes(run.genes).cells.expression[labels.cell_idx]
        plain = gene_effects(np.repeat(measured, expression.shape[1], axis=1), expression)
    return run.genes, found.effects, found.facts, plain


def rows_of(run: Run, markers: pd.DataFrame) -> list[dict]:
    """One row per marker and system: the run's, and the plain correlation with labels."""
    identity, rows = row_identity(RunFolder(run.folder)), []
    seed = identity["seed"]
    for drug, of_drug in markers.groupby("drug", sort=False):
        try:
            genes, effects, facts, plain = effects_of(run, str(drug))
        except DadspError as error:
            print(f"{drug}: {error}")
            continue
        for system, values in ((run.name, effects), ("correlation with labels, no model", plain)):
            if values is None:
                continue
            for marker in of_drug.itertuples():
                if marker.gene not in genes:
                    print(f"{drug}: {marker.gene} is not among the genes")
                    continue
                column = genes.index(marker.gene)
                signed = values * (1 if marker.direction == "sensitive" else -1)
                row = {
                    "system": system, **identity, "drug": drug, "gene": marker.gene, "direction": marker.direction,
                    "drug_has_labels": plain is not None, "n_genes": len(genes), "effect": values[column],
                    "rank": int((signed > signed[column]).sum()) + 1,
                    "rank_of_size": int((np.abs(values) > np.abs(values[column])).sum()) + 1,
                }  # fmt: skip
                if system == run.name:
                    row |= {
                        "gate_open": facts["open"],
                        "named": marker.gene in facts["named"],
                        "all_named": len(facts["named"]),
                    }
                    row["verdict"] = facts["sentence"]
                rows.append(row)
        print(f"{run.name} seed {seed}, {drug}: {facts['sentence']}; {', '.join(facts['named'][:8])}", flush=True)
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """AUROC in the published direction and recall among the top 5 %, with intervals over drugs."""
    random, found = np.random.default_rng(0), []
    for (system, seed), mine in rows.groupby(["system", "seed"], sort=False):
        auroc = 1 - (mine["rank"] - 1) / (mine["n_genes"] - 1)
        values = pd.DataFrame({"drug": mine["drug"], "auroc": auroc, "recall": mine["rank"] <= TOP * mine["n_genes"]})
        groups = [group[["auroc", "recall"]].to_numpy(float) for _, group in values.groupby("drug")]
        draws = [
            np.concatenate([groups[row] for row in random.integers(len(groups), size=len(groups))]).mean(axis=0)
            for _ in range(2000)
        ]
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        row = {"system": system, "seed": seed, "drugs": len(groups), "markers": len(mine)}
        for number, name in enumerate(("auroc", "recall")):
            row |= {name: values[name].mean(), f"{name}_low": low[number], f"{name}_high": high[number]}
        named = mine["named"].dropna()
        if len(named):
            once = mine.drop_duplicates(["seed", "drug"])
            row |= {"gates_open": int(once["gate_open"].sum()), "gates": len(once), "markers_named": int(named.sum())}
            row["genes_named"] = int(once["all_named"].sum())
        found.append(row)
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--markers", default=HERE / "markers.csv")
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    markers, rows = pd.read_csv(given.markers), []
    for place in given.runs:
        run = Run(RunFolder(place))
        if isinstance(run.model, PairwiseGp):
            run.model.with_dealt_labels = _dealt_once(run.model)  # type: ignore[method-assign]
        rows += rows_of(run, markers)
    if not rows:
        raise ConfigError(f"{', '.join(map(str, given.runs))}: no marker's drug is known to these runs. Name others.")
    table = pd.DataFrame(rows).drop_duplicates(["system", "seed", "drug", "gene"])
    plain = table["system"].str.startswith("correlation")
    table = pd.concat([table[~plain], table[plain].drop_duplicates(["drug", "gene"])])
    short = summary(table)
    for path, each, digits in ((given.out, table, 5), (given.out.with_name(f"{given.out.stem}_summary.csv"), short, 3)):
        write_atomically(path, partial(each.to_csv, index=False, float_format=f"%.{digits}g"))
    print(short.to_string())


def _dealt_once(model: PairwiseGp) -> Callable[[Pairs, int], PairwiseGp]:
    """Labels are dealt for all drugs at once, so one draw serves all markers."""
    learn, known = model.with_dealt_labels, {}

    def dealt(pairs: Pairs, seed: int) -> PairwiseGp:
        if seed not in known:
            known[seed] = learn(pairs, seed)
        return known[seed]

    return dealt


if __name__ == "__main__":
    raise SystemExit(end(main))
