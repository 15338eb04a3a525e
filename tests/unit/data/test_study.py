import json
from dataclasses import replace

import numpy as np
import pytest

from dadsp.data.describe import describe
from dadsp.data.study import make_study
from dadsp.errors import ConfigError, MissingIdsError, SchemaError
from dadsp.schema import Screen
from tests.support.studies import small_screen


@pytest.fixture
def source() -> Screen:
    return small_screen("SRC", n_cells=6, n_drugs=4, n_genes=5, seed=0, links=3)


@pytest.fixture
def target() -> Screen:
    return small_screen("TGT", n_cells=4, n_drugs=3, n_genes=5, seed=1, links=2)


def _without_structure(screen: Screen, row: int) -> Screen:
    smiles, keys = list(screen.drugs.smiles), list(screen.drugs.structure_keys)
    smiles[row] = keys[row] = None
    return replace(screen, drugs=replace(screen.drugs, smiles=tuple(smiles), structure_keys=tuple(keys)))


def _with_labels(screen: Screen, potency: np.ndarray, censored: bool = False) -> Screen:
    responses = screen.responses
    return replace(
        screen,
        responses=replace(responses, potency=potency.astype(np.float32), censored=np.full(len(responses), censored)),
    )


def test_shared_genes_stand_in_source_order_on_both_sides(source: Screen, target: Screen) -> None:
    reordered = replace(target.with_genes(["G3", "G0", "G2"]), genes=("G3", "alien", "G2"))
    study = make_study(source, reordered)
    assert study.source.genes == study.target.genes == ("G2", "G3")
    np.testing.assert_array_equal(study.source.cells.expression, source.cells.expression[:, [2, 3]])
    np.testing.assert_array_equal(study.target.cells.expression, target.cells.expression[:, [2, 3]])


def test_lost_genes_are_noted_per_screen(source: Screen, target: Screen) -> None:
    study = make_study(source, replace(target, genes=("G0", "G1", "X", "Y", "G4")))
    assert [(note.count, note.examples) for note in study.source.notes] == [(2, "G2, G3")]
    assert [(note.count, note.examples) for note in study.target.notes] == [(2, "X, Y")]


def test_disjoint_genes_are_refused_with_examples_of_both(source: Screen, target: Screen) -> None:
    ensembl = replace(target, genes=tuple(f"ENSG{n}" for n in range(5)))
    with pytest.raises(
        SchemaError, match=r"SRC \(5 genes, e.g. G0, G1, G2, …\) and TGT .*ENSG0.* share 0 genes.*genes\.table"
    ):
        make_study(source, ensembl)


def test_min_genes_is_held(source: Screen, target: Screen) -> None:
    with pytest.raises(SchemaError, match="share 5 genes; 6 are needed"):
        make_study(source, target, min_genes=6)


def test_drugs_without_structure_go_with_their_responses(source: Screen, target: Screen) -> None:
    study = make_study(_without_structure(source, 1), target)
    assert study.source.drugs.ids == ("SRC-drug0", "SRC-drug2", "SRC-drug3")
    kept = source.responses.drug_idx != 1
    names = np.array(study.source.drugs.ids)[study.source.responses.drug_idx]
    assert names.tolist() == [f"SRC-drug{row}" for row in source.responses.drug_idx[kept]]
    np.testing.assert_array_equal(study.source.responses.potency, source.responses.potency[kept])
    np.testing.assert_array_equal(study.raw_source_potency, source.responses.potency[kept])
    assert study.source.notes[0].count == 1
    assert "6 of 24 responses" in study.source.notes[0].what


def test_drugs_without_structure_can_be_refused(source: Screen, target: Screen) -> None:
    with pytest.raises(MissingIdsError, match=r"TGT: 1 of 3 drugs have no structure \(e.g. drug0 \(TGT-drug0\)\)\..*=drop"):
        make_study(source, _without_structure(target, 0), on_missing_structure="error")


def test_source_labels_are_clipped_at_the_cap_of_the_target(source: Screen, target: Screen) -> None:
    study = make_study(source, replace(target, cap=-0.5), label_cap="target")
    raw = source.responses.potency
    np.testing.assert_array_equal(study.source.responses.potency, np.maximum(raw, np.float32(-0.5)))
    np.testing.assert_array_equal(study.source.responses.censored, raw < -0.5)
    np.testing.assert_array_equal(study.raw_source_potency, raw)
    assert study.source.notes[0].count == (raw < -0.5).sum() > 0
    assert study.source.cap == -0.5


def test_target_labels_never_change_with_the_cap_option(source: Screen, target: Screen) -> None:
    capped = replace(target, cap=-0.5)
    assert (
        make_study(source, capped, label_cap="target").target.content_hash == make_study(source, capped).target.content_hash
    )


def test_a_stricter_cap_of_the_source_stands(source: Screen, target: Screen) -> None:
    study = make_study(replace(source, cap=0.0), replace(target, cap=-0.5), label_cap="target")
    assert study.source.cap == 0


def test_clipping_needs_a_cap(source: Screen, target: Screen) -> None:
    with pytest.raises(ConfigError, match=r"TGT has no cap.*label_cap=none"):
        make_study(source, target, label_cap="target")


def test_unlabelled_lines_and_drugs_stay(source: Screen, target: Screen) -> None:
    responses = source.responses
    few = replace(source, responses=responses.take((responses.cell_idx != 2) & (responses.drug_idx != 1)))
    study = make_study(few, target)
    assert (len(study.source.cells), len(study.source.drugs)) == (6, 4)


def test_one_labelled_drug_is_refused_with_a_remedy(source: Screen, target: Screen) -> None:
    one = replace(source, responses=source.responses.take(source.responses.drug_idx == 2))
    with pytest.raises(SchemaError, match=r"SRC has labels for one drug only \(drug2\).*two or more drugs"):
        make_study(one, target)


@pytest.mark.parametrize("side", ["source", "target"])
def test_all_capped_labels_are_refused(source: Screen, target: Screen, side: str) -> None:
    screens = {"source": source, "target": target}
    screen = screens[side]
    screens[side] = _with_labels(screen, np.full(len(screen.responses), -0.9), censored=True)
    with pytest.raises(SchemaError, match=rf"All {len(screen.responses)} labels of {screen.name} are capped \(e.g. -0.9"):
        make_study(screens["source"], screens["target"])


@pytest.mark.parametrize("side", ["source", "target"])
def test_constant_labels_are_refused(source: Screen, target: Screen, side: str) -> None:
    screens = {"source": source, "target": target}
    screens[side] = _with_labels(screens[side], np.full(len(screens[side].responses), 1.5))
    with pytest.raises(SchemaError, match=r"are 1\.5 −log10 µM\. Give"):
        make_study(screens["source"], screens["target"])


def test_a_screen_without_labels_is_refused(source: Screen, target: Screen) -> None:
    with pytest.raises(SchemaError, match="TGT has no labelled pair"):
        make_study(source, replace(target, responses=target.responses.take(np.array([], dtype=np.int64))))


def test_a_screen_of_one_line_is_refused(source: Screen) -> None:
    with pytest.raises(SchemaError, match="TGT has 1 cell line"):
        make_study(source, small_screen("TGT", n_cells=1, n_drugs=3, n_genes=5, seed=1))


def test_description_is_json_and_counts_as_a_slow_loop_does(source: Screen, target: Screen) -> None:
    study = make_study(source, replace(target, cap=-0.5), label_cap="target")
    described = json.loads(json.dumps(describe(study), allow_nan=False))
    assert {key: described["source"][key] for key in ("lines", "drugs", "pairs", "grid_share")} == {
        "lines": 6,
        "drugs": 4,
        "pairs": 24,
        "grid_share": 1.0,
    }
    measured = {
        (source.cells.link_ids[cell], source.drugs.structure_keys[drug]): float(label)
        for cell, drug, label in zip(
            source.responses.cell_idx, source.responses.drug_idx, study.raw_source_potency, strict=True
        )
    }
    both = [
        (float(label), measured[pair])
        for cell, drug, label in zip(
            target.responses.cell_idx, target.responses.drug_idx, target.responses.potency, strict=True
        )
        if target.cells.link_ids[cell]
        and (pair := (target.cells.link_ids[cell], target.drugs.structure_keys[drug])) in measured
    ]
    assert len(both) == 6  # 2 shared lines × 3 shared drugs
    overlap = described["overlap"]
    assert (overlap["lines"], overlap["labelled_target_drugs"], overlap["pairs"]) == (2, 3, 6)
    truth, raw = np.array(both).T
    clipped = np.maximum(raw, -0.5)
    agreement = overlap["source_label_as_prediction"]
    assert agreement["raw"]["rmse"] == pytest.approx(np.sqrt(np.mean((truth - raw) ** 2)))
    assert agreement["rmse"] == pytest.approx(np.sqrt(np.mean((truth - clipped) ** 2)))
    assert agreement["r"] == pytest.approx(np.corrcoef(truth, clipped)[0, 1])


def test_description_pools_source_drugs_of_one_structure(source: Screen, target: Screen) -> None:
    keys = source.drugs.structure_keys
    twins = replace(source, drugs=replace(source.drugs, structure_keys=(keys[0], keys[0], *keys[2:])))
    overlap = describe(make_study(twins, target))["overlap"]
    assert overlap["labelled_target_drugs"] == 2
    assert overlap["pairs"] == 4  # no pair twice


def test_description_of_screens_without_overlap_has_no_agreement(source: Screen) -> None:
    stranger = small_screen("TGT", n_cells=4, n_drugs=3, n_genes=5, seed=1, links=0)
    overlap = describe(make_study(source, stranger))["overlap"]
    assert overlap["pairs"] == overlap["lines"] == 0
    assert overlap["source_label_as_prediction"]["r"] is None
