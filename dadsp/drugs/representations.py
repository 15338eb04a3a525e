"""Saved drug representations, read back."""

from typing import Any

from dadsp.building import kinds_of, of_kind
from dadsp.drugs.features import DrugFeatures
from dadsp.errors import LoadError, nearest


def from_facts(facts: dict[str, Any]) -> DrugFeatures:
    """The representation that ``DrugFeatures.facts`` described; only a registered one, so that a file names no other code.

    Raises:
        LoadError: It is of no known kind.
    """
    options = dict(facts)
    kind = str(options.pop("kind", None))
    known: type[DrugFeatures] | None = of_kind("drug_features", kind)
    if known is None:
        valid = nearest(kind, kinds_of("drug_features"))
        raise LoadError(f"The saved model names the drug representation '{kind}'. {valid}")
    return known(**options)
