"""What a study holds, as plain numbers for a report, a log or a model's card."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dadsp.data.potency import RISES
from dadsp.data.shared_pairs import measured_in_both
from dadsp.schema import FloatArray, Screen, Study


def describe(study: Study) -> dict[str, Any]:
    """Counts, ranges, overlaps, notes and hashes of a study; JSON-able, None where a number has no meaning.

    Keys: ``source`` and ``target`` (each as below), ``n_genes``, ``label_cap``, ``content_hash``, ``overlap``.

    A screen: ``name``, ``lines``, ``labelled_lines``, ``drugs``, ``labelled_drugs``, ``pairs``,
    ``grid_share`` (pairs over labelled lines × labelled drugs), ``expression`` and ``labels`` (min, max, mean, sd; labels in
    −log10 IC50 µM), ``censored_share``, ``cap``, ``measure``, ``published_value_rises_with_sensitivity``, ``origins`` (of a
    combined screen: pairs by where their label came from), ``notes``, ``content_hash``.

    ``overlap``: ``lines`` (target lines that the source has), ``labelled_target_lines`` (those of them with target labels),
    ``lines_labelled_in_both``, ``labelled_target_drugs`` (those whose structure has source labels), ``pairs`` (target pairs
    whose line and structure were measured in the source), and ``source_label_as_prediction`` for these pairs: Pearson ``r``
    and ``rmse`` of the source's label, and the same ``raw``, before clipping. Labels of one structure under several source
    drugs are averaged.
    """
    return {
        "source": _screen(study.source),
        "target": _screen(study.target),
        "n_genes": len(study.genes),
        "label_cap": study.label_cap,
        "content_hash": study.content_hash,
        "overlap": _overlap(study),
    }


def _screen(screen: Screen) -> dict[str, Any]:
    responses = screen.responses
    lines, drugs = len(np.unique(responses.cell_idx)), len(np.unique(responses.drug_idx))
    return {
        "name": screen.name,
        "lines": len(screen.cells),
        "labelled_lines": lines,
        "drugs": len(screen.drugs),
        "labelled_drugs": drugs,
        "pairs": len(responses),
        "grid_share": len(responses) / (lines * drugs) if len(responses) else 0.0,
        "expression": _range(screen.cells.expression),
        "labels": _range(responses.potency),
        "censored_share": float(responses.censored.mean()) if len(responses) else None,
        "cap": screen.cap,
        "measure": screen.measure,
        "published_value_rises_with_sensitivity": RISES[screen.measure],
        "origins": _origins(screen),
        "notes": [asdict(note) for note in screen.notes],
        "content_hash": screen.content_hash,
    }


def _origins(screen: Screen) -> dict[str, int]:
    origin = screen.responses.origin
    if origin is None:
        return {}
    return dict(zip(screen.origins, np.bincount(origin, minlength=len(screen.origins)).tolist(), strict=True))


def _range(values: FloatArray) -> dict[str, float] | None:
    if not values.size:
        return None
    return {
        "min": float(values.min()),
        "max": float(values.max()),
        "mean": float(values.mean(dtype=np.float64)),
        "sd": float(values.std(dtype=np.float64)),
    }


def _overlap(study: Study) -> dict[str, Any]:
    source, target = study.source, study.target
    shared = study.target_cell_in_source >= 0
    labelled = np.isin(np.arange(len(target.cells)), target.responses.cell_idx)
    in_source = np.isin(study.target_cell_in_source, source.responses.cell_idx)
    labelled_keys = {source.drugs.structure_keys[row] for row in np.unique(source.responses.drug_idx)} - {None}
    target_keys = [target.drugs.structure_keys[row] for row in np.unique(target.responses.drug_idx)]
    both = measured_in_both(study)
    return {
        "lines": int(shared.sum()),
        "labelled_target_lines": int((shared & labelled).sum()),
        "lines_labelled_in_both": int((shared & labelled & in_source).sum()),
        "labelled_target_drugs": sum(key in labelled_keys for key in target_keys),
        "pairs": len(both),
        "source_label_as_prediction": _agreement(both["target"].to_numpy(), both["source"].to_numpy())
        | {"raw": _agreement(both["target"].to_numpy(), both["raw"].to_numpy())},
    }


def _agreement(truth: NDArray[np.float64], prediction: NDArray[np.float64]) -> dict[str, float | None]:
    """Pearson r and root mean squared error; None where there are too few or constant values."""
    if not len(truth):
        return {"r": None, "rmse": None}
    varied = np.ptp(truth) > 0 and np.ptp(prediction) > 0
    return {
        "r": float(np.corrcoef(truth, prediction)[0, 1]) if varied else None,
        "rmse": float(np.sqrt(np.mean((truth - prediction) ** 2))),
    }
