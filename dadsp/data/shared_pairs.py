"""Pairs that both screens of a study measured."""

import numpy as np
import pandas as pd

from dadsp.schema import FloatArray, Screen, Study


def measured_in_both(study: Study) -> pd.DataFrame:
    """Target pairs whose line and structure the source measured too, in the target's order.

    Labels of one structure under several source drugs are averaged.

    Returns:
        Columns ``link`` (the line), ``structure``, ``drug`` (row of the target's drugs); ``target`` (label),
        ``target_censored``; ``source`` (label as clipped as the study's), ``raw`` (before clipping), ``source_censored``
        (share of the averaged labels).
    """
    return pairs_of_both(study.source, study.target, study.raw_source_potency)


def pairs_of_both(source: Screen, target: Screen, raw: FloatArray) -> pd.DataFrame:
    """As ``measured_in_both``, of two screens; ``raw`` are the source's labels before clipping, shape (n_source_pairs,)."""
    measured, held_out = (
        pd.DataFrame(
            {
                "link": np.array(screen.cells.link_ids, dtype=object)[screen.responses.cell_idx],
                "structure": np.array(screen.drugs.structure_keys, dtype=object)[screen.responses.drug_idx],
                "drug": screen.responses.drug_idx,
                role: screen.responses.potency.astype(np.float64),
                f"{role}_censored": screen.responses.censored,
            }
        )
        for role, screen in (("source", source), ("target", target))
    )
    measured = measured.drop(columns="drug").assign(raw=raw.astype(np.float64)).dropna()
    pooled = measured.groupby(["link", "structure"], as_index=False)[["source", "raw", "source_censored"]].mean()
    return held_out.dropna().merge(pooled, on=["link", "structure"])
