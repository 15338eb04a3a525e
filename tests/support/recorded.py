"""What every command printed, and every system scored, on the tiny simulated study, for comparing with what was recorded.

``python -m tests.support.recorded`` writes the record anew: do so only where a change of behaviour is meant.
"""

import contextlib
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[1] / "integration" / "recorded"
TRAIN = ("data=simulated_tiny", "experiment=smoke", "tracking=none")
NETWORKS = (
    "dadsp_a",
    "dadsp_a_no_pretrain",
    "dadsp_b",
    "deepdsc1",
    "deepdsc2",
    "sla",
    "source_only",
    "line_network",
    "line_network_adversary",
    "source_only_mmd",
)
OTHERS = (
    "drug_kernel_ridge",
    "drug_ridge",
    "lightgbm",
    "linear",
    "logistic",
    "naive_copied_label_shrunken",
    "pairwise_gp",
    "random_forest",
    "svr",
)
COMPARED = ("dadsp_a", "source_only", "pairwise_gp", "linear")
SINGLE = (
    "single-drug",
    "panel=simulated_tiny",
    "tracking=none",
    "protocol.repeats=1",
    "protocol.methods=[network,svr,mean]",
    "protocol.inner_folds=2",
    "selection.n_genes=12",
    "selection.step=0.3",
    "network.max_epochs=2",
    "compression.rounds=1",
    "compression.max_epochs=1",
)
A, GP = "run=runs/dadsp_a", "run=runs/pairwise_gp"
COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", A, "pairs=pairs.csv", "--json"),
    "predict_words": ("predict", GP, "pairs=pairs.csv", "out=words.csv"),
    "predict_single_drug": ("predict", "run=other/single", "pairs=single.csv", "out=single_out.csv", "--json"),
    "impute": ("impute", A, "alpha=0.4", "--json"),
    "impute_words": ("impute", GP, "domain=source", "alpha=0.4"),
    "embed": ("embed", A, "--json"),
    "embed_words": ("embed", A, "out=embedded"),
    "explain": ("explain", A, "drug=afatinib", "runs=[runs/source_only]", "--json"),
    "explain_words": ("explain", GP, "drug=afatinib"),
    "compare": ("compare", "runs=runs", "replicates=100", "--json"),
    "compare_words": ("compare", "runs=runs", "replicates=100", "reference=DADSP-A"),
    "compare_brief": ("compare", "runs=runs", "replicates=100", "brief=true"),
    "report": ("report", A, "format=md", "out=run.md", "--json"),
    "report_experiment": ("report", "runs=runs", "format=md", "replicates=100", "out=experiment.md"),
    "describe": ("data", "describe", "data=simulated_tiny", "--json"),
    "describe_words": ("data", "describe", "data=simulated_tiny"),
    "validate": ("data", "validate", "data=simulated_tiny"),
    "concordance": ("data", "concordance", "data=simulated_tiny", "--json"),
    "tune": ("tune", "data=simulated_tiny", "experiment=smoke", "model=source_only", "tune.trials=2", "--json"),
    "misspelt": ("train", "model.dropuot=0.1"),
    "no_run": ("predict", "run=runs", "pairs=pairs.csv"),
}
FILES = ("predictions.csv", "words.csv", "single_out.csv", "comparison/compare.csv", "run.md", "experiment.md")
PASSING = {  # what differs from run to run, or from version to version
    r"(in |about )[\d.]+ s\b": r"\1… s",
    r'"(\w*seconds|train_s|predict_ms_per_line|created)": [^,}]+': r'"\1": 0',
    r"\d{4}-\d\d-\d\d[ _T]\d\d[:-]\d\d[:-]\d\d(,\d+)?": "TIME",
    r'"(git\.\w+|cpu\.\w+|version[-\w.]*|code_hash)": ("[^"]*"|[^,}]+)': r'"\1": "…"',
    r"(?m)^- \*\*(Versions|Commit|Code hash|Processor instructions|Times)\*\*: .*$": r"- **\1**: …",
    r"_[0-9a-f]{12}\b": "_SETTINGS",
    r"\bdadsp(\.\w+)+\.(?=[A-Z]\w+|\w+_study|\w+_panel|cross_screen\b|within\b|saved\b)": "",  # where a class lives
}


def run_all(work: Path) -> dict[str, str]:
    """Runs every command in ``work``; its standard output and some of its files as text by name, scores of every system."""
    from dadsp.cli.main import main
    from tests.support.drawing import drawn, undrawn

    def call(*arguments: str) -> str:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(arguments))
        return f"exit code {code}\n{out.getvalue()}" + (err.getvalue() if code else "")

    found: dict[str, str] = {}
    before = Path.cwd()
    os.chdir(work)
    try:
        systems = {}
        for model in (*NETWORKS, *OTHERS):
            scope = ("split=pair",) if model.startswith("deepdsc1") else ()
            own = TRAIN if model in NETWORKS else ("data=simulated_tiny", "tracking=none")
            place = "runs" if model in COMPARED else "more"
            with drawn() if model == "dadsp_a" else undrawn():  # one run with its figures is enough
                text = call("train", *own, f"model={model}", *scope, f"hydra.run.dir={place}/{model}", "--json")
            systems[model] = _scores(text)
            if model == "dadsp_a":
                found["train"] = text
        found["systems"] = json.dumps(systems, indent=1)
        found["train_words"] = call("train", *TRAIN, "model=source_only", "seed=1", "hydra.run.dir=runs/words")
        found["single_drug"] = call(*SINGLE, "hydra.run.dir=other/single", "--json")
        Path("pairs.csv").write_text(_some_pairs("runs/dadsp_a", 3))
        Path("single.csv").write_text(_single_pairs())
        for name, arguments in COMMANDS.items():
            found[name] = call(*arguments)
        for name in FILES:
            found[name.replace("/", "_")] = Path(name).read_text(encoding="utf-8")
    finally:
        os.chdir(before)
    return {name: _lasting(text, work) for name, text in found.items()}


def _scores(text: str) -> Any:
    first, _, content = text.partition("\n")
    if first != "exit code 0":
        return text
    results = json.loads(content)
    return {
        row["name"]: [row["pooled"]["rmse"], row["pooled"]["r2"], row["per_drug_median"]["median"]["pearson"]]
        for row in results["systems"]
    }


def _some_pairs(run: str, n: int) -> str:
    import pandas as pd

    table = pd.read_parquet(Path(run) / "predictions.parquet")
    return str(table.loc[table["split"] == "test", ["cell_id", "drug_id"]].head(n).to_csv(index=False))


def _single_pairs() -> str:
    import pandas as pd

    folder = sorted(Path("other/single/drugs").iterdir())[0]
    lines = pd.read_parquet(folder / "repeat_0" / "predictions.parquet")["cell_id"].drop_duplicates().head(3)
    return "cell_id,drug_id\n" + "".join(f"{line},{folder.name.partition('_')[2]}\n" for line in lines)


def _lasting(text: str, work: Path) -> str:
    text = text.replace(str(work.resolve()), "WORK").replace(str(work), "WORK")
    for pattern, instead in PASSING.items():
        text = re.sub(pattern, instead, text)
    return text


def machine() -> str:
    """What decides how sums are rounded."""
    import numpy as np
    import torch

    facts = {"cpu": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__, "numpy": np.__version__}
    return json.dumps(facts | {"threads": os.environ.get("OMP_NUM_THREADS")})


NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+e[+-]?\d+")


def differences(recorded: str, found: str, relative: float, absolute: float) -> list[str]:
    """Where two texts differ in words, or in numbers by more than the tolerances."""
    if NUMBER.sub("#", recorded) != NUMBER.sub("#", found):
        lines = [(a, b) for a, b in _lines(recorded, found) if NUMBER.sub("#", a) != NUMBER.sub("#", b)]
        return [f"- {a}\n+ {b}" for a, b in lines] or ["length"]

    pairs = zip(NUMBER.findall(recorded), NUMBER.findall(found), strict=True)
    return [f"{a} → {b}" for a, b in pairs if not math.isclose(float(a), float(b), rel_tol=relative, abs_tol=absolute)]


def _lines(a: str, b: str) -> Any:
    from itertools import zip_longest

    return zip_longest(re.split(r"\n|, (?=\")", a), re.split(r"\n|, (?=\")", b), fillvalue="")


def record(make: Callable[[Path], dict[str, str]] = run_all) -> None:
    """Writes what the commands say now."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        for name, text in make(Path(work)).items():
            (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
    (FOLDER / "machine.json").write_text(machine(), encoding="utf-8")


if __name__ == "__main__":
    record()
