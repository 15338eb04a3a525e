"""What a run knows of how far to trust its own predictions; kept beside the model, as JSON and safetensors."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dadsp.errors import LoadError
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import Arrays, FitContext, Predictor, under
from dadsp.models.trust.calibration import Calibration, factors_of, nested_coverage
from dadsp.models.trust.held_out import HeldOut, can_cross_fit, cross_fit, held_out_lines
from dadsp.models.trust.nearness import Nearness
from dadsp.models.trust.own_lines import OwnLines
from dadsp.schema import BoolArray, FloatArray, IntArray, Pairs, Screen, Split, Study

Method = Literal["auto", "cross_fit", "held_out_lines", "none"]
METHODS: tuple[Method, ...] = get_args(Method)
FORMAT = {"format": "dadsp-trust", "version": 1}


class Judged(NamedTuple):
    """Predicted pairs with what is known of each; each of shape (n_pairs,).

    Attributes:
        potency: As ``Predictor.predict`` gives it.
        scale: What a calibrated number of makes half the width of an interval.
        line_seen: Whether the line has training labels.
        drug_seen: Whether the drug has.
        line_distance: See ``Nearness``.
        drug_similarity: See ``Nearness``.
        stratum: Place in ``STRATA``.
        verdict: Place in ``VERDICTS``.
    """

    potency: FloatArray
    scale: FloatArray
    line_seen: BoolArray
    drug_seen: BoolArray
    line_distance: FloatArray
    drug_similarity: FloatArray
    stratum: IntArray
    verdict: IntArray


@dataclass(frozen=True, eq=False)
class Trust:
    """Calibration of a fitted system, what it was trained on, and what it says of the run's own lines.

    Attributes:
        calibration: Of its errors on held-out source pairs.
        drug_keys: Identity of the drugs that the calibration numbers.
        near: Lines and drugs that trained.
        own_lines: Its predictions of the run's own lines.
        floor: No label lies below it, −log10 µM; None: not known.
        facts: JSON-able: ``method``, and ``coverage`` by ``"source"`` (nested) and, where it was measured, ``"target"``.
    """

    calibration: Calibration
    drug_keys: tuple[str, ...]
    near: Nearness
    own_lines: OwnLines
    floor: float | None
    facts: dict[str, Any]

    def judge(self, model: Predictor, pairs: Pairs) -> Judged:
        """What the fitted system of this run says of pairs, and how far to trust it."""
        screen = pairs.screen
        potency, sd = model.predict_with_sd(pairs)
        lines, line = np.unique(pairs.cell_idx, return_inverse=True)
        drugs, drug = np.unique(pairs.drug_idx, return_inverse=True)
        lines_seen, drugs_seen = self.near.seen(screen, lines, drugs)
        own = factors_of(self.calibration.factor, self.numbers([screen.drug_keys[row] for row in drugs]))
        factor: FloatArray = np.where(drugs_seen, own, 1.0).astype(np.float32)
        stratum = ((~lines_seen)[line] + 2 * (~drugs_seen)[drug]).astype(np.int64)
        distance = self.near.line_distance(model, screen, pairs.domain, lines)[line]
        similarity = self.near.drug_similarity(screen, drugs)[drug]
        return Judged(
            potency=potency,
            scale=factor[drug] if sd is None else sd * factor[drug],
            line_seen=lines_seen[line],
            drug_seen=drugs_seen[drug],
            line_distance=distance,
            drug_similarity=similarity,
            stratum=stratum,
            verdict=self.calibration.verdicts(stratum, distance, similarity),
        )

    def numbers(self, keys: Sequence[str]) -> IntArray:
        """Numbers of drugs as the calibration counts them, shape (n,); others follow behind, a number for each."""
        known = {key: number for number, key in enumerate(self.drug_keys)}
        return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)

    def interval(self, judged: Judged, level: float) -> tuple[FloatArray, FloatArray]:
        """Ends of each pair's interval, −log10 µM, float32; NaN where none is claimed. None lies below ``floor``."""
        half = self.calibration.half_width(judged.stratum, judged.scale, level)
        lowest = -np.inf if self.floor is None else self.floor
        low, high = (np.maximum(judged.potency + shift, lowest).astype(np.float32) for shift in (-half, half))
        return low, high

    def measured_on(self, part: str, tested: HeldOut) -> Self:
        """The same with its coverage of labelled pairs, e.g. of the target, among its facts."""
        return replace(self, facts={**self.facts, "coverage": {**self.facts["coverage"], part: self.coverage(tested)}})

    def coverage(self, tested: HeldOut) -> list[dict[str, Any]]:
        """See ``Calibration.coverage``; ``tested`` numbers drugs as ``drug_keys`` does."""
        return self.calibration.coverage(tested)

    def without_lines(self) -> Self:
        """The same without the lines: neither their expression nor what they are called."""
        return replace(self, near=self.near.without_lines())

    def save(self, folder: Path) -> None:
        """Writes ``trust.json`` and ``trust.safetensors``; both files are complete or absent."""
        facts: dict[str, Any] = {}
        arrays: Arrays = {}
        for name, part in (("calibration", self.calibration), ("near", self.near), ("own_lines", self.own_lines)):
            facts[name], own = part.state()
            arrays |= {f"{name}.{key}": np.ascontiguousarray(array) for key, array in own.items()}
        write_atomically(folder / "trust.safetensors", lambda path: save_file(arrays, path))
        own_facts = {"drug_keys": list(self.drug_keys), "floor": self.floor, "facts": self.facts}
        write_json(folder / "trust.json", {**FORMAT, **facts, **own_facts}, indent=None)


def load_trust(folder: Path) -> Trust | None:
    """What ``Trust.save`` wrote; None where the folder has none, as runs of earlier versions.

    Raises:
        LoadError: The files are damaged, or of another version.
    """
    path = folder / "trust.json"
    if not path.is_file():
        return None
    facts: Any = read_json(path)
    if not isinstance(facts, dict) or {key: facts.get(key) for key in FORMAT} != FORMAT:
        raise LoadError(f"{path} is not of version {FORMAT['version']}. Remove its folder to predict without intervals.")
    try:
        arrays = load_file(folder / "trust.safetensors")
        return Trust(
            calibration=Calibration.from_state(facts["calibration"], under("calibration.", arrays)),
            drug_keys=tuple(facts["drug_keys"]),
            near=Nearness.from_state(facts["near"], under("near.", arrays)),
            own_lines=OwnLines.from_state(facts["own_lines"], under("own_lines.", arrays)),
            floor=facts["floor"],
            facts=facts["facts"],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LoadError(
            f"{folder} holds damaged files ({error}). Restore them, or remove the folder to predict without intervals."
        ) from error


def trust_of(
    model: Predictor, unfitted: Predictor | None, study: Study, split: Split, context: FitContext, method: Method = "auto"
) -> Trust | None:
    """How far to trust a fitted system, from source labels alone; None: not asked for, or it saw the labels it is tested on.

    Args:
        model: Fitted on this split.
        unfitted: The same, not fitted, for ``"cross_fit"`` where fitting takes long; None: it is not at hand.
        study: Its study.
        split: Its split.
        context: Its seed draws the folds.
        method: ``"cross_fit"`` fits the system again on folds, ``"held_out_lines"`` takes the validation pairs, which claim
            nothing of drugs that never trained; ``"auto"`` cross-fits where a fit takes seconds (``Predictor.settled``).
    """
    if method == "none" or model.sees_target_labels or study.scope == "target_oracle":
        return None
    again = _fitting_again(model, unfitted, method)
    if again is not None and can_cross_fit(study, split):
        method, held_out = "cross_fit", cross_fit(again, study, split, context)
        coverage = nested_coverage(held_out)
    else:
        method, held_out = "held_out_lines", held_out_lines(model, study, split)
        coverage = nested_coverage(held_out) if len(np.unique(held_out.fold)) > 1 else []
    source = study.source
    known = np.unique(np.array(source.drug_keys, dtype=str))  # as ``HeldOut`` numbers them
    return Trust(
        calibration=Calibration.of(held_out),
        drug_keys=tuple(known.tolist()),
        near=Nearness.of(model, study, split),
        own_lines=OwnLines.of(model, study),
        floor=study.target.cap if study.label_cap == "target" else None,
        facts={
            "method": method,
            "screens": {"source": source.name, "target": study.target.name},
            "held_out": _counts(held_out),
            "coverage": {"source": coverage},
        },
    )


def labelled(trust: Trust, model: Predictor, screen: Screen, pairs: Pairs, truth: FloatArray) -> HeldOut:
    """Labelled pairs that trained nothing, as ``Trust.coverage`` takes them."""
    judged = trust.judge(model, pairs)
    line = np.unique(np.array(screen.line_keys, dtype=str), return_inverse=True)[1]
    drug = trust.numbers(screen.drug_keys)[pairs.drug_idx]
    return HeldOut(
        line=line[pairs.cell_idx].astype(np.int64),
        drug=drug,
        stratum=judged.stratum,
        error=np.abs(truth.astype(np.float64) - judged.potency),
        sd=judged.scale / np.where(judged.drug_seen, factors_of(trust.calibration.factor, drug), 1.0),
        distance=judged.line_distance,
        similarity=judged.drug_similarity,
        fold=np.zeros(len(pairs), dtype=np.int64),
    )


def _fitting_again(model: Predictor, unfitted: Predictor | None, method: Method) -> Callable[[], Predictor] | None:
    if method == "held_out_lines":
        return None
    settled = model.settled()
    if settled is not None:
        return lambda: _needed(model.settled())
    if method == "cross_fit" and unfitted is not None:
        return lambda: deepcopy(unfitted)
    return None


def _needed(predictor: Predictor | None) -> Predictor:
    if predictor is None:
        raise ValueError("A system that can be fitted again cannot do so twice.")
    return predictor


def _counts(held_out: HeldOut) -> dict[str, int]:
    return {
        "pairs": len(held_out),
        "lines": len(np.unique(held_out.line[held_out.stratum != 2])),
        "drugs": len(np.unique(held_out.drug[held_out.stratum >= 2])),
    }
