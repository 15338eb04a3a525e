"""The structures of a screen's drugs, for systems that cannot do without."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dadsp.errors import MissingIdsError, examples
from dadsp.schema import IntArray, Pairs, Screen


def structures(screen: Screen, rows: IntArray | None = None) -> tuple[list[str], list[str]]:
    """SMILES and names of the drugs in ``rows`` (all by default).

    Raises:
        MissingIdsError: A drug has no SMILES.
    """
    wanted = range(len(screen.drugs)) if rows is None else rows
    lacking = [screen.drugs.names[row] for row in wanted if screen.drugs.smiles[row] is None]
    if lacking:
        raise MissingIdsError(
            f"{len(lacking)} drugs of {screen.name} have no SMILES (e.g. {examples(lacking)}). "
            "Add their structures, or leave these drugs out."
        )
    return [screen.drugs.smiles[row] or "" for row in wanted], [screen.drugs.names[row] for row in wanted]


def keys_of(pairs: Pairs) -> NDArray[Any]:
    """The structure key of each pair's drug, shape (n_pairs,)."""
    return np.array(pairs.screen.drug_keys, dtype=object)[pairs.drug_idx]
