"""From the kind that a saved model states to the class that reads its arrays."""

from typing import Any

from dadsp.building import kinds_of
from dadsp.data.alignment.base import Arrays, FittedAlignment
from dadsp.errors import LoadError, nearest


def fitted_kinds() -> dict[str, type[FittedAlignment]]:
    """What registered alignments leave behind, by kind; ``auto`` is saved as the one that it took."""
    found = {kind: each.fitted for kind, each in kinds_of("alignment").items()}
    return {kind: fitted for kind, fitted in found.items() if fitted is not None}


def load_alignment(stated: dict[str, Any], arrays: Arrays) -> FittedAlignment:
    """The alignment of a saved model.

    Raises:
        LoadError: Its kind is unknown, or an array is absent.
    """
    kind, known = str(stated.get("kind")), fitted_kinds()
    if kind not in known:
        raise LoadError(f"The saved model has alignment '{kind}', which is unknown. {nearest(kind, list(known))}")
    return known[kind].from_arrays(stated, arrays)
