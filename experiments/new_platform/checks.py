"""How often the check of scale refuses what is right, and lets pass what is not: ``checks.csv``.

python experiments/new_platform/checks.py RUNS/… --out experiments/new_platform/checks.csv
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import dadsp
from dadsp.data.new_platform.reference import Reference
from dadsp.data.new_platform.scale import fit_of
from dadsp.schema import FloatArray

SIZES, DRAWS = (1, 3, 10, 20, 50), 200


def refused(values: FloatArray, reference: Reference, size: int, random: np.random.Generator) -> float:
    """Share of random tables of so many lines that the check refuses."""
    columns = np.arange(values.shape[1])
    rows = (
        [random.choice(len(values), size, replace=False) for _ in range(DRAWS)]
        if size > 1
        else np.arange(len(values))[:, None]
    )
    return float(np.mean([not fit_of(values[some], reference, columns).is_good for some in rows]))


def wrong(x: FloatArray, array: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    log = np.maximum(x, 0)
    yield "TPM", 2**log - 1
    yield "natural logarithm", log * np.log(2)
    yield "logarithm to base 10", log * np.log10(2)
    yield "log2(TPM + 0.01)", np.log2(2**log - 1 + 0.01)
    yield "z-scores", (x - x.mean(axis=0)) / x.std(axis=0)
    yield "centred", x - x.mean(axis=0)
    yield "minimum to maximum of each gene as 0 to 1", (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0))
    yield "microarray (GDSC z-scores)", array
    yield "log2 + 1", x + 1
    yield "log2 + 0.5", x + 0.5


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    run, random, rows = dadsp.load(arguments.run), np.random.default_rng(0), []
    for domain, screen in (("target", run.study.target), ("source", run.study.source)):
        values, reference = screen.cells.expression, run.model.reference(domain)
        tables = [("its own lines", values)]
        tables += list(wrong(values, run.study.source.cells.expression)) if domain == "target" else []
        for name, table in tables:
            shares = {f"{size} lines": refused(table.astype(np.float32), reference, size, random) for size in SIZES}
            rows.append({"reads": screen.name, "table": name, **shares})
        tissues = pd.Series(screen.cells.tissues)
        fits = [fit_of(values[own.index], reference, np.arange(values.shape[1])) for _, own in tissues.groupby(tissues)]
        rows.append(
            {
                "reads": screen.name,
                "table": f"each of {len(fits)} tissues",
                "all lines": np.mean([not fit.is_good for fit in fits]),
            }
        )
    facts = {"commit": run.facts["git.sha"], "data_hash": run.facts["data_hash"], "seed": run.facts["seed"]}
    pd.DataFrame(rows).assign(**facts).to_csv(arguments.out, index=False, float_format="%.3f")


if __name__ == "__main__":
    main()
