"""From the kind that a saved model states to the class that reads its arrays."""

from typing import Any

from dadsp.data.alignment.base import Arrays, FittedAlignment
from dadsp.data.alignment.bridge import FittedBridge
from dadsp.data.alignment.coral import Recolouring
from dadsp.data.alignment.gene_wise import GeneWise
from dadsp.data.alignment.identity import Identity
from dadsp.data.alignment.quantile import QuantileMap
from dadsp.data.alignment.rank import RankScores
from dadsp.errors import LoadError, nearest

FITTED: dict[str, type[FittedAlignment]] = {
    "none": Identity,
    "zscore": GeneWise,
    "rank": RankScores,
    "quantile": QuantileMap,
    "coral": Recolouring,
    "bridge": FittedBridge,
    "combat": GeneWise,
}  # ``auto`` is saved as the one that it took


def load_alignment(stated: dict[str, Any], arrays: Arrays) -> FittedAlignment:
    """The alignment of a saved model.

    Raises:
        LoadError: Its kind is unknown, or an array is absent.
    """
    kind = str(stated.get("kind"))
    if kind not in FITTED:
        raise LoadError(f"The saved model has alignment '{kind}', which is unknown. {nearest(kind, list(FITTED))}")
    return FITTED[kind].from_arrays(stated, arrays)
