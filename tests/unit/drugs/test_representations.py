"""Every representation: rows as promised, bad SMILES refused, and back from its facts."""

import json

import numpy as np
import pytest

from dadsp.building import kinds_of
from dadsp.drugs.features import DrugFeatures
from dadsp.drugs.representations import from_facts
from dadsp.errors import LoadError, SchemaError

REPRESENTATIONS = kinds_of("drug_features")
TRAINING = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CCCl"]
OTHERS = ["CC(=O)Nc1ccc(O)cc1", "BrCCO"]


@pytest.fixture(params=sorted(REPRESENTATIONS))
def features(request: pytest.FixtureRequest) -> DrugFeatures:
    kind: type[DrugFeatures] = REPRESENTATIONS[request.param]
    return kind().fit(TRAINING, TRAINING)


def test_rows_are_floats_of_the_width_promised_and_depend_on_their_drug_alone(features: DrugFeatures) -> None:
    together = features(TRAINING + OTHERS, TRAINING + OTHERS)
    assert together.dtype == np.float32
    assert together.shape == (5, features.width)
    alone = [features([smiles], [smiles])[0] for smiles in TRAINING + OTHERS]
    assert np.array_equal(together, alone)


def test_facts_survive_json_and_give_the_same_rows(features: DrugFeatures) -> None:
    again = from_facts(json.loads(json.dumps(features.facts())))
    assert again == features
    assert np.array_equal(again(OTHERS, OTHERS), features(OTHERS, OTHERS))


def test_bad_smiles_are_named(features: DrugFeatures) -> None:
    with pytest.raises(SchemaError, match=r"1 of 2 SMILES are not valid \(e\.g\. broken: 'C1CC'\)"):
        features(["CCO", "C1CC"], ["ethanol", "broken"])


def test_a_saved_representation_may_name_no_other_code() -> None:
    with pytest.raises(LoadError, match=r"'os\.system'.*Valid: cnn, gcn, morgan, ssp"):
        from_facts({"kind": "os.system"})
