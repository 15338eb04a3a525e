"""The drug representations by name, and saved ones read back."""

from typing import Any

from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.graphs import MolecularGraph
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.similarity import SimilarityProfile
from dadsp.drugs.smiles_tokens import SmilesTokens
from dadsp.errors import LoadError, nearest

# A fixed table, so that a saved model from elsewhere can name no other code.
REPRESENTATIONS: dict[str, type[DrugFeatures]] = {
    representation.kind: representation for representation in (Morgan, SimilarityProfile, SmilesTokens, MolecularGraph)
}


def from_facts(facts: dict[str, Any]) -> DrugFeatures:
    """The representation that ``DrugFeatures.facts`` described.

    Raises:
        LoadError: It is of no known kind.
    """
    options = dict(facts)
    kind = str(options.pop("kind", None))
    if kind not in REPRESENTATIONS:
        raise LoadError(f"The saved model names the drug representation '{kind}'. {nearest(kind, REPRESENTATIONS)}")
    return REPRESENTATIONS[kind](**options)
