"""Expression of any platform: a wrong or foreign table is repaired with a note, or refused with one line; never silent."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dadsp.data.new_platform.options import NewPlatformOptions, with_table_of
from dadsp.data.table_files import Frame
from dadsp.errors import DadspError, LoadError, SchemaError
from dadsp.models.base import Predictor, load_model, save_model
from dadsp.models.prediction import Predicted, predict_new
from dadsp.models.systems.pairwise_gp import PairwiseGp
from dadsp.schema import Screen, Study
from dadsp.splits.cross_screen import cross_screen
from tests.support.studies import small_screen

N_GENES, N_LINES, N_SHARED = 60, 48, 30
GENES = tuple(f"GENE{number}" for number in range(N_GENES))


def screen_of(name: str, expression: np.ndarray) -> Screen:
    made = small_screen(name, n_cells=len(expression), n_drugs=5, n_genes=N_GENES, seed=3, links=N_SHARED)
    return replace(made, genes=GENES, cells=replace(made.cells, expression=expression.astype(np.float32)))


@pytest.fixture(scope="module")
def study() -> Study:
    """An array of gene-wise z-scores, and logarithms of RNA-seq, of lines that vary along a few axes."""
    random = np.random.default_rng(0)
    axes = random.normal(size=(2 * N_LINES, 4)) @ random.normal(size=(4, N_GENES)) * 0.5
    latent = axes + random.normal(0, 0.4, size=axes.shape)
    latent = (latent - latent.mean(axis=0)) / latent.std(axis=0)
    level = random.permutation(np.linspace(3, 12, N_GENES))
    logs = np.maximum(level + 0.8 * latent[:N_LINES], 0)
    array = np.concatenate([latent[:N_SHARED], latent[N_LINES:]]) + random.normal(0, 0.1, size=(N_LINES + N_SHARED, N_GENES))
    source = screen_of("SRC", (array - array.mean(axis=0)) / array.std(axis=0))
    return Study(source, screen_of("TGT", logs), "none", source.responses.potency)


@pytest.fixture(scope="module")
def model(study: Study) -> Predictor:
    return PairwiseGp().fit(study, cross_screen(study, seed=0, val_fraction=0.2))


@pytest.fixture
def table(study: Study) -> pd.DataFrame:
    """The target's own lines, as a user would hand them in."""
    cells = study.target.cells
    return pd.DataFrame(cells.expression.astype(np.float64), index=list(cells.ids), columns=list(GENES))


def ask(model: Predictor, study: Study, table: pd.DataFrame | Path, **options: Any) -> Predicted:
    """Predictions for each of the target's lines that the table names, with one drug."""
    screen = study.target
    lines = [
        name for name in screen.cells.ids if not isinstance(table, pd.DataFrame) or name in {*table.index, *table.columns}
    ]
    if isinstance(table, pd.DataFrame) and "cell_id" in table:
        lines = list(dict.fromkeys(table["cell_id"]))
    return predict_new(
        model,
        Frame("pairs", pd.DataFrame({"cell_id": lines, "drug_id": screen.drugs.ids[1]})),
        expression=table if isinstance(table, Path) else Frame("lines.csv", table),
        drugs=Frame("drugs", pd.DataFrame({"drug_id": screen.drugs.ids, "smiles": screen.drugs.smiles})),
        known=lambda: (study.source, study.target),
        domain="target",
        on_unknown="error",
        new_platform=NewPlatformOptions(**options),
    )


def told(predicted: Predicted) -> str:
    return " | ".join(note.what for note in predicted.notes)


def potency(predicted: Predicted) -> np.ndarray:
    return predicted.frame["neg_log10_ic50_um"].to_numpy()


def tpm(table: pd.DataFrame) -> pd.DataFrame:
    return 2**table - 1


def counts(table: pd.DataFrame) -> pd.DataFrame:
    depth = np.linspace(5, 40, len(table))[:, None]
    return (tpm(table) * depth).round()


def z_scores(table: pd.DataFrame) -> pd.DataFrame:
    return (table - table.mean()) / table.std(ddof=0)


def microarray(table: pd.DataFrame) -> pd.DataFrame:
    gain = np.linspace(0.4, 1.4, N_GENES)
    return 4 + table * gain[::-1] + 3 * np.sin(np.arange(N_GENES))


def filled(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**dict.fromkeys(GENES[:5], 0.0))


def ensembl(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_axis([f"ENSG{number:011d}.{number % 9 + 1}" for number in range(N_GENES)], axis=1)


def with_value(value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(GENE3=value)


def twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:3]])


def differing_twice(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:3] + 0.1])


def renamed_copy(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, table.iloc[:2].rename(index=lambda name: f"{name} again")])


def unknown_lines(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(index=lambda name: f"new {name}").reset_index(names="cell_id")


def noise(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(1).normal(6, 2, table.shape), index=table.index, columns=table.columns)


EXACT, CLOSE, ANY = 1e-5, 0.1, 10.0  # how near predictions must be to those of the undistorted table, −log10 µM
Repair = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("distort", "options", "note", "near"),
    [
        pytest.param(tpm, {}, r"TPM or the like: log2\(x \+ 1\)", EXACT, id="TPM"),
        pytest.param(tpm, {"scale": "tpm"}, r"TPM: log2", EXACT, id="TPM, declared"),
        pytest.param(tpm, {"scale": "fpkm"}, r"FPKM: log2", EXACT, id="FPKM, declared"),
        pytest.param(counts, {}, "read as counts: scaled to the training lines", CLOSE, id="counts"),
        pytest.param(counts, {"scale": "counts"}, "read as counts", CLOSE, id="counts, declared"),
        pytest.param(lambda t: t * np.log(2), {}, "natural logarithms", EXACT, id="natural logarithms"),
        pytest.param(lambda t: t * np.log10(2), {}, "logarithms to base 10", EXACT, id="log10"),
        pytest.param(z_scores, {"scale": "zscore"}, "z-scores put on the training lines", EXACT, id="z-scores, declared"),
        pytest.param(z_scores, {"align": "zscore"}, "align=zscore", EXACT, id="z-scores, aligned"),
        pytest.param(microarray, {"align": "zscore"}, "align=zscore", EXACT, id="microarray, zscore"),
        pytest.param(microarray, {"align": "rank"}, "align=rank", CLOSE, id="microarray, rank"),
        pytest.param(microarray, {"scale": "rma", "align": "bridge"}, "align=bridge", CLOSE, id="microarray, bridge"),
        pytest.param(lambda t: t + 5, {"align": "quantile"}, "align=quantile", 0.3, id="shifted, quantile"),
        pytest.param(lambda t: (t + 5).iloc[:1], {"align": "quantile"}, "align=quantile", 0.3, id="one sample, quantile"),
        pytest.param(lambda t: tpm(t).iloc[:1], {}, "log2", EXACT, id="one sample of TPM"),
        pytest.param(lambda t: t.T, {}, "genes × lines", EXACT, id="transposed"),
        pytest.param(lambda t: t.add_suffix(" (7157)", axis=1), {}, "symbols with ids: cut", EXACT, id="SYMBOL (ENTREZ)"),
        pytest.param(lambda t: t.add_suffix(" (ENSG00000141510.11)", axis=1), {}, "cut to", EXACT, id="SYMBOL (ENSG)"),
        pytest.param(lambda t: t.add_suffix("|7157", axis=1), {}, "symbols with ids: cut", EXACT, id="SYMBOL|ENTREZ"),
        pytest.param(
            lambda t: t.drop(columns="GENE7"), {}, "genes that the table lacks, imputed by regression", CLOSE, id="1 gene"
        ),
        pytest.param(lambda t: t.iloc[:, 6:], {}, "imputed by regression", CLOSE, id="10 % of genes missing"),
        pytest.param(lambda t: t.iloc[:, 30:], {"max_missing": 0.5}, "imputed by regression", ANY, id="50 %, asked for"),
        pytest.param(filled, {}, "one value in all lines that the training lines do not have", CLOSE, id="filled with 0"),
        pytest.param(with_value(-99999.0), {}, "taken as missing.*imputed", CLOSE, id="-99999 for a gene"),
        pytest.param(twice, {}, "stand twice with the same values", EXACT, id="doubled lines"),
        pytest.param(renamed_copy, {}, "very values of another line", EXACT, id="lines under two names"),
        pytest.param(
            lambda t: t.iloc[:1].assign(GENE3=0.0, GENE9=0.0), {}, "of the value 0, .*fillings", ANY, id="one sample, filled"
        ),
    ],
)
def test_a_foreign_table_is_repaired_with_a_note(
    model: Predictor, study: Study, table: pd.DataFrame, distort: Repair, options: dict[str, Any], note: str, near: float
) -> None:
    right = potency(ask(model, study, table))
    predicted = ask(model, study, distort(table), **options)
    assert re.search(note, told(predicted)), told(predicted)
    assert np.abs(potency(predicted) - right[: len(predicted.frame)]).max() < near


@pytest.mark.parametrize(
    ("distort", "options", "message"),
    [
        (
            tpm,
            {"scale": "as_trained"},
            r"60 of 60 genes lie more than 2 sd .*theirs .*Give expression processed as theirs was",
        ),
        (tpm, {"scale": "log2"}, r"declared as log2, but its largest value is .*new_platform\.scale=tpm"),
        (lambda t: t, {"scale": "counts"}, r"declared as counts, but its largest value .*scale=log2"),
        (lambda t: counts(t) - 40, {"scale": "counts"}, r"values are negative, the least -\d+, which counts cannot be"),
        (lambda t: counts(t) - 4000, {}, r"not on the scale"),
        (z_scores, {}, r"genes lie more than 2 sd.*set new_platform\.scale=zscore"),
        (z_scores, {"align": "quantile"}, r"not ordered as in the training lines \(rank correlation below 0\.5"),
        (lambda t: tpm(t), {"scale": "zscore"}, r"declared as z-scores, but the median value"),
        (microarray, {}, r"genes lie more than 2 sd.*new_platform\.align=zscore"),
        (microarray, {"scale": "rma"}, r"genes lie more than 2 sd"),
        (lambda t: microarray(t).iloc[:3], {}, r"new_platform\.align=quantile, or give 20 lines or more"),
        (lambda t: t.iloc[:19], {"align": "zscore"}, r"20 at least, and there are 19: their own tissue"),
        (lambda t: t.iloc[:1], {"align": "rank"}, r"20 at least, and there are 1"),
        (unknown_lines, {"align": "bridge"}, r"learns from lines that the training screen holds too"),
        (noise, {}, r"not on the scale"),
        (lambda t: t.iloc[:, 7:], {}, r"lacks 7 of the model's 60 genes \(e\.g\. GENE0, GENE1, GENE2, …\).*max_missing"),
        (lambda t: t.iloc[:, 30:], {}, r"lacks 30 of the model's 60 genes \(e\.g\. [^;]*\), and 10% may be imputed"),
        (
            lambda t: t.assign(**dict.fromkeys(GENES[:12], 0.0)),
            {},
            r"lacks 12 .*12 of them with one impossible value in all lines",
        ),
        (ensembl, {}, r"named by Ensembl ids .*those of the model by symbols.*new_platform\.gene_table"),
        (lambda t: t.set_axis(np.arange(1.0, 61.0), axis=1), {}, r"named by Entrez ids \(e\.g\. 1, 2, 3, …\).*gene_table"),
        (
            lambda t: t.set_axis([f"other{n}" for n in range(60)], axis=1),
            {},
            r"no column and no row of it is one of the model",
        ),
        (differing_twice, {}, r"3 cell lines stand more than once \(e\.g\. .*\) with different values"),
        (with_value(np.nan), {}, r"48 of 2880 values are missing or infinite"),
        (with_value([-99999.0] * 3 + [7.0] * 45), {}, r"lines\.csv: 3 of 2,880 values .* are impossible"),
        (with_value(pd.Timestamp("2020-01-01")), {}, r"1 of 61 columns hold dates, not real numbers \(e\.g\. GENE3\)"),
        (with_value(True), {}, r"1 of 61 columns hold truth values"),
        (with_value(np.array([1, True] * 24, dtype=object)), {}, r"1 of 61 columns hold truth values"),
        (with_value(1 + 2j), {}, r"1 of 61 columns hold complex numbers"),
        (lambda t: (t > 7).astype(int), {}, r"2,880 values are only 0, 1: calls, not expression"),
        (lambda t: t.reset_index(drop=True), {}, r"no column 'cell_id'"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(
    model: Predictor, study: Study, table: pd.DataFrame, distort: Repair, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DadspError, match=message) as refused:
        ask(model, study, distort(table), **options)
    assert "\n" not in str(refused.value)


def test_a_table_as_trained_passes_untouched_and_without_a_word(model: Predictor, study: Study, table: pd.DataFrame) -> None:
    predicted = ask(model, study, table.reset_index(names="cell_id"))
    assert [note.what for note in predicted.notes if "no errors on held-out" not in note.what] == []
    assert "imputation_variance" not in predicted.frame
    alone = ask(model, study, table.iloc[[7]].reset_index(names="cell_id"))
    assert potency(alone) == pytest.approx(potency(predicted)[[7]])


def test_lines_of_the_other_screen_are_told_from_those_of_this_one(model: Predictor, study: Study) -> None:
    array = pd.DataFrame(study.source.cells.expression, columns=list(GENES)).assign(cell_id=study.source.cells.ids)
    with pytest.raises(SchemaError, match=r"fits the other screen's lines.* set domain=source"):
        ask(model, study, array)


def test_few_odd_lines_among_many_are_named(model: Predictor, study: Study, table: pd.DataFrame) -> None:
    table.iloc[4] = table.iloc[4].sample(frac=1, random_state=0).to_numpy()
    note = next(note for note in ask(model, study, table).notes if "unlike the training lines" in note.what)
    assert (note.count, note.examples) == (1, "TGT-line4")


@pytest.mark.parametrize("kind", ["ensembl", "entrez"])
def test_ids_are_translated_by_a_table(
    model: Predictor, study: Study, table: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    right = potency(ask(model, study, table))
    rows = {"symbol": GENES, "alias_symbol": "", "prev_symbol": "", "entrez_id": [*range(1, N_GENES + 1)]}
    ids = pd.DataFrame(rows | {"ensembl_gene_id": [f"ENSG{number:011d}" for number in range(N_GENES)]})
    ids.to_csv(tmp_path / "hgnc.tsv", sep="\t", index=False)
    foreign = ensembl(table) if kind == "ensembl" else table.set_axis(np.arange(1.0, N_GENES + 1), axis=1)
    predicted = ask(model, study, foreign, gene_table=str(tmp_path / "hgnc.tsv"))
    assert potency(predicted) == pytest.approx(right, abs=EXACT)
    assert "ids mapped to symbols by hgnc.tsv" in told(predicted)
    settings_of_run = {"root": str(tmp_path), "target": {"expression": {"genes": {"ids": "symbol", "table": "hgnc.tsv"}}}}
    assert with_table_of(NewPlatformOptions(), settings_of_run).gene_table == str(tmp_path / "hgnc.tsv")
    assert with_table_of(NewPlatformOptions(), {"root": "nowhere"}).gene_table is None


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "h5ad"])
def test_files_of_any_layout_are_read_alike(
    model: Predictor, study: Study, table: pd.DataFrame, tmp_path: Path, suffix: str, turned: bool
) -> None:
    right = potency(ask(model, study, table))
    path, written = tmp_path / f"lines.{suffix}", table.T if turned else table
    if suffix == "h5ad":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["X"] = written.to_numpy()
            for group, names in (("obs", written.index), ("var", written.columns)):
                file.create_dataset(f"{group}/names", data=list(names), dtype=h5py.string_dtype())
                file[group].attrs["_index"] = "names"
    elif suffix == "parquet":
        written.to_parquet(path)
    else:
        described = written.rename_axis("Name").reset_index()
        described.insert(1, "Description", "of the row")
        described.to_csv(path, sep="," if suffix == "csv" else "\t", index=False)
    predicted = ask(model, study, path)
    assert potency(predicted) == pytest.approx(right, abs=EXACT)
    assert ("genes × lines" in told(predicted)) == turned


def test_h5ad_of_truth_values_is_refused(model: Predictor, study: Study, table: pd.DataFrame, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "lines.h5ad", "w") as file:
        file["X"] = table.to_numpy() > 7
        for group, names in (("obs", table.index), ("var", table.columns)):
            file.create_dataset(f"{group}/_index", data=list(names), dtype=h5py.string_dtype())
    with pytest.raises(SchemaError, match="its values are bool, not real numbers"):
        ask(model, study, tmp_path / "lines.h5ad")


def test_rows_are_named_by_whichever_column_of_text_knows_the_genes(
    model: Predictor, study: Study, table: pd.DataFrame, tmp_path: Path
) -> None:
    right = potency(ask(model, study, table))
    turned = table.T.reset_index(names="gene_name")
    turned.insert(0, "gene_id", ensembl(table).columns)
    turned.to_csv(tmp_path / "lines.tsv", sep="\t", index=False)
    assert potency(ask(model, study, tmp_path / "lines.tsv")) == pytest.approx(right, abs=EXACT)


# --- what a model keeps, and models without it


def test_references_travel_with_the_model_and_older_models_take_their_runs_lines(
    model: Predictor, study: Study, table: pd.DataFrame, tmp_path: Path
) -> None:
    save_model(model, tmp_path)
    again, kept = load_model(tmp_path).reference("target"), model.reference("target")
    assert again is not None
    assert kept is not None
    assert np.array_equal(again.mean, study.target.cells.expression.mean(axis=0, dtype=np.float64).astype(np.float32))
    assert all(np.array_equal(getattr(again, name), getattr(kept, name)) for name in ("mean", "sd", "profile"))
    facts, arrays = model.state()
    old = PairwiseGp.from_state(facts, {name: array for name, array in arrays.items() if name != "expression_references"})
    assert old.reference("target") is None
    assert "log2" in told(ask(old, study, tpm(table)))


def test_without_reference_and_lines_scale_is_unchecked_and_said_so(
    model: Predictor, study: Study, table: pd.DataFrame
) -> None:
    facts, arrays = model.state()
    old = PairwiseGp.from_state(facts, {name: array for name, array in arrays.items() if name != "expression_references"})

    def unknown() -> tuple[Screen, Screen]:
        raise LoadError("The data are gone.")

    def predict(frame: pd.DataFrame, model: Predictor = old, **options: Any) -> Predicted:
        drugs = pd.DataFrame({"drug_id": study.target.drugs.ids, "smiles": study.target.drugs.smiles})
        return predict_new(
            model,
            Frame("pairs", pd.DataFrame({"cell_id": frame.index[:2], "drug_id": study.target.drugs.ids[0]})),
            expression=Frame("lines.csv", frame),
            drugs=Frame("drugs", drugs),
            known=unknown,
            domain="target",
            on_unknown="error",
            new_platform=NewPlatformOptions(**options),
        )

    assert "scale could not be checked" in told(predict(table))
    with pytest.raises(SchemaError, match="keeps nothing of its training lines"):
        predict(table, align="zscore")
    with pytest.raises(SchemaError, match="lacks 1 of the model's 60 genes"):
        predict(table.drop(columns="GENE1"))
    lacking = predict(table.drop(columns="GENE1"), model)
    assert "imputed by the training lines' mean" in told(lacking)
    assert (lacking.frame["imputation_variance"] > 0).all()
