"""From the kind that a saved model states to the class that reads its arrays."""

from typing import Any

from dadsp.data.alignment.base import Arrays, FittedAlignment
from dadsp.data.alignment.identity import Identity
from dadsp.errors import LoadError, nearest

FITTED: dict[str, type[FittedAlignment]] = {"none": Identity}


def load_alignment(stated: dict[str, Any], arrays: Arrays) -> FittedAlignment:
    """The alignment of a saved model.

    Raises:
        LoadError: Its kind is unknown, or an array is absent.
    """
    kind = str(stated.get("kind"))
    if kind not in FITTED:
        raise LoadError(f"The saved model has alignment '{kind}', which is unknown. {nearest(kind, list(FITTED))}")
    return FITTED[kind].from_arrays(stated, arrays)
