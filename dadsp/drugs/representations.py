"""Saved drug representations, read back."""

from typing import Any

from dadsp.building import kinds_of
from dadsp.drugs.features import DrugFeatures
from dadsp.errors import LoadError, nearest


def from_facts(facts: dict[str, Any]) -> DrugFeatures:
    """The representation that ``DrugFeatures.facts`` described; only a registered one, so that a file names no other code.

    Raises:
        LoadError: It is of no known kind.
    """
    options = dict(facts)
    kind = str(options.pop("kind", None))
    known: dict[str, type[DrugFeatures]] = kinds_of("drug_features")
    if kind not in known:
        raise LoadError(f"The saved model names the drug representation '{kind}'. {nearest(kind, known)}")
    return known[kind](**options)
