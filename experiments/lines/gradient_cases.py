"""The runs of gradient.py: what each changes, and what the simulation knows of the planted shift."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dadsp.building import build
from dadsp.data.alignment.base import Alignment, AlignmentLines, FittedAlignment
from dadsp.data.alignment.gene_wise import GeneWise
from dadsp.data.scaling import ExpressionScaler, shift_and_scale
from dadsp.schema import FloatArray

Values = NDArray[np.float64]

SHIFTS = (0.0, 3.0, 8.0)
N_DIRECTIONS = 3  # as many as the simulation plants batch programs
WEIGHT = "model.adaptation_weight=0.1"
NONE = ("model=line_network", "model.adaptation_weight=0")
ADVERSARY = ("model=line_network_adversary", WEIGHT)
UNWEIGHTED = ("model=line_network_adversary", "model.adaptation_weight=0")  # none, by the stage that has hooks
PUBLISHED = ("model=dadsp_a", "model.adversarial_weight=0.1")
SAME_LINES = ("data.n_target_cells=240", "data.n_shared_cells=240")
MORE_LINES = ("data.n_source_cells=960", "data.n_target_cells=600", "data.n_shared_cells=360")


@dataclass(frozen=True, eq=False)
class Planted:
    """What the simulation knows of the target's batch programs.

    Attributes:
        activity: Of each target line, orthonormal columns, shape (n_target, n_programs).
        genes: Directions in gene space that the programs span, orthonormal rows, shape (n_programs, n_genes).
        clean: The target's expression without them, float32, shape (n_target, n_genes).
    """

    activity: Values
    genes: Values
    clean: FloatArray

    @classmethod
    def of(cls, settings: dict[str, Any], n_programs: int = N_DIRECTIONS) -> "Planted":
        """By drawing the screens twice, without programs and with weak ones: everything else is drawn alike."""
        clean, weak = (
            build({**settings, "batch_sd": size}, "data").target.cells.expression.astype(np.float64) for size in (0.0, 0.1)
        )
        added = np.log2(np.exp2(weak) - 1) - np.log2(np.exp2(clean) - 1)  # before log2(TPM + 1)
        certain = np.minimum(weak, clean) > 0.5  # a gene that is off does not tell
        added = np.where(certain, added, 0.0)
        lines, sizes, genes = np.linalg.svd(added, full_matrices=False)
        if sizes[n_programs] > 0.2 * sizes[n_programs - 1]:
            raise RuntimeError(f"The screens do not differ by {n_programs} programs: {sizes[: n_programs + 2]}")
        return cls(lines[:, :n_programs], genes[:n_programs], clean.astype(np.float32))


@dataclass(frozen=True)
class BiologysScale(Alignment):
    """Oracle: z-scores, the target's in units of what each gene would spread without the batch programs."""

    kind: ClassVar[str] = "oracle_scale"
    clean: FloatArray = field(repr=False, compare=False)

    def fit(self, lines: AlignmentLines) -> FittedAlignment:
        """Means of the lines, scales of the source's lines and of the clean target's."""
        source, target = shift_and_scale("zscore", [lines.source]), shift_and_scale("zscore", [lines.target])
        _, scale = shift_and_scale("zscore", [self.clean])
        return GeneWise({"kind": self.kind}, ExpressionScaler(*source, target[0], scale))


@dataclass(frozen=True)
class Case:
    """One kind of run.

    Attributes:
        name: In the tables.
        overrides: Of the configuration.
        beside: The case without adaptation that differs in nothing else; empty for such a case.
        shifts: Sizes of the shift that it is run at.
        without_programs: Oracle: the planted directions are taken out of both screens' expression.
        biologys_scale: Oracle: see ``BiologysScale``.
        sees: What the discriminator is shown: codes; codes inside, or outside, the directions in which the planted programs
            move codes; or ``"fake"``: codes with domain labels that a coin threw once for each line.
        moves: Whose codes pass its gradient on: ``"both"`` screens', the ``"source"``'s or the ``"target"``'s.
        cut: Oracle: first-layer weights along the planted directions are 0 and stay so, so that no unit sees the programs.
        experiment: Whose network.
    """

    name: str
    overrides: tuple[str, ...] = ADVERSARY
    beside: str = "none"
    shifts: tuple[float, ...] = (3.0,)
    without_programs: bool = False
    biologys_scale: bool = False
    sees: str = "codes"
    moves: str = "both"
    cut: bool = False
    experiment: str = "adaptation_lines"

    @property
    def adapts(self) -> bool:
        """Whether anything draws codes together."""
        return not any(each.endswith("_weight=0") for each in self.overrides)


CASES = (
    Case("none", NONE, "", SHIFTS),
    Case("adversary", shifts=SHIFTS),
    Case("CORAL", ("model=line_network_coral", WEIGHT), shifts=SHIFTS),
    Case("MMD", ("model=line_network_mmd", WEIGHT), shifts=SHIFTS),
    Case("alignment=bridge", (*NONE, "alignment=bridge"), shifts=SHIFTS),
    Case("alignment=coral", (*NONE, "alignment=coral"), shifts=SHIFTS),
    Case("alignment=combat", (*NONE, "alignment=combat"), shifts=SHIFTS),
    Case("bridge, adversary", (*ADVERSARY, "alignment=bridge"), "alignment=bridge"),
    Case("oracle: programs out", NONE, shifts=(3.0, 8.0), without_programs=True),
    Case("oracle: programs out, adversary", beside="oracle: programs out", without_programs=True),
    Case("oracle: scale", NONE, shifts=(3.0, 8.0), biologys_scale=True),
    Case("oracle: scale, adversary", beside="oracle: scale", biologys_scale=True),
    Case("oracle: weights cut", UNWEIGHTED, cut=True),
    Case("oracle: weights cut, adversary", beside="oracle: weights cut", cut=True),
    Case("moves target codes only", moves="target"),
    Case("moves source codes only", moves="source"),
    Case("weight 0.001", ("model=line_network_adversary", "model.adaptation_weight=0.001")),
    Case("weight 0.00001", ("model=line_network_adversary", "model.adaptation_weight=0.00001")),
    Case("linear discriminator", (*ADVERSARY, "model.discriminator_widths=[]"), shifts=(0.0, 3.0)),
    Case("fake domains", sees="fake", shifts=(0.0, 3.0)),
    Case("oracle: programs out, fake domains", beside="oracle: programs out", without_programs=True, sees="fake"),
    Case("sees planted directions only", sees="planted"),
    Case("sees all but planted directions", sees="rest"),
    Case("same lines, none", (*NONE, *SAME_LINES), "", (0.0, 3.0)),
    Case("same lines, adversary", (*ADVERSARY, *SAME_LINES), "same lines, none", (0.0, 3.0)),
    Case("4 times the lines, none", (*NONE, *MORE_LINES), ""),
    Case("4 times the lines, adversary", (*ADVERSARY, *MORE_LINES), "4 times the lines, none"),
    Case("published, none", ("model=dadsp_a", "model.adversarial_weight=0"), "", experiment="adaptation"),
    Case("published, adversary", PUBLISHED, "published, none", experiment="adaptation"),
)


@cache
def planted_in(settings: tuple[tuple[str, Any], ...]) -> Planted:
    """Of these screens, whatever the size of the shift."""
    return Planted.of(dict(settings))
