"""What ``dadsp predict`` makes of CCLE's expression when it comes on another scale, from another platform, or with holes.

    dadsp train data=gdsc_ccle_panel model=pairwise_gp tracking=none runs=RUNS
    python experiments/new_platform/compare.py RUNS/… --out experiments/new_platform/results.csv

Every row compares predictions of the test pairs from a distorted table with those from the table as it was trained on.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import dadsp
from dadsp.data.new_pairs import read_pairs
from dadsp.data.new_platform.options import NewPlatformOptions
from dadsp.data.table_files import Frame as InMemory
from dadsp.errors import DadspError
from dadsp.models.prediction import predict_new
from dadsp.schema import CellLines, Responses, Screen

DRAWS = 3
SINGLES = 12  # lines that are each asked about alone
Frame = pd.DataFrame


class Bench:
    """One run, its test pairs, and what it predicts of them from undistorted expression."""

    def __init__(self, run: dadsp.Run) -> None:
        self.run = run
        target, source = run.study.target, run.study.source
        self.drugs = Frame({"drug_id": target.drugs.ids, "smiles": target.drugs.smiles})
        self.table = Frame(target.cells.expression, index=list(target.cells.ids), columns=list(target.genes))
        test = run.predictions.frame
        test = test[test["split"] == "test"]
        self.truth = Frame({name: test[name].to_numpy() for name in ("cell_id", "drug_id", "y_true")})
        links = {link: row for row, link in enumerate(source.cells.link_ids) if link}
        rows = {
            name: links[link] for name, link in zip(target.cells.ids, target.cells.link_ids, strict=True) if link in links
        }
        array = source.with_genes(target.genes).cells.expression
        self.array = Frame(array[list(rows.values())], index=list(rows), columns=list(target.genes))
        self.tissue = pd.Series(target.cells.tissues, index=list(target.cells.ids))
        self.lines = list(dict.fromkeys(self.truth["cell_id"]))
        self.right = self.predict(self.table)["neg_log10_ic50_um"].to_numpy(np.float64)

    def known(self, without: set[str]) -> tuple[Screen, Screen]:
        """Both screens, the target without some of its lines."""
        target = self.run.study.target
        kept = np.array([name not in without for name in target.cells.ids])
        cells = CellLines(
            *(tuple(np.array(getattr(target.cells, name), dtype=object)[kept]) for name in ("ids", "link_ids", "tissues")),
            target.cells.expression[kept],
        )
        return self.run.study.source, replace(target, cells=cells, responses=Responses.none())

    def predict(self, table: Frame, lines: list[str] | None = None, **options: Any) -> Frame:
        pairs = self.pairs(table.index if lines is None else lines)
        frame = table.rename_axis("cell_id").reset_index()
        return self.run.predict(pairs[["cell_id", "drug_id"]], frame, self.drugs, new_platform=options)

    def pairs(self, lines: Any) -> Frame:
        return self.truth[self.truth["cell_id"].isin(set(lines))]

    def row(
        self, distortion: str, repair: str, draw: int, table: Frame, lines: list[str] | None = None, **options: Any
    ) -> dict:
        """Scores of one table; ``lines`` are those to predict of it, all by default."""
        pairs = self.pairs(table.index if lines is None else lines)
        begin = {"distortion": distortion, "repair": repair, "draw": draw, "lines": pairs["cell_id"].nunique()}
        without = set(pairs["cell_id"]) if "max_missing" in options else set()  # no line helps to impute its own genes
        try:
            said = predict_new(
                self.run.model,
                InMemory("pairs", pairs[["cell_id", "drug_id"]]),
                expression=InMemory("expression", table.rename_axis("cell_id").reset_index()),
                drugs=InMemory("drugs", self.drugs),
                known=lambda: self.known(without),
                domain="target",
                on_unknown="error",
                new_platform=NewPlatformOptions(**options),
            )
        except DadspError as error:
            return {**begin, "outcome": "refused", "said": str(error)}
        return {
            **begin,
            "outcome": "repaired" if said.notes else "as it is",
            **self.scores(said.frame, pairs),
            "said": "; ".join(f"{note.what}: {note.count} ({note.examples})" for note in said.notes),
        }

    def unchecked(self, distortion: str, draw: int, table: Frame) -> dict:
        """The same table taken as it is, as was done before tables were checked."""
        pairs = self.pairs(table.index)
        tables = {"expression": table.rename_axis("cell_id").reset_index(), "drugs": self.drugs}
        readable = {name: InMemory(name, frame) for name, frame in tables.items()}
        read, frame, _ = read_pairs(InMemory("pairs", pairs[["cell_id", "drug_id"]]), **readable, known=(), domain="target")
        frame["neg_log10_ic50_um"] = self.run.model.predict(read)
        begin = {"distortion": distortion, "repair": "unchecked, as before", "draw": draw, "lines": len(table)}
        return {**begin, "outcome": "silent", **self.scores(frame, pairs)}

    def scores(self, frame: Frame, pairs: Frame) -> dict[str, float]:
        predicted, right = frame["neg_log10_ic50_um"].to_numpy(np.float64), self.right[pairs.index]
        truth, drug = pairs["y_true"].to_numpy(), pairs["drug_id"].to_numpy()
        scores = {
            "rmse_to_undistorted": rmse(predicted - right),
            "r_to_undistorted": per_drug(predicted, right, drug),
            "rmse_to_labels": rmse(predicted - truth),
            "rmse_to_labels_undistorted": rmse(right - truth),
            "r_to_labels": per_drug(predicted, truth, drug),
            "r_to_labels_undistorted": per_drug(right, truth, drug),
        }
        if "imputation_variance" in frame:
            stated = frame["imputation_variance"].to_numpy()
            scores["stated_imputation_rmse"] = float(np.sqrt(stated.mean()))
        return scores


def rmse(difference: np.ndarray) -> float:
    return float(np.sqrt((difference**2).mean()))


def per_drug(a: np.ndarray, b: np.ndarray, drug: np.ndarray) -> float:
    """Median over drugs of Pearson r among lines; NaN for fewer than five lines."""
    found = [np.corrcoef(a[drug == name], b[drug == name])[0, 1] for name in np.unique(drug) if varied(a, b, drug == name)]
    return float(np.median(found)) if found else float("nan")


def varied(a: np.ndarray, b: np.ndarray, rows: np.ndarray) -> bool:
    return bool(rows.sum() >= 5 and a[rows].std() > 1e-6 and b[rows].std() > 1e-6)


REPAIRS = ({}, {"align": "zscore"}, {"align": "rank"}, {"align": "quantile"}, {"align": "bridge"})


def named(options: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items()) or "none asked for"


def distorted(table: Frame, random: np.random.Generator) -> Iterator[tuple[str, Frame, tuple[dict[str, Any], ...]]]:
    """Tables of the same lines on other scales, and the repairs to try."""
    log = table.clip(lower=0)
    tpm = 2**log - 1
    length = random.lognormal(0, 0.8, size=tpm.shape[1])
    depth = random.lognormal(0, 0.5, size=(len(tpm), 1)) * 20
    counts = Frame(random.poisson(tpm * length * depth), index=table.index, columns=table.columns).astype(float)
    noise = Frame(random.normal(0, 0.3, table.shape), index=table.index, columns=table.columns)
    gain, offset = random.lognormal(0, 0.3, table.shape[1]), random.normal(0, 1.0, table.shape[1])
    yield "TPM", tpm, ({}, {"scale": "tpm"}, {"scale": "as_trained"})
    yield "natural logarithm", log * np.log(2), ({},)
    yield "counts (gene length, depth, Poisson)", counts, ({}, {"scale": "counts"}, *REPAIRS[1:4])
    yield "z-scores over all lines", (table - table.mean()) / table.std(ddof=0), ({}, {"scale": "zscore"}, *REPAIRS[1:4])
    yield "RMA-like (gain and offset per gene, noise)", 4 + log * 0.6 * gain + offset + noise, ({}, *REPAIRS[1:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    run = dadsp.load(arguments.run)
    bench = Bench(run)
    rows = []
    for draw in range(DRAWS):
        random = np.random.default_rng(draw)
        rows += list(scales(bench, draw, random))
        rows += list(platforms(bench, draw, random))
        rows += list(holes(bench, draw, random))
        rows += list(few_lines(bench, draw, random))
        print(f"draw {draw + 1} of {DRAWS}", file=sys.stderr)
    facts = {"commit": run.facts["git.sha"], "data_hash": run.facts["data_hash"], "seed": run.facts["seed"]}
    Frame(rows).assign(**facts).to_csv(arguments.out, index=False, float_format="%.4f")
    arguments.out.with_name("summary.csv").write_text(summary(Frame(rows)).to_csv(float_format="%.3f"))


def scales(bench: Bench, draw: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """All labelled lines on other scales; the cohort is what the model knows."""
    table = bench.table.loc[bench.lines]
    for name, changed, repairs in distorted(table, random):
        # A bridge learns from half of the lines and is judged on the others.
        half = set(random.choice(bench.lines, len(bench.lines) // 2, replace=False))
        yield bench.unchecked(name, draw, changed)
        for options in repairs:
            bridge = options.get("align") == "bridge"
            renamed = changed.rename(index={line: line if line in half else f"new {line}" for line in changed.index})
            if bridge:
                yield bridged(bench, name, draw, renamed, options)
            else:
                yield bench.row(name, named(options), draw, changed, **options)


def bridged(bench: Bench, name: str, draw: int, renamed: Frame, options: dict[str, Any]) -> dict[str, Any]:
    """Lines whose names the training screen does not know, brought over by those whose names it does."""
    new = [line for line in renamed.index if line.startswith("new ")]
    old = bench.truth
    bench.truth = old.assign(cell_id=np.where(old["cell_id"].isin(renamed.index), old["cell_id"], "new " + old["cell_id"]))
    try:
        return bench.row(name, f"{named(options)} ({len(renamed) - len(new)} shared)", draw, renamed, new, **options)
    finally:
        bench.truth = old


def platforms(bench: Bench, draw: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """GDSC's microarrays (gene-wise z-scores) of the same lines, all of them or cohorts of some."""
    array = bench.array.loc[[line for line in bench.lines if line in bench.array.index]]
    half = set(random.choice(list(array.index), len(array) // 2, replace=False))
    yield bench.unchecked("microarray (GDSC z-scores)", draw, array)
    for options in ({}, {"scale": "zscore"}, *REPAIRS[1:]):
        if options.get("align") == "bridge":
            renamed = array.rename(index={line: line if line in half else f"new {line}" for line in array.index})
            yield bridged(bench, "microarray (GDSC z-scores)", draw, renamed, options)
        else:
            yield bench.row("microarray (GDSC z-scores)", named(options), draw, array, **options)
    for size in (20, 60):
        some = list(random.choice(list(array.index), size, replace=False))
        for options in ({"scale": "zscore"}, {"align": "zscore"}, {"align": "rank"}):
            yield bench.row(f"microarray, {size} lines", named(options), draw, array.loc[some], **options)


def holes(bench: Bench, draw: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    table = bench.table.loc[random.choice(bench.lines, len(bench.lines) // 2, replace=False)]
    for share in (0.01, 0.1, 0.3, 0.5):
        kept = random.permutation(table.columns)[round(share * table.shape[1]) :]
        if share > 0.1:
            yield bench.row(f"{share:.0%} of genes missing", "none asked for", draw, table[kept])
        yield bench.row(f"{share:.0%} of genes missing", f"max_missing={share}", draw, table[kept], max_missing=share)
    zeros = table.copy()
    zeros[random.permutation(table.columns)[:63]] = 0.0
    yield bench.unchecked("10% of genes filled with 0", draw, zeros)
    yield bench.row("10% of genes filled with 0", "none asked for", draw, zeros, max_missing=0.1)


def few_lines(bench: Bench, draw: int, random: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Single lines, each in a table of its own, and cohorts of one tissue."""
    some = list(random.choice(bench.lines, SINGLES, replace=False))
    for name, changed, repairs in distorted(bench.table.loc[bench.lines], random):
        for options in [options for options in repairs if options.get("align") in (None, "quantile")]:
            yield singles(bench, f"single sample, {name}", draw, changed.loc[some], options)
    yield singles(bench, "single sample, as trained", draw, bench.table.loc[some], {})
    array = bench.array.loc[[line for line in some if line in bench.array.index]]
    for options in ({}, {"scale": "zscore"}, {"align": "quantile"}):
        yield singles(bench, "single sample, microarray (GDSC z-scores)", draw, array, options)
    tissue = bench.tissue[bench.lines].value_counts().index[0]
    own = bench.table.loc[[line for line in bench.lines if bench.tissue[line] == tissue]]
    for options in ({}, {"align": "zscore"}, {"align": "rank"}):
        yield bench.row(f"one tissue ({tissue}), as trained", named(options), draw, own, **options)


def singles(bench: Bench, name: str, draw: int, table: Frame, options: dict[str, Any]) -> dict[str, Any]:
    """One call for each line, scored together; the outcome is that of most."""
    parts, outcomes = [], []
    for line in table.index:
        try:
            parts.append(bench.predict(table.loc[[line]], **options))
            outcomes.append("answered")
        except DadspError as error:
            outcomes.append(f"refused: {error}")
    answered = outcomes.count("answered")
    begin = {"distortion": name, "repair": named(options), "draw": draw, "lines": len(table)}
    begin["outcome"] = f"{answered} of {len(table)} answered"
    refusal = next((text for text in outcomes if text != "answered"), "")
    if not parts:
        return {**begin, "outcome": "refused", "said": refusal}
    joined = pd.concat(parts, ignore_index=True)
    keys = pd.MultiIndex.from_frame(bench.truth[["cell_id", "drug_id"]])
    pairs = bench.truth.iloc[keys.get_indexer(pd.MultiIndex.from_frame(joined[["cell_id", "drug_id"]]))]
    return {**begin, **bench.scores(joined, pairs), "said": refusal}


def summary(rows: Frame) -> Frame:
    """Mean and spread (sd over draws) of each distortion under each repair."""
    groups = rows.groupby(["distortion", "repair"], sort=False)
    numbers = [name for name in rows.columns if rows[name].dtype.kind == "f"]
    joined = groups[numbers].mean().join(groups["rmse_to_undistorted"].std().rename("spread_over_draws"))
    return groups[["outcome"]].first().join(groups["lines"].mean().round()).join(joined)


if __name__ == "__main__":
    main()
