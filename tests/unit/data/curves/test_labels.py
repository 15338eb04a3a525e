"""Wells → labels: IC50 censored at the tested doses, areas over any range, flags, and what a study makes of them."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest

from dadsp.data.curves.options import Flag
from dadsp.data.curves.quality import FLAGS
from dadsp.data.curves.table import FittedTable, fitted_labels, fitted_table
from dadsp.data.sources.frames import screen_of_frames
from dadsp.data.sources.tidy import tidy_screen, tidy_study
from dadsp.errors import ConfigError, UnitsError
from tests.support.wells import FIT, LADDER, file_of, planted, screen_of, some_lines, viability


def fitted(folder: Path, wells: pd.DataFrame, **options: Any) -> FittedTable:
    return fitted_table(file_of(folder, wells, **options), Path())


def test_planted_ic50_and_areas_come_back_with_their_ranges(tmp_path: Path) -> None:
    truth = some_lines()
    curves = fitted(tmp_path, planted(truth)).curves.set_index(["cell_id", "drug_id"])
    assert curves["ic50_um"].to_dict() == pytest.approx(truth, rel=1e-4)
    assert set(curves["ic50_relation"]) == {""}
    assert set(zip(curves["low_um"], curves["high_um"], strict=True)) == {(0.01, 10.0)}
    doses = 10 ** np.linspace(-2, 1, 4001)
    summed = {pair: np.trapezoid(viability(doses, ec50), np.log10(doses)) / 3 for pair, ec50 in truth.items()}
    assert curves["auc"].to_dict() == pytest.approx(summed, abs=1e-5)


@pytest.mark.parametrize(
    ("ec50", "shape", "ic50", "relation", "flag"),
    [
        (60.0, {}, 10.0, ">", "ic50_above"),
        (0.5, {"bottom": 0.6}, 10.0, ">", "ic50_above"),
        (0.001, {}, 0.01, "<", "ic50_below"),
        (1e6, {}, 10.0, ">", "flat"),
    ],
)
def test_ic50_outside_the_tested_doses_is_a_bound(
    tmp_path: Path, ec50: float, shape: dict[str, Any], ic50: float, relation: str, flag: str
) -> None:
    curves = fitted(tmp_path, planted({("L", "A"): ec50}, **shape)).curves
    assert curves["ic50_um"].item() == ic50
    assert curves["ic50_relation"].item() == relation
    assert flag in curves["flags"].item().split(";")


def test_a_screen_censors_what_was_not_reached(tmp_path: Path) -> None:
    truth = {**some_lines(), ("L6", "A"): 80.0, ("L6", "B"): 0.0001}
    screen = tidy_screen(screen_of(tmp_path, "S", planted(truth), {}))
    labels = dict(zip(truth, screen.responses.potency, strict=True))
    assert labels[("L6", "A")] == pytest.approx(-1.0)
    assert labels[("L6", "B")] == pytest.approx(2.0)
    assert labels[("L3", "A")] == pytest.approx(-np.log10(0.4), abs=1e-4)
    assert screen.responses.censored.sum() == 1
    assert any(note.what == "responses below the lowest dose, taken as they stand" for note in screen.notes)


def test_order_of_rows_and_repeated_wells_change_nothing(tmp_path: Path) -> None:
    wells = planted(some_lines())
    wells["viability"] += np.random.default_rng(0).normal(0, 0.05, len(wells))
    straight = fitted(tmp_path, wells).curves.set_index(["cell_id", "drug_id"])
    shuffled = fitted(tmp_path, wells.sample(frac=1, random_state=0)).curves.set_index(["cell_id", "drug_id"])
    pd.testing.assert_frame_equal(straight.sort_index(), shuffled.sort_index())
    twice = fitted(tmp_path, pd.concat([wells, wells])).curves.set_index(["cell_id", "drug_id"])
    assert twice["ic50_um"].to_numpy() == pytest.approx(straight["ic50_um"].to_numpy(), rel=1e-3)
    assert set(zip(twice["n_wells"], twice["n_doses"], strict=True)) == {(14, 7)}


@pytest.mark.parametrize("measure", ["auc", "aac"])
def test_an_area_is_a_label_that_rises_with_sensitivity(tmp_path: Path, measure: str) -> None:
    screen = tidy_screen(screen_of(tmp_path, "S", planted(some_lines()), {}, measure))
    auc = fitted(tmp_path, planted(some_lines())).curves["auc"].to_numpy()
    assert screen.responses.potency == pytest.approx(1 - auc, abs=1e-6)
    assert not screen.responses.censored.any()


def test_ec50_is_the_point_of_inflection_and_missing_where_the_curve_is_flat(tmp_path: Path) -> None:
    truth = {("L1", "A"): 0.1, ("L2", "A"): 0.5, ("L3", "A"): 1e6}
    wells = planted({("L1", "A"): 0.1, ("L2", "A"): 0.5}, bottom=0.3)
    wells = pd.concat([wells, planted({("L3", "A"): truth[("L3", "A")]})])
    labels, _ = fitted_labels(file_of(tmp_path, wells, measure="ec50"), Path())
    assert labels["value"].to_list()[:2] == pytest.approx([0.1, 0.5], rel=1e-3)
    assert np.isnan(labels["value"].to_list()[2])


def test_a_trapezoid_is_taken_between_measured_points(tmp_path: Path) -> None:
    wells = planted({("L", "A"): 0.3})
    wells["viability"] = [1.2, 1.0, 0.8, 0.6, 0.2, 0.1, -0.1]
    y = np.array([1, 1, 0.8, 0.6, 0.2, 0.1, 0])
    x = np.log10(LADDER)
    auc = fitted(tmp_path, wells, fit={"area": "trapezoid"}).curves["auc"].item()
    assert auc == pytest.approx(np.trapezoid(y, x) / 3, abs=1e-6)
    inner = fitted(tmp_path, wells, fit={"area": "trapezoid", "range": [0.1, 1]}).curves["auc"].item()
    assert inner == pytest.approx(np.trapezoid(y[2:5], x[2:5]), abs=1e-5)


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("flat", [1, 1, 0.98, 1, 1, 0.99, 0.97]),
        ("not_monotone", [0.95, 0.4, 0.9, 0.8, 0.6, 0.3, 0.1]),
        ("poor_fit", [1, 0.2, 1.1, 0.3, 1.2, 0.1, 0.6]),
        ("top_off", [0.5, 0.5, 0.4, 0.4, 0.2, 0.1, 0.1]),
        ("bottom_off", [1, 1, 0.8, 0.5, 0.1, -0.4, -0.5]),
        ("ic50_above", [1, 1, 1, 0.95, 0.9, 0.8, 0.7]),
        ("ic50_below", [0.2, 0.1, 0.1, 0, 0, 0, 0]),
    ],
)
def test_each_flag_is_raised_and_noted(tmp_path: Path, flag: str, values: list[float]) -> None:
    found = fitted(tmp_path, planted({("L", "A"): 1.0}).assign(viability=values))
    assert flag in found.curves["flags"].item().split(";")
    (note,) = (note for note in found.notes if f"flagged {flag}," in note.what)
    assert (note.count, note.examples) == (1, "L/A")
    sound = fitted(tmp_path, planted({("L", "A"): 0.5})).curves
    assert sound["flags"].item() == ""


def test_noisy_wells_and_bad_controls_are_flagged(tmp_path: Path) -> None:
    wells = planted({("L", "A"): 0.5})
    noisy = pd.concat([wells, wells.assign(viability=wells["viability"] + 0.5)])
    assert "noisy" in fitted(tmp_path, noisy).curves["flags"].item().split(";")
    for controls, raised in (([0.5, 0.45], True), ([0.6, 1.4], True), ([1.0, 0.95], False)):
        rows = pd.DataFrame({"line": "L", "drug": "A", "dose": 0.0, "viability": controls})
        found = fitted(tmp_path, pd.concat([rows, wells]))
        assert ("bad_controls" in found.curves["flags"].item()) is raised
        assert found.curves["n_doses"].item() == 7


def test_flags_are_described_one_by_one() -> None:
    assert set(FLAGS) == set(get_args(Flag))


def test_flagged_curves_are_left_out_on_demand_with_their_points(tmp_path: Path) -> None:
    wells = pd.concat([planted({("L9", "A"): 1e6}), planted(some_lines())])
    found = fitted(tmp_path, wells, fit={"drop": ["flat"]})
    assert len(found.curves) == 12
    assert found.points.groupby("curve").size().to_dict() == dict.fromkeys(range(12), 7)
    (note,) = (note for note in found.notes if "flagged flat, left out" in note.what)
    assert note.count == 1


def test_screens_of_different_doses_are_fitted_over_those_they_share(tmp_path: Path) -> None:
    wide, narrow = planted(some_lines()), planted(some_lines(), ladder=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0))
    shared = {"range": "shared"}
    sides = [screen_of(tmp_path / n, n, wells, shared, "aac") for n, wells in (("wide", wide), ("narrow", narrow))]
    study = tidy_study(tmp_path, *sides)
    assert study.source.responses.potency == pytest.approx(study.target.responses.potency, abs=1e-5)
    doses = 10 ** np.linspace(-1, 1, 4001)
    expected = [1 - np.trapezoid(viability(doses, ec50), np.log10(doses)) / 2 for ec50 in some_lines().values()]
    assert study.source.responses.potency == pytest.approx(expected, abs=1e-4)
    for side in sides:
        side["responses"]["fit"]["range"] = "tested"
    apart = tidy_study(tmp_path, *sides)
    assert np.abs(apart.source.responses.potency - apart.target.responses.potency).min() > 0.01


def test_doses_are_shared_drug_by_drug(tmp_path: Path) -> None:
    a, b = some_lines(drugs=("A",)), {pair: 20 * ec50 for pair, ec50 in some_lines(drugs=("B",)).items()}
    near, far = planted(a), planted(b, ladder=(1.0, 3.0, 10.0, 30.0, 100.0))
    other = planted({**a, **b}, ladder=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0))
    shared = {"range": "shared"}
    one = screen_of(tmp_path / "one", "one", pd.concat([near, far]), shared, "aac")
    two = screen_of(tmp_path / "two", "two", other, shared, "aac")
    study = tidy_study(tmp_path, one, two)
    assert study.source.responses.potency == pytest.approx(study.target.responses.potency, abs=1e-4)


def test_ranges_that_cannot_be_shared_are_refused(tmp_path: Path) -> None:
    shared = {"range": "shared"}
    low = screen_of(tmp_path / "low", "low", planted(some_lines()), shared, "aac")
    high = screen_of(tmp_path / "high", "high", planted(some_lines(), ladder=(20.0, 40.0, 80.0, 160.0)), shared, "aac")
    with pytest.raises(UnitsError, match=r"2 drugs were tested at doses that do not overlap \(e\.g\. A at 0\.01 to 10 µM, "):
        tidy_study(tmp_path, low, high)
    published = {
        **high,
        "responses": {
            **high["responses"],
            "fit": None,
            "columns": {"cell_id": "line", "drug_id": "drug", "value": "viability"},
        },
    }
    with pytest.raises(ConfigError, match=r"needs the wells of all screens, and high has published labels"):
        tidy_study(tmp_path, low, published)


def test_frames_of_wells_make_a_screen(tmp_path: Path) -> None:
    wells = planted(some_lines()).rename(columns={"line": "cell_id", "drug": "drug_id", "viability": "value"})
    lines = sorted(wells["cell_id"].unique())
    expression = pd.DataFrame({"cell_id": lines, "X": np.arange(6.0), "Y": np.arange(6.0)[::-1]})
    drugs = pd.DataFrame({"drug_id": ["A", "B"], "smiles": ["CCO", "CCN"]})
    screen = screen_of_frames("mine", expression, wells, drugs, None, {"fit": FIT})
    assert 10.0**-screen.responses.potency == pytest.approx(list(some_lines().values()), rel=1e-3)
