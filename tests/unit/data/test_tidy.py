import gzip
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.data.sources.tidy import tidy_screen, tidy_study
from dadsp.errors import ConfigError, DadspError, MissingIdsError, SchemaError, UnitsError
from dadsp.schema import Screen
from tests.support.raw_files import SOURCE_LINES, edit, write_panel, write_rows

Options = dict[str, Any]


@pytest.fixture
def panel(tmp_path: Path) -> Options:
    return write_panel(tmp_path)


def _source(panel: Options) -> Screen:
    return tidy_screen(panel["source"], panel["root"])


def _target(panel: Options) -> Screen:
    return tidy_screen(panel["target"], panel["root"])


def test_source_screen_equals_its_files(panel: Options) -> None:
    screen = _source(panel)
    assert screen.genes == ("TP53", "EGFR", "KRAS", "MYC")
    assert screen.cells.ids == ("1001", "1002", "1003", "1004", "1005")
    assert screen.cells.link_ids == ("L1", "L2", "L3", None, "L5")
    assert screen.cells.tissues == ("lung", "lung", "skin", None, "skin")
    np.testing.assert_array_equal(screen.cells.expression[3], np.array([3.5, 6, 0.25, 7], np.float32))
    assert screen.drugs.ids == ("11", "12", "13", "14")
    assert screen.drugs.names == ("ethanol", "benzene", "acetic acid", "secret")
    assert screen.drugs.smiles == ("CCO", "c1ccccc1", "CC(=O)O", None)
    assert screen.drugs.targets == ("ADH1A", None, None, None)
    assert screen.drugs.structure_keys[:2] == ("LFQSCWFLJHTTHZ", "UHOVQNZJYSORNB")  # PubChem CIDs 702 and 241
    row = np.flatnonzero((screen.responses.cell_idx == 2) & (screen.responses.drug_idx == 1))
    assert screen.responses.potency[row].tolist() == pytest.approx([-0.5 / np.log(10)])  # ln IC50 = 4 − 2 − 1.5
    assert (len(screen.responses), screen.cap, screen.notes) == (20, None, ())
    assert not screen.responses.censored.any()


def test_target_screen_translates_ids_and_censors_at_the_cap(panel: Options) -> None:
    screen = _target(panel)
    table = {
        (screen.cells.ids[c], screen.drugs.ids[d]): (p, x)
        for c, d, p, x in zip(
            screen.responses.cell_idx,
            screen.responses.drug_idx,
            screen.responses.potency.tolist(),
            screen.responses.censored.tolist(),
            strict=True,
        )
    }
    assert len(table) == 12
    assert table["A-1", "ethanol"] == (pytest.approx(0.90309, abs=1e-5), False)  # 0.125 µM
    assert table["A-3", "benzene"] == (pytest.approx(-0.90309, abs=1e-5), True)  # 8 µM
    assert table["A-4", "pyridine"] == (screen.cap, True)
    assert screen.drugs.names == screen.drugs.ids


def test_study_joins_the_screens(panel: Options) -> None:
    study = tidy_study(**panel, label_cap="target")
    assert study.genes == ("TP53", "EGFR", "KRAS")
    assert study.target_cell_in_source.tolist() == [1, 2, -1, -1]
    assert study.source.drugs.ids == ("11", "12", "13")
    assert study.label_cap == "target"
    assert study.source.responses.potency.min() == np.float32(-0.90309)
    assert study.raw_source_potency.min() == pytest.approx(-4 / np.log(10))


def test_genes_by_lines_is_the_transpose(panel: Options) -> None:
    path = Path(panel["root"]) / "source" / "expression.csv"
    table = pd.read_csv(path, index_col="line")
    transposed = write_rows(
        path.with_name("genes.csv"), ["symbol", *table.index], [[gene, *table[gene]] for gene in table.columns]
    )
    expected = _source(panel).content_hash
    panel["source"]["expression"] = {"path": str(transposed), "id_column": "symbol", "orientation": "genes_by_lines"}
    assert _source(panel).content_hash == expected


def test_ignored_columns_are_no_genes(panel: Options) -> None:
    panel["source"]["expression"]["ignore"] = ["MYC"]
    assert _source(panel).genes == ("TP53", "EGFR", "KRAS")


def _to_tsv(path: Path) -> Options:
    path.with_suffix(".tsv").write_text(path.read_text().replace(",", "\t"))
    return {"path": str(path.with_suffix(".tsv"))}


def _to_gz(path: Path) -> Options:
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    return {"path": str(path.with_suffix(".csv.gz"))}


def _to_parquet(path: Path) -> Options:
    pd.read_csv(path).to_parquet(path.with_suffix(".parquet"))  # ids are integers in it
    return {"path": str(path.with_suffix(".parquet"))}


def _to_semicolons(path: Path) -> Options:
    path.write_text(path.read_text().replace(",", ";"))
    return {"delimiter": "semicolon"}


@pytest.mark.parametrize("convert", [_to_tsv, _to_gz, _to_parquet, _to_semicolons])
def test_every_file_format_gives_the_same_screen(panel: Options, convert: Callable[[Path], Options]) -> None:
    expected = _source(panel).content_hash
    for part in ("expression", "responses", "drugs", "cells"):
        panel["source"][part].update(convert(Path(panel["root"]) / panel["source"][part]["path"]))
    assert _source(panel).content_hash == expected


def test_ids_written_as_decimals_in_one_file_still_match(panel: Options) -> None:
    path = Path(panel["root"]) / "source" / "cells.csv"
    path.write_text(re.sub(r"^(\d+),", r"\1.0,", path.read_text(), flags=re.MULTILINE))
    assert "1002.0,L2" in path.read_text()
    assert _source(panel).cells.link_ids == ("L1", "L2", "L3", None, "L5")


def test_responses_of_lines_without_expression_are_refused_or_dropped_with_a_note(panel: Options) -> None:
    assert [(note.count, note.examples) for note in _target(panel).notes] == [(3, "OMEGA")]
    panel["target"]["responses"]["on_missing_expression"] = "error"
    with pytest.raises(
        MissingIdsError,
        match=r"3 of 15 responses name cell lines without expression \(1 different ones\), e.g. OMEGA\. .*drop",
    ):
        _target(panel)


def test_responses_of_unknown_drugs_are_refused_or_dropped_with_a_note(panel: Options) -> None:
    edit(Path(panel["root"]) / "source" / "drugs.csv", "13,acetic acid,CC(=O)O,\n", "")
    with pytest.raises(
        MissingIdsError, match=r"5 of 20 responses name drugs .*\(1 different ones\), e.g. 13\. .*on_missing_drug: drop"
    ):
        _source(panel)
    panel["source"]["responses"]["on_missing_drug"] = "drop"
    screen = _source(panel)
    assert [(note.count, note.examples) for note in screen.notes] == [(5, "13")]
    assert len(screen.responses) == 15


def test_rows_without_a_value_are_refused_or_dropped_with_a_note(panel: Options) -> None:
    edit(Path(panel["root"]) / "source" / "responses.csv", "1002,12,1.5\n", "1002,12,\n")
    with pytest.raises(SchemaError, match=r"1 of 20 responses have no value, e.g. line 7\. .*on_missing_value: drop"):
        _source(panel)
    panel["source"]["responses"]["on_missing_value"] = "drop"
    assert [note.count for note in _source(panel).notes] == [1]


def test_lines_that_one_id_map_joins_become_replicates(panel: Options) -> None:
    edit(Path(panel["root"]) / "target" / "cells.csv", "A-4,DELTA,L9,lung\n", "A-4,DELTA,L9,lung\nA-9,OMEGA,,\n")
    names = write_rows(
        Path(panel["root"]) / "map.csv", ["n", "i"], [["ALPHA", "A-1"], ["BETA", "A-2"], ["OMEGA", "A-2"], ["GAMMA", ""]]
    )
    panel["target"]["id_map"] = {"path": str(names), "columns": {"response_id": "n", "expression_id": "i"}}
    screen = _target(panel)
    assert len(screen.responses) == 6
    assert [note.count for note in screen.notes] == [6, 3]  # GAMMA and DELTA left out; three pairs of A-2 merged


def test_an_ambiguous_id_map_is_refused(panel: Options) -> None:
    names = write_rows(Path(panel["root"]) / "map.csv", ["n", "i"], [["ALPHA", "A-1"], ["ALPHA", "A-2"]])
    panel["target"]["id_map"] = {"path": str(names), "columns": {"response_id": "n", "expression_id": "i"}}
    with pytest.raises(SchemaError, match=r"1 response ids stand more than once \(e.g. ALPHA\)"):
        _target(panel)


def test_relations_censor_without_a_cap(panel: Options) -> None:
    path = write_rows(
        Path(panel["root"]) / "r.csv",
        ["l", "d", "v", "sign"],
        [["1001", "11", 10, ">"], ["1002", "11", 1, "="], ["1003", "12", 2, ""]],
    )
    columns = {"cell_id": "l", "drug_id": "d", "value": "v", "relation": "sign"}
    panel["source"]["responses"] = {"path": str(path), "columns": columns, "unit": "um"}
    screen = _source(panel)
    assert screen.responses.censored.tolist() == [True, False, False]
    assert screen.responses.potency[0] == -1
    assert screen.cap is None


def test_repeated_pairs_follow_the_stated_policy(panel: Options) -> None:
    path = Path(panel["root"]) / "source" / "responses.csv"
    edit(path, "1001,11,4.0\n", "1001,11,4.0\n1001,11,2.0\n")
    for policy, expected in (("median", 3.0), ("first", 4.0)):
        panel["source"]["responses"]["replicates"] = policy
        screen = _source(panel)
        assert screen.responses.potency[0] == pytest.approx(-expected / np.log(10))
        assert screen.notes[0].count == 1
    panel["source"]["responses"]["replicates"] = "error"
    with pytest.raises(SchemaError, match=r"1 of 20 .*e.g. 1001/11"):
        _source(panel)


def _set(*keys: str, value: object) -> Callable[[Options], None]:
    def change(panel: Options) -> None:
        for key in keys[:-1]:
            panel = panel[key]
        panel[keys[-1]] = value

    return change


def _edit(file: str, old: str, new: str) -> Callable[[Options], None]:
    return lambda panel: edit(Path(panel["root"]) / file, old, new)


def _write(file: str, text: str) -> Callable[[Options], None]:
    def change(panel: Options) -> None:
        (Path(panel["root"]) / file).write_text(text)

    return change


def _mix_units(panel: Options) -> None:
    path = Path(panel["root"]) / "target" / "responses.csv"
    rows = path.read_text().splitlines()
    path.write_text(
        "\n".join([rows[0] + ",unit", *(f"{row},{'nM' if n < 2 else 'uM'}" for n, row in enumerate(rows[1:]))]) + "\n"
    )
    panel["target"]["responses"]["columns"]["unit"] = "unit"


MALFORMED: dict[str, tuple[Callable[[Options], None], type[DadspError], str]] = {
    "missing column": (
        _set("source", "responses", "columns", "value", value="LN_IC50"),
        SchemaError,
        r"responses\.csv has no column 'LN_IC50' for value\. It has 'ln_ic50', which differs in upper and lower case\.",
    ),
    "NaN expression": (
        _edit("source/expression.csv", "1002,1.5,2", "1002,,2"),
        SchemaError,
        r"1 of 20 values are missing .*\(e.g. 1002/TP53\)\. Impute",
    ),
    "duplicate line": (
        _edit("source/expression.csv", "1002,", "1001,"),
        SchemaError,
        r"expression\.csv: 1 cell lines stand more than once \(e.g. 1001\)\. Keep",
    ),
    "duplicate gene": (
        _edit("source/expression.csv", "KRAS", "TP53"),
        SchemaError,
        r"expression\.csv: 1 columns stand more than once \(e.g. TP53\)\. Keep",
    ),
    "duplicate drug": (
        _edit("source/drugs.csv", "12,benzene", "11,benzene"),
        SchemaError,
        r"drugs\.csv: 1 drugs stand more than once \(e.g. 11\)\. Keep",
    ),
    "duplicate link": (
        _edit("source/cells.csv", "L3", "L2"),
        SchemaError,
        r"cells\.csv: 1 link ids stand more than once \(e.g. L2\)\. Keep",
    ),
    "mixed units": (_mix_units, UnitsError, r"mixed units: 2 of 15 rows .*um \(2 in nM\)\. Convert"),
    "wrong unit": (
        _set("source", "responses", "unit", value="um"),
        UnitsError,
        r"12 of 20 values are zero or negative \(e.g. line 5: -0\.5, line 8: 0, line 9: -1\.5, …\).*ln_um",
    ),
    "empty file": (_write("source/drugs.csv", ""), SchemaError, r"drugs\.csv is empty\. Fetch"),
    "wrong delimiter": (
        _write("source/drugs.csv", "drug\tname\tsmiles\ttarget\n11\tethanol\tCCO\t\n"),
        SchemaError,
        r"drugs\.csv seems to be separated by tabs.*Set delimiter: tab",
    ),
    "unknown line": (
        _edit("source/responses.csv", "1003,11,", "9999,11,"),
        MissingIdsError,
        r"1 of 20 responses name cell lines without expression \(1 different ones\), e.g. 9999\. Supply .*drop",
    ),
    "invalid SMILES": (
        _edit("source/drugs.csv", "c1ccccc1", "c1ccc"),
        SchemaError,
        r"drugs\.csv: 1 of 3 SMILES are not valid \(e.g. benzene: 'c1ccc'\)\. Correct",
    ),
    "all labels capped": (
        _set("target", "responses", "cap", value=0.1),
        SchemaError,
        r"All 12 labels of TGT are capped \(e.g. 1 −log10 µM\).*Check responses\.cap",
    ),
    "one drug only": (
        _write("source/responses.csv", "line,drug,ln_ic50\n1001,11,1\n1002,11,2\n1003,11,3\n"),
        SchemaError,
        r"SRC has labels for one drug only \(ethanol\).*two or more drugs",
    ),
    "missing file": (
        _set("source", "drugs", "path", value="source/drug.csv"),
        ConfigError,
        r"no file .*drug\.csv\. Did you mean 'drugs\.csv'\?",
    ),
    "unknown key": (
        _set("source", "responses", "units", value="um"),
        ConfigError,
        r"data\.source\.responses\.units is not a known key\. Did you mean 'unit'\?",
    ),
    "unknown choice": (
        _set("target", "responses", "unit", value="uM"),
        ConfigError,
        r"data\.target\.responses\.unit='uM' is not a valid choice\. Did you mean '(um|nm)'\?",
    ),
    "unknown cap": (_set("label_cap", value="targets"), ConfigError, r"data\.label_cap='targets' .*Did you mean 'target'\?"),
    "no root": (_set("root", value=None), ConfigError, r"data\.root is not set.*data\.root=FOLDER.*DADSP_REAL_DATA"),
    "wrong root": (_set("root", value="nowhere"), ConfigError, r"data\.root=nowhere is not a folder"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_gives_one_error_with_count_example_and_remedy(panel: Options, case: str) -> None:
    spoil, kind, message = MALFORMED[case]
    spoil(panel)
    with pytest.raises(kind, match=message) as caught:
        tidy_study(**panel)
    assert "\n" not in str(caught.value)


def _areas(panel: Options, values: Sequence[float], **options: Any) -> Screen:
    """The source with these published areas of its first drug."""
    path = Path(panel["root"], panel["source"]["responses"]["path"])
    write_rows(path, ["line", "drug", "ln_ic50"], [[line, "11", x] for line, x in zip(SOURCE_LINES, values, strict=False)])
    columns = {"cell_id": "line", "drug_id": "drug", "value": "ln_ic50"}
    panel["source"]["responses"] = {"path": panel["source"]["responses"]["path"], "columns": columns, **options}
    return tidy_screen(panel["source"], panel["root"])


def test_an_auc_is_divided_by_its_full_area_before_it_is_turned(panel: Options) -> None:
    screen = _areas(panel, [15, 0, 3.75, 18], measure="auc", full_area=15)
    np.testing.assert_allclose(screen.responses.potency, [0, 1, 0.75, -0.2], atol=1e-7)
    assert screen.measure == "auc"
    (note,) = (note for note in screen.notes if "full area" in note.what)
    assert (note.count, "exceed the full area of 15 (1)" in note.what) == (1, True)


def test_an_activity_area_with_a_full_area_is_the_area_above_the_curve(panel: Options) -> None:
    screen = _areas(panel, [8, 0, 2], measure="act_area", full_area=8)
    assert screen.responses.potency.tolist() == [1, 0, 0.25]
    assert screen.measure == "aac"
    assert not any("full area" in note.what for note in screen.notes)


def test_an_area_far_beyond_the_full_one_is_refused(panel: Options) -> None:
    with pytest.raises(UnitsError, match=r"1 of 2 values read as auc .*outside \[-1, 1\].*responses\.full_area"):
        _areas(panel, [15, 31], measure="auc", full_area=15)
    with pytest.raises(UnitsError, match=r"2 of 2 values read as auc .*outside \[-0\.5, 1\].*responses\.full_area"):
        _areas(panel, [15, 12], measure="auc")


@pytest.mark.parametrize("full_area", [0, -8, float("inf"), float("nan")])
def test_a_full_area_is_a_positive_number(panel: Options, full_area: float) -> None:
    with pytest.raises(ConfigError, match=r"responses\.full_area="):
        _areas(panel, [1], measure="auc", full_area=full_area)
