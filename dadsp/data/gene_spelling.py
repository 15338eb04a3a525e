"""Names that stand for the same gene though they differ: dates that a spreadsheet made of symbols, case, punctuation."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

_MONTHS = {
    1: "jan january januar janvier janv enero ene",
    2: "feb february februar fevrier fevr febrero",
    3: "mar march mrz marz mars marzo marco maart mrt",
    4: "apr april avril avr abril abr aprile",
    5: "may mai mayo mei maj",
    6: "jun june juni juin junio",
    7: "jul july juli juillet juil julio",
    8: "aug august aout agosto ago",
    9: "sep sept september septembre septiembre settembre",
    10: "oct october okt oktober octobre octubre ottobre",
    11: "nov november novembre noviembre",
    12: "dec december dez dezember decembre diciembre dic dicembre",
}
_MONTH = {name: month for month, names in _MONTHS.items() for name in names.split()}

# Month, number behind the symbol, present symbol, and the one of before 2020 or alias that tables may still hold.
_RULES: list[tuple[int, int, str, str]] = [
    *((3, n, f"MARCHF{n}", f"MARCH{n}") for n in range(1, 12)),
    *((3, n, f"MTARC{n}", f"MARC{n}") for n in (1, 2)),
    (4, 1, "MAGEH1", "APR1"),
    (4, 3, "ATRAID", "APR3"),
    *((8, n, f"AGO{n}", f"EIF2C{n}") for n in range(1, 5)),  # agosto
    *((9, n, f"SEPTIN{n}", f"SEPT{n}") for n in (*range(1, 13), 14)),
    (9, 13, "SEPTIN7P2", "SEPT13"),
    (9, 15, "SELENOF", "SEP15"),
    (10, 1, "POU2F1", "OCT1"),
    (10, 2, "POU2F2", "OCT2"),
    (10, 4, "POU5F1", "OCT4"),
    (10, 6, "POU3F1", "OCT6"),
    (10, 11, "POU2F3", "OCT11"),
    (11, 1, "CCN3", "NOV"),
    (12, 1, "DELEC1", "DEC1"),
    (12, 2, "BHLHE41", "DEC2"),
]
_OF_DAY: defaultdict[tuple[int, int], list[tuple[str, str]]] = defaultdict(list)
for _month, _number, *_symbols in _RULES:
    _OF_DAY[_month, _number].append((_symbols[0], _symbols[1]))
# Symbols that were given up because spreadsheets read dates in them.
_RENAMED = {old: new for *_, new, old in _RULES if re.fullmatch(r"(SEPT|MARCH|MARC|DEC1|NOV)\d*", old)}

_WORDED = re.compile(r"(\d{1,2})\W{1,2}([^\W\d_]+)(?:\W+\d{2,4})?|([^\W\d_]+)\W(\d{1,2})(?:\W{1,2}\d{4})?")
_MAY_BE_DATE = re.compile(r"\d|[^\W\d_]{3,10}\W{1,2}\d")
_ISO = re.compile(r"\d{4}[-/.](\d{1,2})[-/.](\d{1,2})(?:[ t]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?z?)?")
_SLASHED = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(?:\d{4}|\d{2})")
_SERIAL = re.compile(r"\d{5}(?:\.0*)?")
_DAY_0 = date(1899, 12, 30)  # of a spreadsheet's count of days
_SERIALS = range(32874, 54789)  # 1990 to 2049
_COUNTED = re.compile(r"(.+)\.\d{1,2}")  # as pandas and R write the second of two equal names
_NUMBER_OR_TRUTH = re.compile(r"\d+(?:\.\d+)?e\+\d+|\d+\.\d+(?:e\d+)?|true|false", re.IGNORECASE)
_SYMBOL = re.compile(r"[A-Z][A-Z0-9-]*|C(?:\d+|X|Y)orf\d+")
_MOUSE = re.compile(r"[A-Z][a-z0-9]*[a-z][a-z0-9]*")


def counterparts(names: Sequence[str], others: Sequence[str]) -> dict[str, str]:
    """Name → the other's name of the same gene, where no list has both: by date, case, blanks, punctuation, counter behind.

    One to one: a name that may stand for several, or that several may stand for, is left out.

    Args:
        names: Of genes.
        others: Those of another table.
    """
    equal = set(names) & set(others)
    by_key: defaultdict[str, set[str]] = defaultdict(set)
    for other in others:
        if other not in equal:
            for key in _keys(other):
                by_key[key].add(other)
    found = {name: set().union(*(by_key.get(key, ()) for key in _keys(name))) for name in names if name not in equal}
    claims = Counter(other for choices in found.values() for other in choices)
    only = {name: next(iter(choices)) for name, choices in found.items() if len(choices) == 1}
    return {name: other for name, other in only.items() if claims[other] == 1}


def better_name(one: str, other: str) -> str:
    """Which of two names of a gene is the symbol; the first where both are, or neither."""
    ranks = [
        (symbols_of_date(name) is None, name.upper() not in _RENAMED, _SYMBOL.fullmatch(name) is not None)
        for name in (one, other)
    ]
    return one if ranks[0] >= ranks[1] else other


def dates(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The names that are dates, each with the present symbols it may have been."""
    return {name: symbols for name in names if (symbols := symbols_of_date(name)) is not None}


def numbers_or_truths(names: Iterable[str]) -> list[str]:
    """Names that a spreadsheet took for numbers (2.31E+19 for 2310009E13) or truth values."""
    return [name for name in names if _NUMBER_OR_TRUTH.fullmatch(name)]


def like_mouse(names: Sequence[str]) -> bool:
    """Whether nearly all names are written as mouse symbols are: Trp53, Egfr."""
    lettered = [name for name in names if sum(letter.isalpha() for letter in name) > 1]
    return len(lettered) > 1 and sum(_MOUSE.fullmatch(name) is not None for name in lettered) > 0.9 * len(lettered)


def _keys(name: str) -> set[str]:
    """What a name may stand for, each in one spelling: two names of one gene have a key in common."""
    keys = {_key(name)}
    if counted := _COUNTED.fullmatch(name):
        keys.add(_key(counted[1]))
    if (present := _RENAMED.get(name.strip().upper())) is not None:
        keys.add(_key(present))
    for day in _days(name) or ():
        keys.update(_key(symbol) for symbols in _OF_DAY.get(day, ()) for symbol in symbols)
    return keys


def _key(name: str) -> str:
    return re.sub(r"[._\u2010-\u2015]", "-", "".join(name.casefold().split()))


def symbols_of_date(name: str) -> tuple[str, ...] | None:
    """The present symbols of which a spreadsheet may have made this date; empty for a date of none, None for no date.

    "2-Sep", "Sep-02", "1. Mrz", "2023-09-02 00:00:00", "9/2/2023" (either order), "45171" (days since 1900).
    """
    days = _days(name)
    if days is None:
        return None
    return tuple(dict.fromkeys(present for day in days for present, _ in _OF_DAY.get(day, ())))


def _days(name: str) -> list[tuple[int, int]] | None:
    """(month, day) that a date may mean; None if the name is no date."""
    if not _MAY_BE_DATE.match(name.strip()):  # most names, and quickly
        return None
    text = unicodedata.normalize("NFKD", name.strip().casefold())
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    if counted := _COUNTED.fullmatch(text):  # 1-Mar.1, the second of two
        text = counted[1] if _days(counted[1]) else text
    if worded := _WORDED.fullmatch(text):
        number, month = (worded[1], worded[2]) if worded[1] else (worded[4], worded[3])
        return [(_MONTH[month], int(number))] if month in _MONTH else None
    if iso := _ISO.fullmatch(text):
        return [(int(iso[1]), int(iso[2]))] if 1 <= int(iso[1]) <= 12 else None
    if slashed := _SLASHED.fullmatch(text):
        one, other = int(slashed[1]), int(slashed[3])
        return [(month, day) for month, day in ((one, other), (other, one)) if 1 <= month <= 12 and 1 <= day <= 31] or None
    if _SERIAL.fullmatch(text) and int(text[:5]) in _SERIALS:
        day = _DAY_0 + timedelta(days=int(text[:5]))
        return [(day.month, day.day)] if (day.month, day.day) in _OF_DAY else None  # else it is a number like any other
    return None
