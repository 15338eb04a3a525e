"""The short table and the sentence say what the comparison's numbers say."""

import re
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from dadsp.evaluation.compare import Comparison, compare, compared_scores
from dadsp.evaluation.compare_brief import advice, brief_columns, render_brief
from tests.support.comparisons import runs_of

NAN = float("nan")


NONE = (NAN, NAN)


def system(name: str, rmse: float, r: float, gap: tuple[float, float] = NONE, r_gap: tuple[float, float] = NONE) -> Any:
    """A system's row: scores, and the ends of the intervals of its differences from the reference."""
    ends = {"difference_low": gap[0], "difference_high": gap[1], "r_difference_low": r_gap[0], "r_difference_high": r_gap[1]}
    return {"system": name, "kind": "model", "rmse": rmse, "median_drug_pearson": r, "saw_target_labels": False} | ends


def naive(name: str, rmse: float, r: float = NAN, kind: str = "naive_source") -> Any:
    return system(name, rmse, r) | {"kind": kind, "saw_target_labels": kind == "naive_oracle"}


def said(*rows: Any, reference: str = "A") -> str:
    return advice(Comparison("a → b", reference, pd.DataFrame(list(rows)), pd.DataFrame(), None, {}))


LONG = "source drug mean, of labels that were clipped at the cap"
MEAN = naive("source drug mean", 0.9)
BEST = system("A", 0.5, 0.6)


def test_one_that_wins_both_scores_is_named_without_reserve() -> None:
    worse = (system("B", 0.6, 0.3, (0.05, 0.15), (-0.4, -0.2)), system("C", 0.7, 0.2, (0.1, 0.3), (-0.5, -0.3)))
    assert said(BEST, *worse, MEAN) == (
        "Use A: RMSE 0.500, the lowest (intervals of the differences exclude zero); "
        "r per drug 0.60, the highest (intervals of the differences exclude zero)."
    )


def test_systems_tied_in_both_scores_are_named_together() -> None:
    sentence = said(BEST, system("B", 0.51, 0.58, (-0.01, 0.03), (-0.1, 0.06)), MEAN)
    assert sentence == (
        "Use A, or just as well B: RMSE 0.500, not told apart from B (interval of the difference includes zero); "
        "r per drug 0.60, not told apart from B (interval of the difference includes zero)."
    )


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (
            system("B", 0.6, 0.58, (0.05, 0.15), (-0.1, 0.06)),
            "Use A: RMSE 0.500, the lowest (.*); r .* not told apart from B",
        ),
        (
            system("B", 0.51, 0.3, (-0.01, 0.03), (-0.4, -0.2)),
            "Use A: RMSE 0.500, not told apart from B .*0.60, the highest",
        ),
        (system("B", 0.6, 0.8, (0.05, 0.15), (0.1, 0.3)), r"Use A for potency .* but B to rank lines \(r per drug 0.80"),
        (system("B", 0.6, NAN, (0.05, 0.15)), "Use A: .* r per drug 0.60, the highest"),
        (system("B", 0.6, 0.3), "not told apart from B .* not told apart from B"),
    ],
    ids=["r tied", "rmse tied", "r better elsewhere", "no r", "no replicate in common"],
)
def test_each_score_is_judged_by_the_interval_of_its_own_difference(other: Any, expected: str) -> None:
    assert re.search(expected, said(BEST, other, MEAN))


def test_naive_row_that_is_as_good_ends_the_matter() -> None:
    sentence = said(BEST, system("B", 0.6, 0.3, (0.05, 0.15), (-0.4, -0.2)), MEAN, naive("source cell mean", 0.49))
    assert sentence.startswith("Use none of these for potency: the naive row 'source cell mean' has RMSE 0.490, A")


def test_naive_row_that_is_not_told_apart_is_named() -> None:
    near = MEAN | {"rmse": 0.52, "difference_low": -0.01, "difference_high": 0.05}
    expected = "yet in RMSE not told apart from the naive row 'source drug mean', 0.520 (interval of the difference includes"
    assert expected in said(BEST, near)
    assert expected in said(BEST, system("B", 0.6, 0.3, (0.05, 0.15), (-0.4, -0.2)), near)
    assert "told apart from the naive" not in said(BEST, near | {"difference_low": 0.01})


def test_naive_row_that_ranks_better_is_not_hidden() -> None:
    rows = (BEST, system("B", 0.6, 0.3, (0.05, 0.15), (-0.4, -0.2)), naive("source copied label", 0.8, 0.65))
    assert said(*rows).endswith("; yet the naive row 'source copied label' reaches 0.65.")
    assert said(*rows, naive("source cell mean", 0.9, 0.62)) == said(*rows)
    assert "yet" not in said(*rows[:2], naive("oracle target mean", 0.1, 0.9, kind="naive_oracle"))


def test_system_that_saw_target_labels_is_never_recommended() -> None:
    leak = system("L (oracle)", 0.1, 0.9) | {"saw_target_labels": True}
    assert "L (oracle)" not in said(leak, BEST, system("B", 0.6, 0.3, (0.05, 0.15), (-0.4, -0.2)), MEAN)
    assert said(leak, MEAN, reference="L (oracle)").startswith("None of these systems can be recommended")


def test_systems_beside_a_reference_that_is_not_the_best_are_told_by_their_intervals() -> None:
    others = (system("B", 0.6, 0.3, (-0.02, 0.1)), system("C", 0.7, 0.2, (0.1, 0.3)), system("A", 0.4, 0.6, (-0.2, -0.1)))
    assert said(*others, system("D", 0.55, 0.5), MEAN, reference="D") == (
        "Against D, by whether the interval of the difference excludes zero: a lower RMSE: A; a higher one: C; "
        "one not told apart from it: B."
    )


@pytest.fixture(scope="module")
def compared() -> Comparison:
    scores = dict.fromkeys(compared_scores(), 0.9) | {"ceiling": 0.62, "share_of_ceiling": 0.5, "replicate": "seed 0"}
    rows = [
        {"system": name, "kind": kind, "saw_target_labels": kind == "naive_oracle"} | scores | {"rmse": rmse}
        for name, kind, rmse in (
            ("source mean", "naive_source", 0.9),
            (LONG, "naive_source", 0.8),
            ("oracle target mean", "naive_oracle", 0.1),
        )
    ]
    runs = [*runs_of("worse [x]", 0.5, seeds=(0,)), *runs_of("better", 0.3, seeds=(0,))]
    return compare(runs, "A → B", naive=pd.DataFrame(rows), replicates=100)


def test_short_table_holds_systems_the_best_naive_source_row_and_the_ceiling(compared: Comparison) -> None:
    text = brief_columns(compared)
    assert text["System"].tolist() == ["better", "worse [x]", LONG, "label ceiling"]
    own = compared.table.set_index("system").loc["better"]
    low, high = own["median_drug_pearson_low"], own["median_drug_pearson_high"]
    assert text["r per drug"].tolist()[0] == f"{own['median_drug_pearson']:.2f} [{low:.2f}, {high:.2f}]"
    assert text.iloc[-1].tolist() == ["label ceiling", "–", "–", "0.62", "100"]


def test_a_rule_stands_under_the_last_system(compared: Comparison) -> None:
    assert [row.end_section for row in render_brief(compared).rows] == [False, True, False, False]


def test_short_table_fits_a_terminal_of_100_columns_and_shows_brackets(compared: Comparison) -> None:
    console = Console(width=100, record=True, force_terminal=False)
    console.print(render_brief(compared))
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100
    assert any("worse [x]" in line for line in lines)
    assert "†" not in "".join(lines)
