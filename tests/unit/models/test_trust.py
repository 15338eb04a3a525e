"""Intervals and verdicts from held-out groups: quantiles by hand, folds that share nothing, coverage on simulated data."""

from dataclasses import replace
from math import ceil, inf
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from dadsp.drugs.structures import structure_keys
from dadsp.errors import LoadError
from dadsp.models.base import FitContext
from dadsp.models.kernels.similarity import squared_distances
from dadsp.models.systems.drug_ridge import DrugKernelRidge
from dadsp.models.systems.naive import Naive, OracleNaive
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.models.trust.calibration import LEVELS, VERDICTS, Calibration, drug_factors, falling, limits, nested_coverage
from dadsp.models.trust.group_quantile import group_mean, group_quantiles
from dadsp.models.trust.held_out import FOLDS, STRATA, HeldOut, cross_fit, folds
from dadsp.models.trust.nearness import BITS, Nearness
from dadsp.models.trust.own_lines import OwnLines
from dadsp.models.trust.ranks import FEWEST_LINES, percentile, percentile_in_drug, rank
from dadsp.models.trust.trust import Trust, load_trust, trust_of
from dadsp.schema import Drugs, Pairs, Responses, Screen, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_study
from tests.support.systems import poisoned


def test_one_pair_a_group_gives_the_ordinary_conformal_quantile() -> None:
    score = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))
    levels = [0.05, 0.5, 0.75, 0.9, 0.95]
    ranks = [ceil(level * 20 - 1e-9) for level in levels]
    assert group_quantiles(score, np.arange(19), levels).tolist() == [sorted(score)[rank - 1] for rank in ranks]


def test_groups_weigh_alike_however_many_pairs_they_have() -> None:
    # Three groups weigh 1/4 each and an infinite score the last 1/4; cumulated: 1 → 1/8, 2 → 2/8, 3 → 5/16, …
    score, group = np.arange(1.0, 8.0), np.array([0, 0, 1, 1, 1, 1, 2])
    assert group_quantiles(score, group, [0.5, 0.4, 0.75, 0.76]).tolist() == [6.0, 5.0, 7.0, inf]


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_pairs_of_a_new_group_are_held_at_the_nominal_level(level: float) -> None:
    covered = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        group = np.repeat(np.arange(80), random.integers(1, 12, 80))
        score = np.abs(random.normal(size=len(group))) * random.gamma(2.0, size=80)[group]
        reach = group_quantiles(score[group < 40], group[group < 40], [level])[0]
        covered.append(group_mean(score[group >= 40] <= reach, group[group >= 40]))
    assert level - 0.015 < np.mean(covered) < level + 1 / 41 + 0.015


def test_falling_is_isotonic_regression() -> None:
    values = np.random.default_rng(1).normal(size=60) - np.linspace(0, 2, 60)
    assert falling(values) == pytest.approx(isotonic_regression(values, increasing=False).x)


def test_inside_ends_where_coverage_falls_short() -> None:
    distance = np.repeat(np.arange(20.0), 50).astype(np.float32)
    covered = np.tile(np.arange(50) < 45, 20) & ((distance < 15) | (np.arange(1000) % 2 == 0))
    assert limits(covered, distance.astype(np.int64), distance) == (14.0, 19.0)
    assert limits(np.ones(1000, dtype=bool), distance.astype(np.int64), distance) == (19.0, 19.0)


def test_what_cannot_be_compared_has_no_limit() -> None:
    unknown = np.full(10, np.nan, dtype=np.float32)
    assert np.isnan(limits(np.ones(10, dtype=bool), np.arange(10), unknown)).all()


def simulated(seed: int, n_lines: int = 60, n_drugs: int = 40) -> HeldOut:
    """Errors of all four strata, larger where the drug is new, of drugs and lines that differ."""
    random = np.random.default_rng(seed)
    line, drug = (part.ravel() for part in np.meshgrid(np.arange(n_lines), np.arange(n_drugs), indexing="ij"))
    of_line, of_drug = np.arange(n_lines) % FOLDS, np.arange(n_drugs) % FOLDS
    own, level = random.gamma(4.0, 0.25, n_drugs), random.normal(size=n_drugs)
    parts = []
    for fold in range(FOLDS):
        new_line, new_drug = of_line[line] == fold, of_drug[drug] == fold
        held = new_line | new_drug | (random.random(len(line)) < 0.05)
        noise = random.normal(size=len(line)) * own[drug]
        error = np.abs(noise + np.where(new_drug, level[drug], 0.0))
        stratum = (new_line + 2 * new_drug).astype(np.int64)
        far = np.zeros(len(line), dtype=np.float32)
        every = HeldOut(line, drug, stratum, error, np.ones(len(line)), far, far + 1, np.full(len(line), fold))
        parts.append(every.where(held))
    return HeldOut.joined(parts)


def test_intervals_hold_at_the_nominal_level_in_every_stratum_on_folds_that_calibrated_nothing() -> None:
    found: dict[str, list[float]] = {}
    for seed in range(12):
        for row in nested_coverage(simulated(seed)):
            if row["verdict"] == "all":
                found.setdefault(row["stratum"], []).append(row["coverage_90"])
    assert list(found) == list(STRATA)
    for stratum, covered in found.items():
        assert 0.88 < np.mean(covered) < 0.94, stratum


def test_an_interval_is_as_wide_as_a_new_drug_needs() -> None:
    reach = Calibration.of(simulated(0)).reach
    at = int(np.argmin(np.abs(LEVELS - 0.9)))
    assert reach[2, at] > 1.25 * reach[1, at]
    assert reach[3, at] > 1.25 * reach[1, at]


def test_drugs_of_large_errors_get_wide_intervals_and_few_pairs_say_little() -> None:
    held_out = simulated(3)
    new_line = held_out.stratum == 1
    factor = drug_factors(held_out)
    own = np.array([np.sqrt(np.mean(held_out.error[new_line & (held_out.drug == drug)] ** 2)) for drug in range(40)])
    assert np.corrcoef(factor, own)[0, 1] > 0.99
    few = held_out.where(~new_line | (held_out.drug != 0) | (held_out.line == held_out.line[new_line][0]))
    assert abs(drug_factors(few)[0] - 1) < abs(factor[0] - 1) + 0.3
    assert (drug_factors(held_out.where(held_out.stratum >= 2)) == 1).all()


def test_seen_pairs_have_the_reach_of_their_own_errors_where_some_were_held_out() -> None:
    held_out = simulated(0)
    worse = replace(held_out, error=np.where(held_out.stratum == 1, 4, 1) * held_out.error)
    reach, at = Calibration.of(worse.where(worse.stratum < 2)).reach, int(np.argmin(np.abs(LEVELS - 0.9)))
    assert reach[0, at] < 0.5 * reach[1, at]


def test_without_a_new_drug_among_the_held_out_pairs_nothing_is_claimed_of_one() -> None:
    held_out = simulated(0)
    calibration = Calibration.of(held_out.where(held_out.stratum == 1))
    half = calibration.half_width(np.arange(4), np.ones(4), 0.9)
    assert np.isfinite(half).tolist() == [True, True, False, False]
    assert half[0] == half[1]
    zeros = np.zeros(4, dtype=np.float32)
    assert [VERDICTS[place] for place in calibration.verdicts(np.arange(4), zeros, zeros + 1)] == [
        "inside",
        "inside",
        "outside",
        "outside",
    ]


def study_of(n_source: int = 30) -> Study:
    """A small study whose screens hold 14 and 13 drugs, fully measured."""
    study, smiles, random = (
        small_study(n_source=n_source),
        [f"{'C' * (2 + row)}O" for row in range(14)],
        np.random.default_rng(0),
    )

    def wide(screen: Screen, n_drugs: int) -> Screen:
        cell, drug = (part.ravel() for part in np.meshgrid(np.arange(len(screen.cells)), np.arange(n_drugs), indexing="ij"))
        potency = 0.1 * drug + screen.cells.expression[cell, 0] + 0.3 * random.normal(size=len(cell))
        names, own = tuple(f"{screen.name}-drug{row}" for row in range(n_drugs)), tuple(smiles[:n_drugs])
        drugs = Drugs(names, names, own, structure_keys(own, names), (None,) * n_drugs)
        responses = Responses(cell, drug, potency.astype(np.float32), np.zeros(len(cell), dtype=bool))
        return replace(screen, drugs=drugs, responses=responses)

    source = wide(study.source, 14)
    return replace(study, source=source, target=wide(study.target, 13), raw_source_potency=source.responses.potency)


def test_every_line_and_drug_is_held_out_once_and_seen_by_no_part_of_its_fold() -> None:
    study = study_of()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    responses = study.source.responses
    lines, drugs = [], []
    for learned, rows in folds(study, split, 0):
        used = np.concatenate([learned.train_idx, learned.val_idx])
        assert not set(used) & set(rows)
        assert not set(responses.cell_idx[learned.train_idx]) & set(responses.cell_idx[learned.val_idx])
        lines += list(set(responses.cell_idx[rows]) - set(responses.cell_idx[used]))
        drugs += list(set(responses.drug_idx[rows]) - set(responses.drug_idx[used]))
        assert len(learned.val_idx)
    assert sorted(lines) == list(range(30))
    assert sorted(drugs) == list(range(14))


def test_strata_say_what_the_fold_had_seen() -> None:
    study = study_of()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    found = cross_fit(lambda: Naive("drug_mean"), study, split, FitContext())
    pairs = {name: int((found.stratum == place).sum()) for place, name in enumerate(STRATA)}
    assert all(pairs.values())
    assert (found.similarity[found.stratum < 2] == 1).all()
    assert found.similarity[found.stratum >= 2].mean() < 1


@pytest.fixture(scope="module")
def trusted() -> tuple[PairwiseGp, Study, Trust]:
    study = study_of()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    model = PairwiseGp().fit(study, split)
    trust = trust_of(model, None, study, split, FitContext())
    assert trust is not None
    return model, study, trust


def all_pairs(study: Study) -> Pairs:
    screen = study.target
    cell, drug = np.meshgrid(np.arange(len(screen.cells)), np.arange(len(screen.drugs)), indexing="ij")
    return Pairs(screen, "target", cell.ravel(), drug.ravel())


def test_a_saved_calibration_judges_alike(trusted: tuple[PairwiseGp, Study, Trust], tmp_path: Path) -> None:
    model, study, trust = trusted
    assert trust.facts["method"] == "cross_fit"
    trust.save(tmp_path)
    again = load_trust(tmp_path)
    assert again is not None
    one, other = (each.judge(model, all_pairs(study)) for each in (trust, again))
    assert all(np.array_equal(a, b) for a, b in zip(one._asdict().values(), other._asdict().values(), strict=True))
    for level in (0.5, 0.9):
        assert all(map(np.array_equal, trust.interval(one, level), again.interval(other, level)))
    assert np.array_equal(one.potency, model.predict(all_pairs(study)))
    (tmp_path / "trust.safetensors").write_bytes(b"damaged")
    with pytest.raises(LoadError, match="predict without intervals"):
        load_trust(tmp_path)
    assert load_trust(tmp_path / "nowhere") is None


def test_the_gaussian_process_gives_the_same_potency_with_its_sd(trusted: tuple[PairwiseGp, Study, Trust]) -> None:
    model, study, _ = trusted
    potency, sd = model.predict_with_sd(all_pairs(study))
    assert np.array_equal(potency, model.predict(all_pairs(study)))
    assert sd == pytest.approx(np.sqrt(model.distribution(all_pairs(study)).variance), rel=1e-5)


def test_lines_that_trained_lie_at_no_distance(trusted: tuple[PairwiseGp, Study, Trust]) -> None:
    model, study, trust = trusted
    rows = np.arange(len(study.source.cells))
    assert (trust.near.line_distance(model, study.source, "source", rows) == 0).all()
    assert (trust.near.drug_similarity(study.source, np.arange(14)) == 1).all()
    assert np.isnan(trust.without_lines().near.line_distance(model, study.source, "source", rows)).all()


def test_what_rounding_leaves_of_the_distance_of_a_line_to_itself_is_no_distance() -> None:
    lines = np.random.default_rng(0).normal(1, 1, size=(40, 300)).astype(np.float32)
    assert squared_distances(lines, lines).diagonal().any()
    read = [lines, lines + np.float32(0.5) * (np.arange(300) == 7)]
    near = Nearness(lines, np.arange(300), np.zeros((0, BITS // 8), dtype=np.uint8), (), ())
    model = SimpleNamespace(genes=("G",), scaled_expression=lambda screen, domain, rows: read[domain == "target"])
    own, moved = (near.line_distance(model, None, domain, np.arange(40)) for domain in ("source", "target"))  # type: ignore[arg-type]
    assert (own == 0).all()
    assert moved == pytest.approx(0.5 / np.sqrt(300), rel=1e-4)


def test_target_labels_reach_no_calibration() -> None:
    study = study_of()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    found = []
    for each in (study, poisoned(study)):
        model = DrugKernelRidge().fit(each, split)
        trust = trust_of(model, None, each, split, FitContext())
        assert trust is not None
        found.append(trust.calibration)
    assert np.array_equal(found[0].reach, found[1].reach)
    assert np.array_equal(found[0].factor, found[1].factor)


def test_a_system_that_saw_the_labels_has_none() -> None:
    study = study_of()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    assert trust_of(OracleNaive().fit(study, split), None, study, split, FitContext()) is None
    assert trust_of(Naive().fit(study, split), None, study, split, FitContext(), "none") is None


def test_few_drugs_fall_back_on_held_out_lines() -> None:
    study = small_study()
    split = cross_screen(study, seed=0, val_fraction=0.2)
    trust = trust_of(PairwiseGp().fit(study, split), None, study, split, FitContext())
    assert trust is not None
    assert trust.facts["method"] == "held_out_lines"


def test_ranks_and_percentiles_by_hand() -> None:
    potency = np.array([3.0, 1.0, 2.0, 2.0, 5.0], dtype=np.float32)
    group = np.array([0, 0, 0, 0, 1])
    assert rank(potency, group).tolist() == [1, 4, 2, 2, 1]
    assert percentile(potency, group)[:4] == pytest.approx([100, 0, 50, 50])
    assert np.isnan(percentile(potency, group)[4])


@pytest.mark.parametrize("n", [FEWEST_LINES - 1, FEWEST_LINES])
def test_lines_are_held_against_each_other_once_they_are_enough(n: int) -> None:
    study = small_study(n_target=FEWEST_LINES)
    pairs = Pairs(study.target, "target", np.arange(n), np.zeros(n, dtype=np.int64))
    share, among = percentile_in_drug(np.arange(n, dtype=np.float32), pairs, None, str)
    enough = n == FEWEST_LINES
    assert set(among) == {"this table" if enough else ""}
    assert np.isnan(share).all() != enough


def test_a_single_line_stands_among_the_runs_own(trusted: tuple[PairwiseGp, Study, Trust]) -> None:
    model, study, trust = trusted
    one = Pairs(study.target, "target", np.array([0]), np.array([2]))
    share, among = percentile_in_drug(model.predict(one), one, trust.own_lines, lambda domain: f"{domain} lines")
    every = model.predict(Pairs(study.target, "target", np.arange(9), np.full(9, 2)))
    assert share[0] == pytest.approx(100 * (every < every[0]).sum() / 8, abs=1)
    assert among.tolist() == ["target lines"]
    assert np.isnan(OwnLines.percentile(trust.own_lines, "target", "unknown", every)).all()
