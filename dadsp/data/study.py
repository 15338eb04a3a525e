"""Two screens → one Study on shared genes."""

from dataclasses import replace
from typing import Literal

import numpy as np

from dadsp.data.drug_tables import refuse_different_rules
from dadsp.data.line_links import all_linked, few_links
from dadsp.data.potency import RISES, same_measure
from dadsp.data.shared_genes import on_shared_genes
from dadsp.data.stereoisomers import kept_apart
from dadsp.errors import ConfigError, MissingIdsError, SchemaError, examples
from dadsp.schema import FloatArray, Note, Screen, Study

LabelCap = Literal["none", "target"]
OnDifferentMeasures = Literal["error", "allow"]


def make_study(
    source: Screen,
    target: Screen,
    *,
    label_cap: LabelCap = "none",
    on_missing_structure: Literal["drop", "error"] = "drop",
    on_different_measures: OnDifferentMeasures = "error",
    min_genes: int = 2,
    repair_genes: bool = False,
) -> Study:
    """A study over the genes both screens measured, in the source's order, with labels and structures fit to learn from.

    Lines without labels stay, since their expression helps to adapt; so do drugs without labels, since one can predict them.

    Args:
        source: Screen whose labels train.
        target: Screen whose labels are held out.
        label_cap: ``"target"`` clips source labels at the target's cap and marks the clipped ones censored, so that both
            screens call the same thing insensitive; ``"none"`` leaves them.
        on_missing_structure: ``"drop"`` leaves out drugs without a structure and their responses, with a note;
            ``"error"`` refuses them.
        on_different_measures: ``"error"`` refuses screens whose labels are different measures, such as IC50 and ActArea;
            ``"allow"`` takes them as they stand (higher is more sensitive in both), with a note. AUC and AAC are one
            measure, the share of the area that is lost.
        min_genes: Fewest shared genes to accept.
        repair_genes: Takes genes whose names differ only as spreadsheets and spelling make them for the same; see
            ``on_shared_genes``.

    Raises:
        SchemaError: Screens measure different things and may not, too few genes are shared, or a screen's lines, drugs or
            labels are too few or all alike.
        MissingIdsError: Drugs have no structure and may not be dropped.
        ConfigError: ``label_cap`` is ``"target"`` and the target has no cap.
    """
    target = _comparable(source, target, on_different_measures)
    refuse_different_rules((source, target))
    source, target = all_linked((source, target))
    target = replace(target, notes=(*target.notes, *few_links(source, target)))
    source, target = on_shared_genes(source, target, min_genes, repair_genes)
    source, target = (_with_structures(screen, on_missing_structure) for screen in (source, target))
    source, target = kept_apart(source, target)
    raw = source.responses.potency
    if label_cap == "target":
        source = _clipped(source, target)
    for screen in (source, target):
        _check(screen)
    labelled = np.unique(source.responses.drug_idx)
    if len(labelled) < 2:
        raise SchemaError(
            f"{source.name} has labels for one drug only ({source.drugs.names[labelled[0]]}): a cross-screen model learns "
            "what tells drugs apart. Give the source two or more drugs, or train a single-drug model."
        )
    return Study(source, target, label_cap, raw)


def _comparable(source: Screen, target: Screen, on_different: OnDifferentMeasures) -> Screen:
    """The target, with a note if its labels are another measure than the source's."""
    if same_measure(source.measure, target.measure):
        return target
    said = [
        f"{screen.name} has {screen.measure}, which {'rises' if RISES[screen.measure] else 'falls'} with sensitivity"
        for screen in (source, target)
    ]
    if on_different == "error":
        raise SchemaError(
            f"The screens measure different things: {said[0]}; {said[1]}. Choose one measure for both (responses.measure), "
            "or set data.on_different_measures=allow: labels that fall are then turned, so that higher is more sensitive in "
            "both."
        )
    what = f"labels are another measure than the source's ({'; '.join(said)}), turned so that higher is more sensitive"
    return replace(target, notes=_notes(target, what, len(target.responses)))


def _with_structures(screen: Screen, on_missing: Literal["drop", "error"]) -> Screen:
    drugs = screen.drugs
    present = np.array([key is not None for key in drugs.structure_keys], dtype=bool)
    if present.all():
        return screen
    lacking = [f"{drugs.names[row]} ({drugs.ids[row]})" for row in np.flatnonzero(~present)]
    if not present.any():
        raise SchemaError(
            f"{screen.name}: none of {len(drugs)} drugs has a structure (e.g. {examples(lacking)}), and no model here does "
            "without. Give their SMILES in drugs.columns.smiles, drugs.structures or drugs.smiles."
        )
    if on_missing == "error":
        raise MissingIdsError(
            f"{screen.name}: {len(lacking)} of {len(drugs)} drugs have no structure (e.g. {examples(lacking)}). "
            "Add their SMILES, or set data.on_missing_structure=drop."
        )
    responses = screen.responses.take(present[screen.responses.drug_idx])
    dropped = len(screen.responses) - len(responses)
    renumbered = (np.cumsum(present) - 1)[responses.drug_idx]
    what = f"drugs without a structure left out, with {dropped} of {len(screen.responses)} responses"
    return replace(
        screen,
        drugs=drugs.take(np.flatnonzero(present).tolist()),
        responses=replace(responses, drug_idx=renumbered.astype(np.int64)),
        notes=_notes(screen, what, len(lacking), examples(lacking)),
    )


def _clipped(source: Screen, target: Screen) -> Screen:
    if target.cap is None:
        raise ConfigError(
            f"data.label_cap=target, but {target.name} has no cap. Give its highest tested concentration as "
            "target.responses.cap, or set data.label_cap=none."
        )
    responses = source.responses
    at_cap = np.float32(target.cap)
    below = responses.potency < at_cap
    labels: FloatArray = np.maximum(responses.potency, at_cap)
    what = f"labels of {len(labels)} clipped at the cap of {target.name}, {target.cap:.4g} −log10 µM"
    return replace(
        source,
        responses=replace(responses, potency=labels, censored=responses.censored | below),
        cap=target.cap if source.cap is None else max(source.cap, target.cap),
        notes=_notes(source, what, int(below.sum())),
    )


def _check(screen: Screen) -> None:
    """The screen has lines and labels that can train or test anything."""
    labels = screen.responses.potency
    if len(screen.cells) < 2:
        raise SchemaError(
            f"{screen.name} has {len(screen.cells)} cell line with expression; at least 2 are needed. Add lines."
        )
    if not len(labels):
        causes = [f"{note.what}: {note.count}" for note in screen.notes if "left out" in note.what]
        raise SchemaError(
            f"{screen.name} has no labelled pair left ({'; '.join(causes) or 'its files give none'}). Supply what they lack."
        )
    if screen.responses.censored.all():
        raise SchemaError(
            f"All {len(labels)} labels of {screen.name} are capped (e.g. {labels[0]:.4g} −log10 µM), so they tell no "
            "line or drug from another. Check responses.cap and responses.unit."
        )
    if labels.min() == labels.max():
        raise SchemaError(
            f"All {len(labels)} labels of {screen.name} are {labels[0]:.4g} −log10 µM. Give it responses that differ."
        )


def _notes(screen: Screen, what: str, count: int, shown: str = "") -> tuple[Note, ...]:
    """The screen's notes and, if it concerned anything, this one."""
    return (*screen.notes, Note(what, count, shown)) if count else screen.notes
