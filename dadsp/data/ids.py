"""Which lines and which drugs of two tables are the same: by id table, by name, by PubChem CID."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import pandas as pd

from dadsp.data.problems import refuse
from dadsp.errors import SchemaError, examples

MatchBy = Literal["id", "name", "cid"]

# Different lines whose names differ by a hyphen only: TT (thyroid) and T-T (oesophagus; DepMap writes T.T), KM-H2 (Hodgkin
# lymphoma) and KMH-2 (thyroid), MS-1 and MS1 (small-cell lung cancers under two DepMap ids). Of these the name must agree
# to the place of the hyphen.
PUNCTUATION_DECIDES = {"TT", "KMH2", "MS1"}

_GREEK = {"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "κ": "kappa", "λ": "lambda", "ω": "omega"}


def line_key(name: str) -> str:
    """The same text for every spelling of a line's name ("DMS 53", "DMS-53", "dms53"), but not for TT and T-T."""
    plain = unicodedata.normalize("NFKC", name).strip().upper()
    bare = bare_line_key(name)
    return re.sub(r"[\W_]+", "-", plain) if bare in PUNCTUATION_DECIDES else bare


def bare_line_key(name: str) -> str:
    """A line's name without case, blanks and punctuation, also where these tell lines apart."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).strip().upper())


def drug_key(name: str) -> str:
    """The same text for every spelling of a drug's name ("PD-0325901", "pd 0325901®"; "β-lapachone", "beta-Lapachone")."""
    plain = unicodedata.normalize("NFKC", re.sub("[®™©℠]", "", name)).casefold()
    return re.sub(r"[\W_]+", "", "".join(_GREEK.get(letter, letter) for letter in plain))


def line_keys(names: Sequence[str | None], where: str) -> tuple[str | None, ...]:
    """The key of each line's name; None where it has none.

    Args:
        names: One name per line.
        where: What holds them, for an error.

    Raises:
        SchemaError: Different names have one key; the message lists them.
    """
    spellings: defaultdict[str, list[str]] = defaultdict(list)
    keys = tuple(line_key(name) or None if name is not None else None for name in names)
    for key, name in zip(keys, names, strict=True):
        if key is not None:
            spellings[key].append(str(name))
    refuse_shared({key: names for key, names in spellings.items() if len(names) > 1}, "line names", where)
    return keys


def one_to_one(pairs: pd.DataFrame, where: str) -> dict[str, str]:
    """First column → second, of a table of two columns of ids; rows that lack either are left out.

    Raises:
        SchemaError: An id of either column belongs to several of the other; the message lists them.
    """
    known = pairs.dropna().drop_duplicates()
    for own, other in ((0, 1), (1, 0)):
        groups = known.groupby(known.iloc[:, own])[known.columns[other]].agg(list)
        shared = {str(key): names for key, names in groups.items() if len(names) > 1}
        refuse_shared(shared, f"{known.columns[other]}s", where)
    return dict(zip(known.iloc[:, 0], known.iloc[:, 1], strict=True))


def refuse_shared(groups: Mapping[str, Collection[str]], what: str, where: str) -> None:
    """Refuses ids that stand for several things each; ``groups`` says for which."""
    if groups:
        shown = [f"{key}: {' / '.join(names)}" for key, names in groups.items()]
        refuse(
            SchemaError(
                f"{where}: {len(groups)} ids have several {what} ({examples(shown)}). "
                "Correct the table, or name each line or drug in an id table of your own."
            )
        )
