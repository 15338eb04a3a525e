"""Stereoisomers that are different medicines, such as doxorubicin and epirubicin, kept apart across a study."""

from collections import defaultdict
from dataclasses import replace

from dadsp.drugs.structures import has_defined_stereo, skeleton_of, whole_key
from dadsp.errors import examples
from dadsp.schema import Note, Screen


def kept_apart(source: Screen, target: Screen) -> tuple[Screen, Screen]:
    """Both screens, with the whole InChIKey as the structure key of each drug whose skeleton has several stereoisomers.

    A skeleton (first InChIKey block) has several stereoisomers if one of the screens holds two drugs of it whose
    stereochemistry is fully given and different. Everywhere else the skeleton stays the key: most tables leave
    stereochemistry out here and there, and one drug would then be two. A drug of such a skeleton whose own stereochemistry
    is open matches none of the stereoisomers, with a note.
    """
    several = _with_several_forms(source) | _with_several_forms(target)
    return (_by_whole_key(source, several), _by_whole_key(target, several)) if several else (source, target)


def _with_several_forms(screen: Screen) -> set[str]:
    """The skeletons of which a screen holds several fully given stereoisomers."""
    rows: defaultdict[str, set[str]] = defaultdict(set)
    for key, smiles in zip(screen.drugs.structure_keys, screen.drugs.told_by, strict=True):
        if key is not None and smiles is not None:
            rows[key].add(smiles)
    return {
        key
        for key, texts in rows.items()
        if len(texts) > 1 and len({whole_key(text) for text in texts if has_defined_stereo(text)}) > 1
    }


def _by_whole_key(screen: Screen, several: set[str]) -> Screen:
    drugs = screen.drugs
    keys = list(drugs.structure_keys)
    apart: list[str] = []
    undefined: list[str] = []
    for row, (key, smiles) in enumerate(zip(drugs.structure_keys, drugs.told_by, strict=True)):
        if key is None or smiles is None or skeleton_of(key) not in several:
            continue
        keys[row] = whole_key(smiles)
        (apart if has_defined_stereo(smiles) else undefined).append(drugs.names[row])
    notes = screen.notes
    if apart:
        what = "drugs told from their stereoisomers by the whole InChIKey, since these are different medicines"
        notes = (*notes, Note(what, len(apart), examples(apart)))
    if undefined:
        what = "drugs of open stereochemistry that match none of the stereoisomers that the study holds"
        notes = (*notes, Note(what, len(undefined), examples(undefined)))
    return replace(screen, drugs=replace(drugs, structure_keys=tuple(keys)), notes=notes)
