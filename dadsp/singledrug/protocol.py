"""Monte-Carlo cross-validation of one drug: every method on the same splits, honest and, where asked for, leaking.

Nested: whatever a model chooses (genes, scale, settings, width, epoch), it chooses on training lines, and every inner fold
chooses its genes anew. The oracle scopes break that on purpose, to show what it is worth.
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from sklearn.base import RegressorMixin

from dadsp.evaluation.metrics import regression_metrics
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import FitContext
from dadsp.schema import IntArray
from dadsp.seeding import derive_seed
from dadsp.singledrug.baselines import BaselineName, fit_baseline, make_baseline, search
from dadsp.singledrug.classes import Quartiles, class_scores, quartiles
from dadsp.singledrug.compression import CompressedNetwork, compress
from dadsp.singledrug.fitting import fit_network
from dadsp.singledrug.folds import Folds, Genes, PreparedFold
from dadsp.singledrug.lines import DrugLines
from dadsp.singledrug.model import SingleDrugModel, save_single_drug
from dadsp.singledrug.network import FittedNetwork, TrainedNetwork
from dadsp.singledrug.settings import MethodName, ProtocolOptions, SingleDrugOptions

RESULT, PREDICTIONS, MODEL = "result.json", "predictions.parquet", "model"
N_TIMINGS = 3  # inference is timed so often, and the shortest counts


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method after training, ready to be scored.

    Attributes:
        method: Its name; ``"network_compressed"`` beside the methods of the protocol.
        genes: Which genes it saw.
        prepared: The fold it was fitted on.
        regressor: Its ``predict`` takes the fold's inputs to the response.
        search_s: Seconds spent on choosing settings in inner folds, their gene selection included.
        fit_s: Seconds of the final fit; for the network its growth search included.
        facts: Settings chosen, size and whatever else belongs to it.
    """

    method: str
    genes: Genes
    prepared: PreparedFold
    regressor: FittedNetwork | RegressorMixin
    search_s: float
    fit_s: float
    facts: dict[str, Any]


def run_repeat(
    lines: DrugLines, response: str, repeat: int, options: SingleDrugOptions, folder: Path, context: FitContext
) -> dict[str, Any]:
    """Scores of every method on one partition of a drug's lines; read back where ``folder`` holds them already.

    The folder gets ``predictions.parquet`` of the test lines, the network and its compressed form under ``model`` (of the
    honest scope alone), and last ``result.json``, which is what this returns. A growth search that was cut off goes on.

    Args:
        lines: The drug's lines.
        response: What was measured, with sign and unit.
        repeat: Number of the partition.
        options: What to do.
        folder: Of this drug and repeat.
        context: Root seed and progress; the folder of training states is set here.
    """
    if (folder / RESULT).exists():
        return cast(dict[str, Any], read_json(folder / RESULT))
    seed = derive_seed(context.seed, lines.drug_id, repeat)
    folds = Folds(lines, options.protocol, options.selection, seed)
    train_idx, test_idx = folds.rows["test"]
    deciding = lines.response if options.protocol.threshold_scope == "all_oracle" else lines.response[train_idx]
    cuts = quartiles(deciding)
    states = folder / "states"
    rows, predictions = [], []
    for method, genes in comparisons(options.protocol):
        # The same draws in every scope, so that scopes differ by their genes alone.
        own = replace(context, seed=derive_seed(seed, method), checkpoints=states / genes.scope)
        if method == "network":
            fitted = _fit_network(genes, folds, options, own)
            if genes.scope == "train":
                _save(fitted, lines, response, cuts, folder / MODEL)
        else:
            fitted = [_fit_baseline(method, genes, folds, options, own.seed)]
        for each in fitted:
            row, predicted = _score(each, lines, test_idx, cuts)
            rows.append(row)
            predictions.append(predicted)
    frame = pd.concat(predictions, ignore_index=True)
    write_atomically(folder / PREDICTIONS, lambda path: frame.to_parquet(path, index=False))
    result = {
        "drug_id": lines.drug_id,
        "repeat": repeat,
        "split_hash": folds.split_hash,
        "n_train": len(train_idx),
        "n_test": len(test_idx),
        "cuts": list(cuts),
        "threshold_scope": options.protocol.threshold_scope,
        "rows": rows,
    }
    write_json(folder / RESULT, result, indent=None)
    shutil.rmtree(states, ignore_errors=True)
    return result


def comparisons(protocol: ProtocolOptions) -> Iterator[tuple[MethodName, Genes]]:
    """Every method with the genes it sees, each once: what selects no gene has no scope but ``train``."""
    for method in protocol.methods:
        if method in ("ann", "mean"):
            yield method, Genes("random" if method == "ann" else "all", "train")
            continue
        for gene_set in ("selected",) if method == "network" else protocol.gene_sets:
            for scope in protocol.selection_scopes if gene_set == "selected" else ("train",):
                yield method, Genes(gene_set, scope)


def _fit_network(genes: Genes, folds: Folds, options: SingleDrugOptions, context: FitContext) -> list[Fitted]:
    """The trained network and, of the honest scope, its compressed form if asked for."""
    prepared = folds.prepared("validation", genes)
    start = time.perf_counter()
    trained = fit_network(*prepared.fold, options.network, context)
    fit_s = time.perf_counter() - start
    shape = {"architecture": options.network.architecture, "widths": list(trained.network.widths)}
    facts = {**shape, "size_bytes": trained.size_bytes, "log": [asdict(trial) for trial in trained.log]}
    fitted = [Fitted("network", genes, prepared, trained, 0.0, fit_s, facts)]
    if options.compression is not None and genes.scope == "train":
        start = time.perf_counter()
        small = compress(trained, *prepared.fold, options.compression, context)
        seconds = time.perf_counter() - start
        facts = {**shape, "size_bytes": small.size_bytes}
        fitted.append(Fitted("network_compressed", genes, prepared, small, 0.0, fit_s + seconds, facts))
    return fitted


def _fit_baseline(name: BaselineName, genes: Genes, folds: Folds, options: SingleDrugOptions, seed: int) -> Fitted:
    baseline = make_baseline(name, options.network.fixed_widths, seed)
    inner = folds.inner(genes) if baseline.grid else []
    start = time.perf_counter()
    settings = search(baseline, [prepared.fold for prepared in inner])
    search_s = time.perf_counter() - start + sum(prepared.selection_s for prepared in inner)
    prepared = folds.prepared("test", genes)
    start = time.perf_counter()
    regressor = fit_baseline(baseline, settings, prepared.fold.x_fit, prepared.fold.y_fit)
    fit_s = time.perf_counter() - start
    return Fitted(name, genes, prepared, regressor, search_s, fit_s, {"settings": settings})


def _score(fitted: Fitted, lines: DrugLines, test_idx: IntArray, cuts: Quartiles) -> tuple[dict[str, Any], pd.DataFrame]:
    """One row of results, and the predictions it is made of."""
    inputs, y_true = fitted.prepared.inputs(lines.expression[test_idx]), lines.response[test_idx]
    y_pred, seconds = np.zeros(0), list[float]()
    for _ in range(N_TIMINGS):
        start = time.perf_counter()
        y_pred = np.asarray(fitted.regressor.predict(inputs), dtype=np.float64)
        seconds.append(time.perf_counter() - start)
    scores = regression_metrics(y_true, y_pred).to_json()
    genes = fitted.prepared.gene_idx
    row = {
        "method": fitted.method,
        "gene_set": fitted.genes.gene_set,
        "selection_scope": fitted.genes.scope,
        "mse": float(np.mean((y_true - y_pred) ** 2)),
        **{name: scores[name] for name in ("mae", "r2", "pearson", "spearman")},
        **class_scores(y_true, y_pred, cuts),
        "n_fit": len(fitted.prepared.fold.y_fit),
        "n_genes": len(genes),
        **_recall(lines, genes),
        "selection_s": fitted.prepared.selection_s,
        "search_s": fitted.search_s,
        "fit_s": fitted.fit_s,
        "predict_ms_per_line": 1e3 * min(seconds) / len(y_true),
        **fitted.facts,
    }
    named = {name: row[name] for name in ("method", "gene_set", "selection_scope")}
    cells = [lines.cell_ids[line] for line in test_idx]
    return row, pd.DataFrame({**named, "cell_id": cells, "y_true": y_true, "y_pred": y_pred})


def _recall(lines: DrugLines, gene_idx: IntArray) -> dict[str, float]:
    """Share of the planted genes among those chosen, and what as many random genes hold on average."""
    if not lines.causal_genes:
        return {}
    found = {lines.genes[column] for column in gene_idx} & set(lines.causal_genes)
    return {
        "causal_recall": len(found) / len(lines.causal_genes),
        "causal_recall_by_chance": len(gene_idx) / len(lines.genes),
    }


def _save(fitted: list[Fitted], lines: DrugLines, response: str, cuts: Quartiles, folder: Path) -> None:
    """The network with what stands before and after it, and its compressed form if there is one."""
    first, *others = fitted
    genes = tuple(lines.genes[column] for column in first.prepared.gene_idx)
    model = SingleDrugModel(
        lines.drug_id, response, genes, first.prepared.scale, cuts, cast(TrainedNetwork, first.regressor)
    )
    compressed = [cast(CompressedNetwork, other.regressor) for other in others]
    save_single_drug(model, folder, *compressed)
