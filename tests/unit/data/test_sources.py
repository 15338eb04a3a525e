"""Readers of published layouts, on miniature files in those layouts."""

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from omegaconf import DictConfig

from dadsp.configuration.compose import build, compose
from dadsp.data.sources.ccle import DrugData, curves
from dadsp.data.sources.h5ad import H5ad
from dadsp.errors import ConfigError, DadspError, SchemaError, UnitsError
from dadsp.schema import Note, Screen, Study
from tests.support.published_files import (
    ENTREZ,
    write_ccle,
    write_coderdata,
    write_depmap,
    write_gct,
    write_gdsc,
    write_smiles,
)
from tests.support.raw_files import edit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_gdsc(tmp_path / "gdsc")
    write_ccle(tmp_path / "ccle")
    write_depmap(tmp_path / "depmap")
    write_coderdata(tmp_path)
    write_smiles(tmp_path / "pubchem_smiles.csv")
    return tmp_path


@cache
def _config(overrides: tuple[str, ...]) -> DictConfig:
    """Composing takes longer than reading, and most tests share it."""
    config: DictConfig = compose("config", ["data=screens", *overrides]).data
    return config


def _study(root: Path, *overrides: str) -> Study:
    config = _config(overrides)
    config.root = str(root)
    study = build(config, "data")
    assert isinstance(study, Study)
    return study


def _coderdata(root: Path, *overrides: str) -> Study:
    both = ["screen@data.source=coderdata", "screen@data.target=coderdata", "data.target.name=ctrpv2"]
    return _study(root, *both, *overrides)


def _note(screen: Screen, words: str) -> Note:
    (note,) = [note for note in screen.notes if words in note.what]
    return note


def _labels(screen: Screen) -> dict[tuple[str, str], float]:
    pairs = zip(screen.responses.cell_idx, screen.responses.drug_idx, screen.responses.potency, strict=True)
    return {(screen.cells.ids[line], screen.drugs.names[drug]): float(label) for line, drug, label in pairs}


def _censored(screen: Screen) -> set[tuple[str, str]]:
    bounds = screen.responses.take(screen.responses.censored)
    return {(screen.cells.ids[c], screen.drugs.names[d]) for c, d in zip(bounds.cell_idx, bounds.drug_idx, strict=True)}


def test_gdsc_labels_are_the_published_ones_and_extrapolation_is_a_flag(root: Path) -> None:
    source = _study(root).source
    labels = _labels(source)
    assert labels["906826", "Olaparib"] == pytest.approx(-np.log10(0.5))
    assert labels["753531", "Lapatinib"] == pytest.approx(-np.log10(32))  # top dose 1 µM: extrapolated, kept
    assert _censored(source) == {(line, "Lapatinib") for line in source.cells.ids}
    assert _note(source, "beyond the highest dose").count == 5


def test_gdsc_labels_beyond_the_top_dose_can_be_clipped(root: Path) -> None:
    source = _study(root, "data.source.responses.beyond_top_dose=clip").source
    assert {label for (_, drug), label in _labels(source).items() if drug == "Lapatinib"} == {0.0}


def test_gdsc_expression_names_lines_by_cosmic_id_and_merges_by_policy(root: Path) -> None:
    source = _study(root).source
    assert source.genes == ("TSPAN6", "TP53", "RARA", "EGFR")
    assert source.cells.ids == ("906826", "905957", "930299", "1299064", "753531")
    np.testing.assert_allclose(source.cells.expression[1], [1.125, 2.125, 5.125, 5.125])  # RARA: mean of 4.125, 6.125
    assert _note(source, "several arrays").examples == "905957"
    assert _note(source, "without a name").count == 1
    assert _note(source, "repeated names averaged (2 columns)").examples == "RARA"
    averaged = _study(root, "data.source.expression.repeated_arrays=mean").source
    assert averaged.cells.expression[1, 0] == pytest.approx(1 + (1 / 8 + 5 / 8) / 2)


def test_gdsc_annotation_gives_tissues_and_its_line_of_totals_is_no_line(root: Path) -> None:
    source = _study(root).source
    assert source.cells.tissues == ("BRCA",) * 4 + (None,)
    assert source.drugs.smiles == ("CCO", "c1ccccc1")
    assert source.drugs.targets == ("PARP1", "PARP1")


def test_lines_are_linked_by_name_and_tt_is_not_t_t(root: Path) -> None:
    study = _study(root)
    linked = {
        study.target.cells.ids[n]: study.source.cells.ids[row]
        for n, row in enumerate(study.target_cell_in_source)
        if row >= 0
    }
    assert linked == {"HS578T_BREAST": "905957", "TT_THYROID": "930299"}


def test_ccle_labels_are_capped_at_their_top_dose(root: Path) -> None:
    target = _study(root).target
    labels = _labels(target)
    assert labels["HS578T_BREAST", "Olaparib"] == pytest.approx(-np.log10(0.5))
    assert target.cap == pytest.approx(-np.log10(8))
    late = {(line, drug) for line in ("B2_LUNG", "T47D_BREAST") for drug in ("Olaparib", "Lapatinib")}
    assert _censored(target) == late
    assert labels["T47D_BREAST", "Lapatinib"] == pytest.approx(-np.log10(2.53))  # its own curve ended there


def test_ccle_rnaseq_gct_is_logged_when_asked_for(root: Path) -> None:
    target = _study(root).target
    assert target.cells.ids == ("HS578T_BREAST", "TT_THYROID", "B2_LUNG", "T47D_BREAST")
    np.testing.assert_allclose(target.cells.expression[2], np.log2(np.array([1, 2, 4, 8]) + 2 + 1), rtol=1e-6)
    named = _study(root, "data.target.expression.lines=depmap_id", "data.target.cells.columns.cell_id=depMapID", *_BY_ID)
    assert named.target.cells.ids[0] == "ACH-000000"


_BY_ID = (
    "+data.target.id_map.path=ccle/Cell_lines_annotations_20181226.txt",
    "+data.target.id_map.columns={response_id: CCLE_ID, expression_id: depMapID}",
)


def test_ccle_array_gct_is_read_by_entrez_id(root: Path) -> None:
    write_gct(root / "ccle/array.gct", ENTREZ, ["HS578T_BREAST", "TT_THYROID", "B2_LUNG", "B2_LUNG"])
    by_entrez = ["data.target.expression.id_column=Name", "data.target.expression.genes.ids=entrez"]
    options = ["data.target.expression.path=ccle/array.gct", "data.target.expression.transform=none", *by_entrez]
    options += ["data.target.expression.genes.table=hgnc.txt"]
    (root / "hgnc.txt").write_text(
        "symbol\talias_symbol\tprev_symbol\tentrez_id\tensembl_gene_id\n"
        + "".join(f"{s}\t\t\t{e}\t\n" for s, e in (("TSPAN6", 7105), ("TP53", 7157), ("RARA", 5914)))
    )
    target = _study(root, *options).target
    assert target.genes == ("TSPAN6", "TP53", "RARA")  # EGFR stayed 1956, which GDSC does not have
    assert target.cells.expression[1].tolist() == [2, 3, 5]
    assert _note(target, "does not know").examples == "1956"
    assert _note(target, "repeat a line").count == 1


@pytest.mark.parametrize(("measure", "expected"), [("act_area", 1.5), ("amax", 41.0)])
def test_ccle_measures_rise_with_sensitivity(root: Path, measure: str, expected: float) -> None:
    swapped = ["screen@data.source=ccle", "screen@data.target=ccle_depmap"]
    measures = [f"data.{side}.responses.measure={measure}" for side in ("source", "target")]
    study = _study(root, *swapped, *measures)
    assert _labels(study.source)["TT_THYROID", "Olaparib"] == pytest.approx(expected)
    assert (study.source.measure, study.source.cap) == (measure, None)


def test_ccle_ec50_leaves_out_what_was_not_fitted(root: Path) -> None:
    target = _study(root, "data.source.responses.measure=ic50", "data.target.responses.measure=ec50", _ALLOW).target
    assert _note(target, "have no value").count == 2
    assert _labels(target)["HS578T_BREAST", "Olaparib"] == pytest.approx(-np.log10(6.5))
    assert len(_censored(target)) == 4  # 8.5 and 10.5 µM lie beyond 8


def test_every_dose_of_a_ccle_curve_is_kept(root: Path) -> None:
    frame = curves(root / "ccle/CCLE_NP24.2009_Drug_data_2015.02.24.csv")
    assert len(frame) == 7 * 8 + 7
    first = frame[(frame["cell_id"] == "HS578T_BREAST") & (frame["drug_id"] == "Olaparib")]
    assert first["dose_um"].tolist() == [0.0025, 0.008, 0.025, 0.08, 0.25, 0.8, 2.53, 8]
    assert first["activity"].tolist() == [0, -1, -2, -3, -4, -5, -6, -7]


_ALLOW = "data.on_different_measures=allow"


def test_different_measures_are_refused_unless_asked_for(root: Path) -> None:
    auc = "data.source.responses.measure=auc"
    with pytest.raises(SchemaError, match=r"GDSC2 has auc, which falls .* CCLE has ic50, which falls .*measures=allow"):
        _study(root, auc)
    study = _study(root, auc, "data.target.responses.measure=act_area", _ALLOW)
    assert _labels(study.source)["906826", "Olaparib"] == pytest.approx(0.1)  # 1 − AUC
    assert _note(study.target, "another measure").count == 8


def test_depmap_expression_drops_the_entrez_id_and_links_by_model(root: Path) -> None:
    target = _study(root, "screen@data.target=ccle_depmap").target
    assert target.genes == ("TSPAN6", "TP53", "RARA", "EGFR")
    assert target.cells.ids == ("ACH-000000", "ACH-000001", "ACH-000002", "ACH-000003")
    assert target.cells.tissues == ("Breast",) * 4
    assert target.cells.expression[3].tolist() == [4, 2.5, 3.5, 1.5]
    assert _note(target, "cut to the symbol").examples.startswith("TSPAN6 (7105) → TSPAN6")
    assert _labels(target)["ACH-000001", "Olaparib"] == pytest.approx(-np.log10(2))


def test_depmap_default_profiles_are_read_where_a_release_has_several(root: Path) -> None:
    path = root / "depmap/OmicsExpressionProteinCodingGenesTPMLogp1.csv"
    rows = path.read_text().splitlines()
    more = [",SequencingID,ModelID,IsDefaultEntryForModel" + rows[0], "0,S0,ACH-000000,No,9,9,9,9"]
    more += [f"{n},S{n},{row.replace(',', ',Yes,', 1)}" for n, row in enumerate(rows[1:], 1)]
    path.write_text("\n".join(more) + "\n")
    target = _study(root, "screen@data.target=ccle_depmap").target
    assert target.cells.expression[0].tolist() == [1, 2.5, 3.5, 4.5]
    assert _note(target, "default left out").count == 1


def test_older_depmap_tables_are_told_by_their_header(root: Path) -> None:
    old = [f"ACH-00000{n},{name},,,,Breast Cancer,,," for n, name in enumerate(("A", "B", "C", "D"))]
    header = "Broad_ID,CCLE_Name,Aliases,COSMIC_ID,Sanger ID,Primary Disease,Subtype Disease,Gender,Source"
    (root / "depmap/sample_info.csv").write_text("\n".join([header, *old]) + "\n")
    cells = ["~data.target.cells", "+data.target.cells._target_=dadsp.data.sources.depmap.SampleInfo"]
    cells.append("+data.target.cells.path=depmap/sample_info.csv")
    target = _study(root, "screen@data.target=ccle_depmap", *cells).target
    assert target.cells.tissues == ("Breast Cancer",) * 4
    assert target.cells.link_ids == target.cells.ids


def test_each_study_of_coderdata_is_a_screen(root: Path) -> None:
    study = _coderdata(root)
    assert study.source.cells.ids == ("1", "2", "3")
    assert study.target_cell_in_source.tolist() == [0, 1, 2]
    assert study.genes == ("TSPAN6", "TP53", "RARA")
    assert _note(study.source, "some sample lacks").examples == "1956"
    np.testing.assert_allclose(study.source.cells.expression[2], np.log2(np.array([0, 1, 2]) + 8 + 1), rtol=1e-6)
    assert _labels(study.source)["2", "lapatinib"] == pytest.approx(5 + 2 / 8 + 2 / 4 - 6)  # −log10 M → −log10 µM
    assert _labels(study.target)["2", "lapatinib"] == pytest.approx(5 + 0.125 + 2 / 8 + 2 / 4 - 6)


def test_curves_of_coderdata_too_flat_for_an_ic50_are_left_out_with_their_place(root: Path) -> None:
    study = _coderdata(root)
    note = _note(study.source, "not credible left out")
    assert (note.what, note.count) == ("responses of 6 whose label is not credible left out", 1)
    assert note.examples == "line 18"  # after a header and four pairs of four metrics
    assert ("3", "olaparib") not in _labels(study.source)
    with pytest.raises(UnitsError, match=r"1 of 6 values read as neg_log10_m \(e\.g\. line 18: -31\.5\)"):
        _coderdata(root, "data.source.responses.on_implausible=error")


def test_the_metric_of_coderdata_is_a_choice(root: Path) -> None:
    auc = _coderdata(root, *(f"data.{side}.responses.measure=auc" for side in ("source", "target")))
    assert _labels(auc.source)["1", "olaparib"] == pytest.approx(1 - (0.2 + 1 / 8 + 1 / 4))
    with pytest.raises(SchemaError, match=r"no metric 'fit_aucx'.*aac, fit_auc, fit_ic50, fit_r2"):
        _coderdata(root, "data.source.responses.metric=fit_aucx")
    with pytest.raises(SchemaError, match=r"no study 'gCSI'.*GDSCv2"):
        _coderdata(root, "data.source.responses.study=gCSI")
    with pytest.raises(ConfigError, match=r"no measure 'amax'.*aac, auc, ec50, ic50"):
        _coderdata(root, "data.source.responses.measure=amax")


def test_coderdata_samples_link_to_other_collections(root: Path) -> None:
    assert _coderdata(root, "data.source.cells.link_source=DepMap").source.cells.link_ids == (
        "DepMap-1",
        "DepMap-2",
        "DepMap-3",
    )
    edit_first = (root / "gdscv2_samples.csv").read_text().replace("DepMap-1,1", "DepMap-9,1", 1)
    (root / "gdscv2_samples.csv").write_text(edit_first)
    with pytest.raises(SchemaError, match=r"gdscv2_samples\.csv: 1 ids have several other_ids \(1: DepMap-9 / DepMap-1\)"):
        _coderdata(root, "data.source.cells.link_source=DepMap")


def _write_h5ad(path: Path, numbers: Any) -> None:
    """As anndata lays a file out on disk: encoding attributes, index names, a categorical column."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for group, names in (("obs", ["L1", "L2"]), ("var", ["G1", "G2", "G3"])):
            frame = file.create_group(group)
            frame.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "index"})
            frame.create_dataset("index", data=names, dtype=h5py.string_dtype())
        kind = file["var"].create_group("symbol")
        kind.attrs["encoding-type"] = "categorical"
        kind.create_dataset("categories", data=["TP53", "EGFR", "KRAS"], dtype=h5py.string_dtype())
        kind.create_dataset("codes", data=[2, 0, 1])
        nullable = file["obs"].create_group("nullable")
        nullable.attrs["encoding-type"] = "nullable-string-array"
        nullable.create_dataset("values", data=["A", ""], dtype=h5py.string_dtype())
        nullable.create_dataset("mask", data=[False, True])
        if isinstance(numbers, np.ndarray):
            file.create_dataset("X", data=numbers)
            return
        sparse = file.create_group("X")
        sparse.attrs.update({"encoding-type": "csr_matrix", "shape": (2, 3)})
        for name, values in numbers.items():
            sparse.create_dataset(name, data=values)


@pytest.mark.parametrize(
    "numbers",
    [np.array([[1.0, 0, 2], [0, 3, 0]]), {"data": [1.0, 2, 3], "indices": [0, 2, 1], "indptr": [0, 2, 3]}],
    ids=["dense", "sparse"],
)
def test_h5ad_gives_lines_by_genes(tmp_path: Path, numbers: Any) -> None:
    _write_h5ad(tmp_path / "x.h5ad", numbers)
    matrix, _ = H5ad(path="x.h5ad", symbols="symbol").read(tmp_path)
    assert (matrix.rows, matrix.columns) == (("L1", "L2"), ("KRAS", "TP53", "EGFR"))
    assert matrix.numbers.tolist() == [[1, 0, 2], [0, 3, 0]]


def test_h5ad_that_is_none_or_lacks_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.h5ad").write_bytes(b"no such thing")
    with pytest.raises(SchemaError, match="no AnnData file"):
        H5ad(path="x.h5ad").read(tmp_path)
    _write_h5ad(tmp_path / "x.h5ad", np.zeros((2, 3)))
    with pytest.raises(SchemaError, match=r"no /var/symbl.*Did you mean 'symbol'"):
        H5ad(path="x.h5ad", symbols="symbl").read(tmp_path)
    with pytest.raises(SchemaError, match="1 of 2 lines have no name"):
        H5ad(path="x.h5ad", id_column="nullable").read(tmp_path)


def test_a_damaged_h5ad_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5ad"
    _write_h5ad(path, {"data": [1.0, 2, 3], "indices": [0, 9, 1], "indptr": [0, 2, 3]})  # column 9 of three
    with pytest.raises(SchemaError, match="damaged"):
        H5ad(path="x.h5ad").read(tmp_path)
    _write_h5ad(path, np.zeros((2, 3)))
    whole = path.read_bytes()
    for length in range(100, len(whole), 500):
        path.write_bytes(whole[:length])
        with pytest.raises(SchemaError, match="damaged"):
            H5ad(path="x.h5ad").read(tmp_path)


def test_damaged_published_files_are_refused(root: Path) -> None:
    gct = root / "ccle/CCLE_RNAseq_genes_rpkm_20180929.gct.gz"
    whole = gct.read_bytes()
    text = gzip.decompress(whole).decode()
    for damaged, message in (
        (whole[: len(whole) // 2], "cannot be read|damaged"),
        (gzip.compress(text.replace("#1.2", "#1.3").encode()), "not a GCT file of version 1.2"),
        (gzip.compress(text.rsplit("\n", 2)[0].encode()), "declares 4 genes × 4 lines but holds 3 × 4"),
        (gzip.compress(text.replace("\t5\t", "\t-5\t").encode()), "1 of 16 values are negative"),
    ):
        gct.write_bytes(damaged)
        with pytest.raises(DadspError, match=message):
            _study(root)


def test_dose_vectors_that_are_no_numbers_are_refused(root: Path) -> None:
    path = root / "ccle/CCLE_NP24.2009_Drug_data_2015.02.24.csv"
    path.write_text(path.read_text().replace('.80,2.53,8"', '.80;2.53;8"', 1))
    with pytest.raises(SchemaError, match="is no list of numbers"):
        DrugData(path=path.name).table(path.parent)


def test_structures_that_contradict_each_other_are_listed(root: Path) -> None:
    edit(root / "pubchem_smiles.csv", "Erlotinib,1,CCN", "OLAPARIB ,1,CCN")
    with pytest.raises(SchemaError, match=r"1 ids have several structures \(olaparib: CCO / CCN\)"):
        _study(root)
