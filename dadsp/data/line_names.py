"""How the ids and names of cell lines are written, from the strictest reading to the most forgiving."""

import re
import unicodedata
from collections.abc import Iterable

from dadsp.data.ids import PUNCTUATION_DECIDES, bare_line_key, line_key

# Words that stand where an id is not known.
_NO_ID = """
    - -- . ? na n/a n.a. n.a #n/a <na> nan nd n/d tba tbd none null nil missing pending unassigned unavailable undetermined
    unknown
"""
NO_ID = {"", *_NO_ID.split(), *(f"not {word}" for word in ("applicable", "assigned", "available", "determined", "found"))}

_SOURCE = re.compile(r"(?:cosmic|depmap|sanger|rrid|cellosaurus|cello)(?:[ _-]?id)?\s*[:_# -]\s*(?=\S)")
_KINDS = (  # form of an id in lower case → what it is called
    (re.compile(r"\d{5,7}"), "COSMIC ids"),
    (re.compile(r"\d+"), "numbers"),
    (re.compile(r"ach-\d{6}"), "DepMap ids"),
    (re.compile(r"sidm\d{5}"), "Sanger ids"),
    (re.compile(r"cvcl_[a-z0-9]{4}"), "RRIDs"),
)

_REMARK = re.compile(r"^\s*\[[^\]]*\]\s*(?=\w)")  # "[MERGED_TO_ACH-000109]H3255_LUNG"
_WITH_TISSUE = re.compile(
    r"([A-Z0-9]+)_(?!MATCHED|NORMAL)([A-Z]{4,}(?:_[A-Z]+)*)"
)  # "NIHOVCAR3_OVARY", as CCLE writes a line
_BRACKETS = re.compile(r"[\[(]([^\])]*)[\])]")
_COLLECTION = re.compile(r"(?:NIH|NCI|ATCC|UPCI|DSMZ|ECACC|JCRB|HPA)(?=.{3})")
_CELL = re.compile(r"(?<=.{3})CELLS?$")
_GLIOMA = re.compile(r"(?<=\d)MG$")
_CLONE = re.compile(r"(?<=\d{3})[AB]\d?$")  # a shorter number alone names no line: LU-99A is not LU99


def canonical_id(text: str) -> str | None:
    """The same text for every way to write an id ("905906.0", "COSMIC:905906", "0905906"; "ach_000001 "); None for no id."""
    plain = unicodedata.normalize("NFKC", text).strip().casefold()
    plain = _SOURCE.sub("", plain, count=1).strip() if _SOURCE.match(plain) else plain
    plain = re.sub(r"^ach[ _]?(?=\d{6}$)", "ach-", plain)
    if re.fullmatch(r"\d+(\.0*)?", plain):
        plain = plain.partition(".")[0].lstrip("0") or "0"
    return None if plain in NO_ID else plain


def differing_ids(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two lines have ids of one kind (COSMIC, DepMap, Sanger or RRID), and none of these in common."""
    kinds = [{(kind_of_id(text), canonical_id(text)) for text in ids} for ids in (one, other)]
    both = {kind for kind, _ in kinds[0]} & {kind for kind, _ in kinds[1]} - {"numbers", "names"}
    return any(not {pair for pair in kinds[0] if pair[0] == kind} & kinds[1] for kind in both)


def kind_of_id(text: str) -> str:
    """What an id of this form is: COSMIC, DepMap, Sanger, RRID; numbers or names else."""
    plain = canonical_id(text) or ""
    return next((kind for form, kind in _KINDS if form.fullmatch(plain)), "names")


def bare_keys(name: str) -> frozenset[str]:
    """The whole name in letters and digits alone, also where punctuation decides: to list what is nearly the same."""
    with_tissue = _WITH_TISSUE.fullmatch(name.strip())
    return frozenset({bare_line_key(with_tissue[1] if with_tissue else name)} - {""})


def written(name: str) -> frozenset[str]:
    """The whole name as it stands, but for case and blanks around it."""
    return frozenset({unicodedata.normalize("NFKC", name).strip().casefold()} - {""})


def name_keys(name: str) -> frozenset[str]:
    """The key of a whole name, without the tissue that CCLE writes after it; empty where such a name leaves a line open.

    CCLE's form has no punctuation, so "TT_OESOPHAGUS" does not say whether it is TT or T-T.
    """
    plain = _REMARK.sub("", unicodedata.normalize("NFKC", name).strip())
    with_tissue = _WITH_TISSUE.fullmatch(plain)
    if with_tissue is None:
        return frozenset({line_key(plain)} - {""})
    key = line_key(with_tissue[1])
    return frozenset() if bare_line_key(key) in PUNCTUATION_DECIDES else frozenset({key})


def part_keys(name: str) -> frozenset[str]:
    """Also the keys of the names that stand beside each other ("PA-1 [PA1]", "NIH:OVCAR-3; OVCAR3")."""
    pieces = [_REMARK.sub("", piece) for piece in name.split(";")]
    parts = [part for piece in pieces for part in (piece, _BRACKETS.sub(" ", piece), *_BRACKETS.findall(piece))]
    usable = (part for part in parts if len(bare_line_key(part)) >= 3 and re.search(r"[^\W\d_]", part))
    return name_keys(name).union(*(name_keys(part) for part in usable))


def short_keys(keys: Iterable[str]) -> frozenset[str]:
    """Keys without the collection before a name and the words after it, and 0 for an O at the end of a number.

    NIH:OVCAR-3 and OVCAR-3, NCI-SNU-1 and SNU-1, EoL-1-cell and EOL-1, U-251 MG and U251, 786-O and 786-0.
    """
    return frozenset(_short(key) for key in keys)


def clone_keys(keys: Iterable[str]) -> frozenset[str]:
    """Short keys, and the same without the letter of a clone (NCI-H510A and NCI-H510, U-266 B1 and U-266)."""
    short = short_keys(keys)
    return short | {_CLONE.sub("", key) for key in short}


def _short(key: str) -> str:
    if bare_line_key(key) in PUNCTUATION_DECIDES:
        return key
    shorter = _GLIOMA.sub("", _CELL.sub("", _COLLECTION.sub("", key)))
    shorter = re.sub(r"(?<=\d)O$", "0", shorter)  # not before one: U031 and UO-31 are two kidney lines
    return key if shorter in PUNCTUATION_DECIDES else shorter
