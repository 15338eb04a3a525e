"""``alignment=none``: each system's own scaling and nothing beside it."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from numpy.typing import NDArray

from dadsp.data.alignment.base import Alignment, AlignmentLines, Arrays, FittedAlignment
from dadsp.schema import Domain, FloatArray


@dataclass(frozen=True, eq=False)
class Identity(FittedAlignment):
    """Leaves expression as it is."""

    stated: dict[str, Any] = field(default_factory=lambda: {"kind": "none"})

    def transform(self, expression: FloatArray, domain: Domain) -> FloatArray:
        """The same expression."""
        return expression

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Nothing."""
        return {}

    @classmethod
    def from_arrays(cls, stated: dict[str, Any], arrays: Arrays) -> Self:
        """The same for all."""
        return cls(stated)


@dataclass(frozen=True)
class NoAlignment(Alignment):
    """Nothing is aligned."""

    kind: ClassVar[str] = "none"
    fitted: ClassVar[type[FittedAlignment]] = Identity

    def fit(self, lines: AlignmentLines) -> Identity:
        """The identity, whatever the lines."""
        return Identity()
