"""What the cases of bad_inputs.py share: good files to begin with, and how a case is put."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

SMOKE = ("experiment=smoke", "trainer.max_epochs=1", "split.val_fraction=0.3", "tracking=none")
SINGLE = (
    "panel=simulated_tiny",
    "tracking=none",
    "protocol.repeats=1",
    "protocol.methods=[network,mean]",
    "selection.n_genes=20",
    "selection.step=0.5",
    "network.max_epochs=3",
    "network.fixed_widths=[8,8]",
    "compression.max_epochs=1",
    "compression.rounds=1",
)
FILES = ("pairs.csv", "expression.csv", "drugs.csv", "sets.gmt", "expected.csv")


class Case(NamedTuple):
    """One bad input.

    Attributes:
        kind: Table, SMILES, option, run folder, compressed file.
        name: What is wrong, and with what.
        damage: Makes it so, in a folder that holds copies of what ``needs`` says.
        command: The arguments of dadsp; all paths are relative to that folder.
        needs: Names of what is copied: "run", "single", "raw", or files of ``FILES``.
    """

    kind: str
    name: str
    damage: Callable[[Path], None]
    command: tuple[str, ...]
    needs: tuple[str, ...]


class Base:
    """The good files, under ``folder``: a finished run, a single-drug run, tables, raw files of two screens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self, run: Callable[[list[str], Path], int]) -> None:
        """Makes what is not there yet; ``run`` executes a command of dadsp in a folder."""
        from dadsp import load_study
        from tests.support.raw_files import write_config, write_panel

        if (self.folder / ".ready").exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        trained = run(["train", *SMOKE, "hydra.run.dir=run", "runs=runs"], self.folder)
        single = run(["single-drug", *SINGLE, "hydra.run.dir=single", "runs=runs"], self.folder)
        if trained or single:
            raise SystemExit(f"The good runs could not be made (exit codes {trained}, {single}).")
        target = load_study("data=simulated_tiny").target
        lines = pd.DataFrame(target.cells.expression[:4], columns=list(target.genes), index=list(target.cells.ids[:4]))
        lines.round(4).rename_axis("cell_id").to_csv(self.folder / "expression.csv")
        drugs = {"drug_id": target.drugs.ids[:3], "smiles": target.drugs.smiles[:3]}
        pd.DataFrame(drugs).to_csv(self.folder / "drugs.csv", index=False)
        pairs = [(line, drug) for line in target.cells.ids[:4] for drug in target.drugs.ids[:3]]
        pd.DataFrame(pairs, columns=["cell_id", "drug_id"]).to_csv(self.folder / "pairs.csv", index=False)
        (self.folder / "sets.gmt").write_text("SET\twhat\t" + "\t".join(target.genes[:12]) + "\n")
        (self.folder / "expected.csv").write_text("system,rmse,r2\nDADSP-A,0.5,0.6\n")
        options = write_panel(self.folder / "raw")
        write_config(self.folder / "raw", options | {"root": "raw"})
        (self.folder / ".ready").touch()

    def copy(self, needs: tuple[str, ...], into: Path) -> None:
        """Copies of the named things into a fresh folder."""
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        for name in needs:
            place = self.folder / name
            if place.is_dir():
                shutil.copytree(place, into / name)
            else:
                shutil.copy(place, into / name)


PREDICT = ("predict", "run=run", "pairs=pairs.csv", "out=out.csv")
PREDICT_NEW = (*PREDICT, "expression=expression.csv", "drugs=drugs.csv")
PREDICT_SINGLE = ("predict", "run=single", "pairs=pairs.csv", "out=out.csv", "form=compressed")
TRAIN_MINE = ("train", "--config-dir", "raw/conf", "data=mine", "model=naive_drug_mean", "tracking=none", "runs=runs")


def nothing(folder: Path) -> None:
    """No damage: the command itself is bad."""
