"""What is killed: commands that leave something behind, small enough to be run two hundred times."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

TINY = (
    "data=simulated_tiny",
    "trainer.max_epochs=2",
    "trainer.patience=null",
    "trainer.checkpoint_every_s=0",
    "runs=runs",
    "model.encoder_widths=[64,32,16]",
    "model.drug_widths=[32,32]",
    "model.regressor_widths=[32,16,8]",
    "tracking.experiment=kills",
)
SHORT = ("model.pretraining.layer_epochs=2", "model.pretraining.stack_epochs=2")


class Window(NamedTuple):
    """A stretch of a run in which a kill once did lasting harm: from when a file is there to when another is, or to the end.

    Attributes:
        name: What happens in it.
        begins: Pattern of the first file, from the working directory on.
        ends: Of the second; None: the end of the run.
    """

    name: str
    begins: str
    ends: str | None = None


class Scenario(NamedTuple):
    """A command, how it is gone on with, and what it leaves.

    Attributes:
        name: For the table.
        command: The arguments of dadsp.
        results: Patterns of files that must be the same as without a kill.
        runs: How many tracked runs it makes, parents of sweeps and of drugs among them; 0: it tracks nothing.
        models: How many models it logs.
        resumable: The verb that takes ``resume=``; None: the same command goes on.
        windows: Bad moments.
        earlier: Whether a finished run lies in the runs folder before, and its record in the store.
        needs_run: Whether it works on that run (its folder is copied).
    """

    name: str
    command: tuple[str, ...]
    results: tuple[str, ...]
    runs: int = 0
    models: int = 0
    resumable: str | None = None
    windows: tuple[Window, ...] = ()
    earlier: bool = True
    needs_run: bool = False


TRAINED = (
    "metrics.json",
    "predictions.parquet",
    "comparison.csv",
    "history.csv",
    "split.json",
    "model/model.json",
    "model/weights.safetensors",
)
AFTER_METRICS = Window("metrics.json to the end", "runs/*_seed7/metrics.json")
CREATION = Window("mlflow.db is created", "runs/*mlflow.db*", "runs/*_seed7/run.json")


def _train(name: str, *settings: str) -> Scenario:
    return Scenario(
        name=f"train {name}",
        command=("train", f"model={name}", "seed=7", *TINY, *settings),
        results=tuple(f"runs/*_seed7/{file}" for file in TRAINED),
        runs=1,
        models=1,
        resumable="train",
        windows=(AFTER_METRICS,),
    )


SCENARIOS = (
    _train("dadsp_a", *SHORT),
    _train("dadsp_b", "model.stages.adaptation.layer_epochs=2"),
    _train("sla"),
    Scenario(
        name="train into a new store",
        command=(
            "train",
            "model=naive_drug_mean",
            "data=simulated_tiny",
            "seed=7",
            "runs=runs",
            "tracking.experiment=kills",
        ),
        results=("runs/*_seed7/metrics.json", "runs/*_seed7/predictions.parquet"),
        runs=1,
        models=1,
        resumable="train",
        windows=(CREATION,),
        earlier=False,
    ),
    Scenario(
        name="single-drug",
        command=(
            "single-drug",
            "panel=simulated_tiny",
            "seed=7",
            "runs=runs",
            "protocol.repeats=2",
            "protocol.methods=[network,svr,mean]",
            "selection.n_genes=20",
            "selection.step=0.5",
            "network.max_epochs=4",
            "network.fixed_widths=[8,8]",
            "compression.max_epochs=2",
            "compression.rounds=1",
            "tracking.experiment=kills",
        ),
        results=(
            "runs/*_seed7/metrics.json",
            "runs/*_seed7/results.csv",
            "runs/*_seed7/drugs/*/repeat_*/predictions.parquet",
            "runs/*_seed7/drugs/*/repeat_*/model/network.dnn",
            "runs/*_seed7/drugs/*/repeat_*/model/network.safetensors",
        ),
        runs=7,  # the run, two drugs, two repeats of each
        resumable="single-drug",
        windows=(
            AFTER_METRICS,
            Window(
                "a repeat's result to its end", "runs/*_seed7/drugs/000*/repeat_0/result.json", "runs/*_seed7/drugs/001*"
            ),
        ),
    ),
    Scenario(
        name="sweep",
        command=(
            "train",
            "-m",
            "model=naive_drug_mean,linear",
            "data=simulated_tiny",
            "seed=7,8",
            "runs=runs",
            "tracking.experiment=kills",
            "sweep=swept",
        ),
        results=tuple(
            f"runs/sweeps/swept/*_seed*/{file}" for file in ("metrics.json", "predictions.parquet", "comparison.csv")
        ),
        runs=5,
        models=4,
        windows=(
            Window("a job's metrics.json to the next job", "runs/sweeps/swept/*/metrics.json", "runs/sweeps/swept/linear*"),
        ),
    ),
    Scenario(
        name="tune",
        command=(
            "tune",
            "model=source_only",
            "seed=7",
            *TINY,
            "tune.trials=4",
            "tune.random_trials=2",
            "tune.prune=false",
            "tune.space.model.encoder_widths={choices:[[32,16],[16,8]]}",
        ),
        results=("runs/tune/*/best.json", "runs/tune/*/trials.csv"),
        windows=(Window("best.json to the end", "runs/tune/*/trials.csv"),),
    ),
    Scenario(
        "impute",
        ("impute", "run=done"),
        ("done/impute/target/*.csv", "done/impute/target/impute.json"),
        needs_run=True,
        windows=(Window("between its files", "done/impute/target/missing_pairs.csv"),),
    ),
    Scenario(
        "explain",
        ("explain", "run=done", "drug=SD001", "domain=source", "shuffles=2", "other_drugs=2", "attribution.random_lines=4"),
        ("done/explain/*/*.csv", "done/explain/*/explanation.json"),
        needs_run=True,
        windows=(Window("between its files", "done/explain/*/*"),),
    ),
    Scenario(
        "report",
        ("report", "run=done"),
        ("done/report.html",),
        needs_run=True,
        windows=(Window("report.html to the end", "done/.report-*"),),
    ),
)


def earlier_run(folder: Path, run: Callable[[tuple[str, ...], Path], int]) -> None:
    """A finished, tracked run in ``folder``/runs, and the store that knows it; the same run lies in ``folder``/done."""
    command = ("train", "model=dadsp_a", "seed=0", *TINY, *SHORT, "split.val_fraction=0.3", "hydra.run.dir=done")
    if code := run(command, folder):
        raise SystemExit(f"The earlier run could not be made (exit code {code}).")
