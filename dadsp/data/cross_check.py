"""What one comparison of two screens found."""

from dataclasses import dataclass
from typing import Literal

from dadsp.schema import Note

Verdict = Literal["fits", "look", "suspicious", "not made"]


@dataclass(frozen=True)
class CrossCheck:
    """One comparison of two screens.

    Attributes:
        name: What is checked.
        verdict: ``"suspicious"`` alarms; ``"look"`` may be right as it is; ``"not made"`` says why in ``what``.
        what: What was found, in words with its numbers.
        of: How many pairs, lines or drugs it rests on.
        count: How many of them it concerns.
        examples: The first few.
    """

    name: str
    verdict: Verdict
    what: str
    of: int
    count: int = 0
    examples: str = ""

    @property
    def note(self) -> Note:
        """The same, of a verdict that alarms, as a note."""
        return Note(f"suspicious {self.name}: {self.what}", self.count, self.examples)

    def __str__(self) -> str:
        shown = f": {self.count:,} ({self.examples})" if self.examples else ""
        return f"{self.verdict}: {self.name}: {self.what}{shown}"
