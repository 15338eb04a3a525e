"""From the kind that a saved model states to the class that reads its arrays."""

from typing import Any

from dadsp.building import kinds_of, of_kind
from dadsp.data.alignment.base import Arrays, FittedAlignment
from dadsp.errors import LoadError, nearest


def fitted_kind(kind: str) -> type[FittedAlignment]:
    """What the registered alignment of that kind leaves behind; ``auto`` is saved as the one that it took.

    Raises:
        LoadError: There is none.
    """
    found: type[FittedAlignment] | None = getattr(of_kind("alignment", kind), "fitted", None)
    if found is None:
        known = [name for name, each in kinds_of("alignment").items() if each.fitted is not None]
        raise LoadError(f"The saved model has alignment '{kind}', which is unknown. {nearest(kind, known)}")
    return found


def load_alignment(stated: dict[str, Any], arrays: Arrays) -> FittedAlignment:
    """The alignment of a saved model.

    Raises:
        LoadError: Its kind is unknown, or an array is absent.
    """
    return fitted_kind(str(stated.get("kind"))).from_arrays(stated, arrays)
