"""A plug-in as a laboratory would write it: one of each kind of thing that dadsp builds."""

from pathlib import Path

from dadsp.plugins import register

PARTS = {
    "model": "tests.support.guestlab.ridge.DrugFeatureRidge",
    "drug_features": "tests.support.guestlab.maccs.MaccsKeys",
    "expression": "tests.support.guestlab.parts.RoundedExpression",
    "split": "tests.support.guestlab.parts.every_second_pair",
    "alignment": "tests.support.guestlab.parts.Median",
    "data": "tests.support.guestlab.studies.two_plates",
    "panel": "tests.support.guestlab.studies.one_plate",
}


def register_all() -> None:
    """What the entry point names."""
    for kind, name in PARTS.items():
        register(kind, name)
    register("model", "tests.support.deep_coral.DeepCoral")
    register("metric", "tests.support.guestlab.metrics.WITHIN_TENFOLD")
    register("conf", Path(__file__).parent / "conf")
