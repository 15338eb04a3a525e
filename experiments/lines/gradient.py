"""gradient.csv: where the adversary's gradient goes on the planted shift, what codes lose by it, what would spare them.

    python experiments/lines/gradient.py            # what gradient.csv lacks, and the picture: 5 s of a core for a run
    python experiments/lines/gradient.py --cases none adversary --shifts 3 --seeds 0 --out /tmp/gradient.csv
    python experiments/lines/gradient.py --draw     # summary and picture of the gradient.csv there is

The networks are those of ``experiment=adaptation_lines`` (line network) and ``experiment=adaptation`` (published). A case
changes the screens, the alignment, or what the discriminator is shown; its hooks are here and nowhere in the product.

gradient.csv: one row per case, shift, seed, measure and epoch (none: of the weights that were kept). gradient_summary.csv:
means over seeds, and the difference to the same screens without adaptation, paired by seed, with 95 % t intervals.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from dadsp.analysis.domain_distance import proxy_a_distance
from dadsp.building import build
from dadsp.configuration.compose import compose, plain
from dadsp.data.alignment.base import Alignment, AlignmentLines, FittedAlignment
from dadsp.data.alignment.gene_wise import GeneWise
from dadsp.data.scaling import ExpressionScaler, shift_and_scale
from dadsp.evaluation.metrics import evaluate
from dadsp.files import write_atomically
from dadsp.models.base import FitContext, predict_split
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork
from dadsp.models.networks.inputs import Inputs
from dadsp.models.stages import dadsp_a
from dadsp.models.training.batches import Batch
from dadsp.nets.feed_forward import first_linear
from dadsp.schema import FloatArray, Screen, Split, Study

mpl.use("Agg")
import matplotlib.pyplot as plt

Values = NDArray[np.float64]

COLUMNS = ["case", "shift", "seed", "epoch", "measure", "value"]
SHIFTS, SEEDS = (0.0, 3.0, 8.0), range(5)
WATCHED = (1, 2, 4, 8, 15)  # epochs after which the gradient is looked at
SYSTEM, OTHER, LINE = "#1b5e9e", "#6b6b6b", "#b5442e"
N_DIRECTIONS = 3  # as many as the simulation plants batch programs
WEIGHT = "model.adaptation_weight=0.1"
NONE = ("model=line_network", "model.adaptation_weight=0")
ADVERSARY = ("model=line_network_adversary", WEIGHT)
UNWEIGHTED = ("model=line_network_adversary", "model.adaptation_weight=0")  # none, by the stage that has hooks
PUBLISHED = ("model=dadsp_a", "model.adversarial_weight=0.1")
SAME_LINES = ("data.n_target_cells=240", "data.n_shared_cells=240")
MORE_LINES = ("data.n_source_cells=960", "data.n_target_cells=600", "data.n_shared_cells=360")


@dataclass(frozen=True, eq=False)
class Planted:
    """What the simulation knows of the target's batch programs.

    Attributes:
        activity: Of each target line, orthonormal columns, shape (n_target, n_programs).
        genes: Directions in gene space that the programs span, orthonormal rows, shape (n_programs, n_genes).
        clean: The target's expression without them, float32, shape (n_target, n_genes).
    """

    activity: Values
    genes: Values
    clean: FloatArray

    @classmethod
    def of(cls, settings: dict[str, Any], n_programs: int = N_DIRECTIONS) -> "Planted":
        """By drawing the screens twice, without programs and with weak ones: everything else is drawn alike."""
        clean, weak = (
            build({**settings, "batch_sd": size}, "data").target.cells.expression.astype(np.float64) for size in (0.0, 0.1)
        )
        added = np.log2(np.exp2(weak) - 1) - np.log2(np.exp2(clean) - 1)  # before log2(TPM + 1)
        certain = np.minimum(weak, clean) > 0.5  # a gene that is off does not tell
        added = np.where(certain, added, 0.0)
        lines, sizes, genes = np.linalg.svd(added, full_matrices=False)
        if sizes[n_programs] > 0.2 * sizes[n_programs - 1]:
            raise RuntimeError(f"The screens do not differ by {n_programs} programs: {sizes[: n_programs + 2]}")
        return cls(lines[:, :n_programs], genes[:n_programs], clean.astype(np.float32))


@dataclass(frozen=True)
class BiologysScale(Alignment):
    """Oracle: z-scores, the target's in units of what each gene would spread without the batch programs."""

    kind: ClassVar[str] = "oracle_scale"
    clean: FloatArray = field(repr=False, compare=False)

    def fit(self, lines: AlignmentLines) -> FittedAlignment:
        """Means of the lines, scales of the source's lines and of the clean target's."""
        source, target = shift_and_scale("zscore", [lines.source]), shift_and_scale("zscore", [lines.target])
        _, scale = shift_and_scale("zscore", [self.clean])
        return GeneWise({"kind": self.kind}, ExpressionScaler(*source, target[0], scale))


@dataclass(frozen=True)
class Case:
    """One kind of run.

    Attributes:
        name: In the tables.
        overrides: Of the configuration.
        beside: The case without adaptation that differs in nothing else; empty for such a case.
        shifts: Sizes of the shift that it is run at.
        without_programs: Oracle: the planted directions are taken out of both screens' expression.
        biologys_scale: Oracle: see ``BiologysScale``.
        sees: What the discriminator is shown: codes; codes inside, or outside, the directions in which the planted programs
            move codes; or ``"fake"``: codes with domain labels that a coin threw once for each line.
        moves: Whose codes pass its gradient on: ``"both"`` screens', the ``"source"``'s or the ``"target"``'s.
        cut: Oracle: first-layer weights along the planted directions are 0 and stay so, so that no unit sees the programs.
        experiment: Whose network.
    """

    name: str
    overrides: tuple[str, ...] = ADVERSARY
    beside: str = "none"
    shifts: tuple[float, ...] = (3.0,)
    without_programs: bool = False
    biologys_scale: bool = False
    sees: str = "codes"
    moves: str = "both"
    cut: bool = False
    experiment: str = "adaptation_lines"

    @property
    def adapts(self) -> bool:
        """Whether anything draws codes together."""
        return not any(each.endswith("_weight=0") for each in self.overrides)


CASES = (
    Case("none", NONE, "", SHIFTS),
    Case("adversary", shifts=SHIFTS),
    Case("CORAL", ("model=line_network_coral", WEIGHT), shifts=SHIFTS),
    Case("MMD", ("model=line_network_mmd", WEIGHT), shifts=SHIFTS),
    Case("alignment=bridge", (*NONE, "alignment=bridge"), shifts=SHIFTS),
    Case("alignment=coral", (*NONE, "alignment=coral"), shifts=SHIFTS),
    Case("alignment=combat", (*NONE, "alignment=combat"), shifts=SHIFTS),
    Case("bridge, adversary", (*ADVERSARY, "alignment=bridge"), "alignment=bridge"),
    Case("oracle: programs out", NONE, shifts=(3.0, 8.0), without_programs=True),
    Case("oracle: programs out, adversary", beside="oracle: programs out", without_programs=True),
    Case("oracle: scale", NONE, shifts=(3.0, 8.0), biologys_scale=True),
    Case("oracle: scale, adversary", beside="oracle: scale", biologys_scale=True),
    Case("oracle: weights cut", UNWEIGHTED, cut=True),
    Case("oracle: weights cut, adversary", beside="oracle: weights cut", cut=True),
    Case("moves target codes only", moves="target"),
    Case("moves source codes only", moves="source"),
    Case("weight 0.001", ("model=line_network_adversary", "model.adaptation_weight=0.001")),
    Case("weight 0.00001", ("model=line_network_adversary", "model.adaptation_weight=0.00001")),
    Case("linear discriminator", (*ADVERSARY, "model.discriminator_widths=[]"), shifts=(0.0, 3.0)),
    Case("fake domains", sees="fake", shifts=(0.0, 3.0)),
    Case("oracle: programs out, fake domains", beside="oracle: programs out", without_programs=True, sees="fake"),
    Case("sees planted directions only", sees="planted"),
    Case("sees all but planted directions", sees="rest"),
    Case("same lines, none", (*NONE, *SAME_LINES), "", (0.0, 3.0)),
    Case("same lines, adversary", (*ADVERSARY, *SAME_LINES), "same lines, none", (0.0, 3.0)),
    Case("4 times the lines, none", (*NONE, *MORE_LINES), ""),
    Case("4 times the lines, adversary", (*ADVERSARY, *MORE_LINES), "4 times the lines, none"),
    Case("published, none", ("model=dadsp_a", "model.adversarial_weight=0"), "", experiment="adaptation"),
    Case("published, adversary", PUBLISHED, "published, none", experiment="adaptation"),
)


class WatchedStage(dadsp_a.DadspStage):
    """The adversary's stage, looked at after some epochs, with a discriminator that sees what the case says.

    Args:
        arguments: As of ``DadspStage``.
        case: What the discriminator sees, and whom it moves.
        planted: Of these screens.
        patterns: Orthonormal patterns over source lines and over target lines in which true potency varies most among them.
        looked: Takes what was seen, by epoch.
        options: As of ``DadspStage``.
    """

    def __init__(
        self,
        *arguments: Any,
        case: Case,
        planted: Planted,
        patterns: tuple[Values, Values],
        looked: dict[int, dict[str, float]],
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        inputs: Inputs = arguments[1]
        self.case, self.planted, self.patterns, self.looked, self.inputs = case, planted, patterns, looked, inputs
        self.rows = torch.from_numpy(np.concatenate([inputs.source_lines, inputs.target_lines]))
        self.now = self.rows  # rows whose codes the discriminator is shown
        coin = torch.Generator().manual_seed(self.seed % 2**32)
        self.fake = torch.randint(0, 2, (len(inputs.expression),), generator=coin)
        self.along = torch.from_numpy(moved_by(inputs.expression[inputs.target_lines].numpy(), planted.activity)).float()
        if case.cut:
            weight = first_linear(self.parts.encoder).weight
            with torch.no_grad():
                weight.sub_((weight @ self.along) @ self.along.T)
            weight.register_hook(lambda gradient: gradient - (gradient @ self.along) @ self.along.T)

    def on_train_epoch_start(self) -> None:
        """Finds the planted directions anew: they move as the encoder learns."""
        super().on_train_epoch_start()
        self.network.eval()
        with torch.no_grad():
            codes = self.parts.encoder(self.expression[self.rows]).numpy()
        self.network.train()
        inside = moved_by(codes[len(self.inputs.source_lines) :], self.planted.activity)
        within = torch.from_numpy((inside @ inside.T).astype(np.float32))
        self.shown = {"planted": within, "rest": torch.eye(len(within)) - within}.get(self.case.sees)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """As ever; the rows are kept, for discriminators that ask whose codes they are."""
        self.now = batch.lines
        return super().losses(batch)

    def domain_terms(self, source: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Of what the case shows the discriminator."""
        source = source.detach() if self.case.moves == "target" else source
        target = target.detach() if self.case.moves == "source" else target
        if self.case.sees == "fake":
            codes, domain = torch.cat([source, target]), self.fake[self.now]
            logits = self.parts.tell_domain(codes, self._reversal())
            told = (logits.argmax(dim=1) == domain).float().mean()
            return {"domain_loss": torch.nn.functional.cross_entropy(logits, domain), "domain_accuracy": told}
        if self.shown is not None:
            source, target = source @ self.shown, target @ self.shown
        return super().domain_terms(source, target)

    def on_train_epoch_end(self) -> None:
        """Looks, then ends the epoch as ever."""
        if self.weight and self.current_epoch + 1 in WATCHED:
            self.network.eval()
            self.looked[self.current_epoch + 1] = self.look()
            self.network.train()
        super().on_train_epoch_end()

    def look(self) -> dict[str, float]:
        """Both gradients on all training lines and all target lines at once, without dropout."""
        n, pairs, encoder = len(self.inputs.source_lines), self.inputs.train, self.parts.encoder
        position = torch.from_numpy(np.searchsorted(self.inputs.source_lines, pairs.line))
        with torch.enable_grad():
            codes = encoder(self.expression[self.rows])
            drug_codes = self.parts.drug_branch(self.drug_features)
            predicted = self.parts.regress(codes[:n], position, drug_codes, torch.from_numpy(pairs.drug))
            squared = ((predicted - torch.from_numpy(pairs.label)) ** 2).mean()
            self.now = self.rows
            terms = self.domain_terms(codes[:n], codes[n:])
            weights = list(encoder.parameters())
            of_regression, of_domain = (
                torch.autograd.grad(loss, [codes, *weights], retain_graph=True)
                for loss in (squared, self.weight * terms["domain_loss"])
            )
            block = self.parts.regress_block(codes[:n], drug_codes).sum(dim=0)
            reading = torch.stack([torch.autograd.grad(each, codes, retain_graph=True)[0][:n].mean(dim=0) for each in block])
        first, along = weights.index(first_linear(encoder).weight) + 1, self.along
        layer, in_planted = zip(*[(norm(g[first]), norm(g[first] @ along)) for g in (of_regression, of_domain)], strict=True)
        passes = (codes > 0).float()  # what a ReLU that is off lets not pass moves nothing
        steps = [-(part[0] * passes).numpy().astype(np.float64) for part in (of_regression, of_domain)]
        flat = [torch.cat([part.flatten() for part in parts[1:]]).numpy() for parts in (of_regression, of_domain)]
        values = codes.detach().numpy().astype(np.float64)
        return {
            "domain accuracy": float(terms["domain_accuracy"]),
            "encoder weights: adversary / regression": norm(flat[1]) / norm(flat[0]),
            "encoder weights: cosine": cosine(*flat),
            "first layer: regression's gradient along planted": (in_planted[0] / layer[0]) ** 2,
            "first layer: adversary's gradient along planted": (in_planted[1] / layer[1]) ** 2,
            "first layer: adversary / regression": layer[1] / layer[0],
            "first layer along planted: adversary / regression": in_planted[1] / in_planted[0],
            "source codes: adversary / regression": norm(steps[1][:n]) / norm(steps[0][:n]),
            "source codes: cosine": cosine(steps[0][:n], steps[1][:n]),
            **directions(values[:n], values[n:], steps[1], reading.numpy().astype(np.float64), self.planted.activity),
            **by_line("source", steps[1][:n], values[:n], {"potency": self.patterns[0]}),
            **by_line("target", steps[1][n:], values[n:], {"planted": self.planted.activity, "potency": self.patterns[1]}),
        }


def directions(source: Values, target: Values, step: Values, reading: Values, activity: Values) -> dict[str, float]:
    """Shares of the step's energy in few directions of code space; beside them, of the codes' variance among lines."""
    alive = np.concatenate([source, target]).std(axis=0) > 1e-5
    difference = unit(target.mean(axis=0) - source.mean(axis=0))[:, None]
    read = np.linalg.svd(reading)[2][:N_DIRECTIONS].T
    planted = moved_by(target, activity)
    found = {"units alive": float(alive.sum()), "chance: 3 directions": N_DIRECTIONS / max(alive.sum(), N_DIRECTIONS)}
    for name, basis in (("mean difference", difference), ("planted directions", planted), ("read by the head", read)):
        found[f"step in: {name}"] = share(step @ basis, step)
        found[f"source codes vary in: {name}"] = share(centred(source) @ basis, centred(source))
    found["planted directions inside what the head reads"] = energy(planted.T @ read) / N_DIRECTIONS
    return found


def by_line(name: str, step: Values, codes: Values, patterns: dict[str, Values]) -> dict[str, float]:
    """How the step differs among lines: alike for all, as each pattern over lines, or as none of them.

    Shares of the step's energy; of patterns less what random patterns would take. ``spread``: cosine of the step's
    differences among lines with those of the codes themselves; negative draws lines together.
    """
    own, own_codes = centred(step), centred(codes)
    found = {f"{name} step: alike for all": 1 - share(own, step), f"{name} step: spread": cosine(own, own_codes)}
    for pattern, over_lines in patterns.items():
        basis = np.linalg.qr(centred(over_lines))[0]
        chance = basis.shape[1] / (len(step) - 1)
        found[f"{name} step: as {pattern}"] = (share(basis.T @ own, own) - chance) / (1 - chance) * share(own, step)
        found[f"{name} codes: as {pattern}"] = (share(basis.T @ own_codes, own_codes) - chance) / (1 - chance)
    return found


def kept(model: CrossScreenNetwork, study: Study, split: Split, planted: Planted, seed: int) -> dict[str, float]:
    """What the codes of the kept weights hold of lines and of the screens."""
    source, target = model.codes(study.source, "source"), model.codes(study.target, "target")
    trains = np.unique(study.source.responses.cell_idx[split.train_idx])
    held_out = np.unique(study.source.responses.cell_idx[split.val_idx])
    keys = study.source.drug_keys
    in_target = [row for row, key in enumerate(study.target.drug_keys) if key in keys]
    shared = [keys.index(study.target.drug_keys[row]) for row in in_target]
    of_source, of_target = (centred(screen.truth["potency"].astype(np.float64)) for screen in (study.source, study.target))
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
    inside = cross_val_predict(ridge, target, of_target, cv=KFold(5, shuffle=True, random_state=seed))
    across = ridge.fit(source[trains], of_source[np.ix_(trains, shared)]).predict(target)
    found = ridge.fit(source[trains], of_source[trains]).predict(source[held_out])
    domain, line = np.repeat([False, True], [len(source), len(target)]), lines_of(study)
    both = np.concatenate([source, target]).astype(np.float64)
    weights = first_linear(model.members[0].encoder).weight.detach().numpy().astype(np.float64)
    inputs = [model.scaled_expression(study.source, "source")[trains], model.scaled_expression(study.target, "target")]
    along = moved_by(inputs[1], planted.activity)
    return {
        "first-layer weights along planted": energy(weights @ along) / energy(weights),
        "source expression along planted": energy(centred(inputs[0]) @ along) / energy(centred(inputs[0])),
        "target expression along planted": energy(centred(inputs[1]) @ along) / energy(centred(inputs[1])),
        "potency in codes: held-out source lines": 1 - energy(of_source[held_out] - found) / energy(of_source[held_out]),
        "potency in codes: target lines": 1 - energy(of_target - inside) / energy(of_target),
        "potency in codes: source to target, r": median_r(of_target[:, in_target], across),
        "A-distance: linear": proxy_a_distance(both, domain, line, 5, seed),
        "A-distance: kernel": kernel_a_distance(both, domain, line, seed),
        "spread of target codes / source codes": float(np.sqrt(target.var(axis=0).sum() / source[trains].var(axis=0).sum())),
        "share of source codes' energy that differs among lines": energy(centred(source)) / energy(source),
        "planted in target codes": energy(planted.activity.T @ centred(target)) / energy(centred(target)),
    }


def kernel_a_distance(features: Values, is_target: NDArray[np.bool_], line: NDArray[np.int64], seed: int) -> float:
    """``proxy_a_distance`` with a support vector machine, which also tells spreads apart."""
    told = cross_val_predict(
        make_pipeline(StandardScaler(), SVC(class_weight="balanced")),
        *(features, is_target),
        groups=line,
        cv=StratifiedGroupKFold(5, shuffle=True, random_state=seed),
    )
    errors = [(told != is_target)[is_target == which].mean() for which in (False, True)]
    return float(2 * (1 - 2 * min(np.mean(errors), 0.5)))


def lines_of(study: Study) -> NDArray[np.int64]:
    """Number of the line of each source row, then of each target row; equal for the same line."""
    return pd.factorize(np.array([*study.source.cells.link_ids, *study.target.cells.link_ids]))[0].astype(np.int64)


def median_r(truth: Values, predicted: Values) -> float:
    """Median over drugs of Pearson r among lines; 0 for a drug whose predictions are all alike."""
    rs = [np.corrcoef(a, b)[0, 1] if b.std() > 1e-9 else 0.0 for a, b in zip(truth.T, predicted.T, strict=True)]
    return float(np.median(rs))


def moved_by(codes: FloatArray | Values, activity: Values) -> Values:
    """Directions in which codes vary with the planted activities, orthonormal columns, shape (width, n_programs)."""
    return np.linalg.qr(centred(codes).T @ activity)[0]


def centred(values: FloatArray | Values) -> Values:
    """Less the mean of each column."""
    values = values.astype(np.float64)
    return np.asarray(values - values.mean(axis=0))


def share(part: Values, whole: Values) -> float:
    """Of the whole's energy; NaN where it has none, as codes that are off."""
    return energy(part) / energy(whole) if energy(whole) > 1e-20 else float("nan")


def energy(values: Values) -> float:
    """Sum of squares, never quite 0."""
    return float((np.asarray(values, dtype=np.float64) ** 2).sum()) + 1e-30


def norm(values: Values | Tensor) -> float:
    return energy(np.asarray(values)) ** 0.5


def unit(values: Values) -> Values:
    return values / norm(values)


def cosine(a: Values, b: Values) -> float:
    """NaN where one of them is nothing."""
    product = float(a.ravel().astype(np.float64) @ b.ravel().astype(np.float64))
    return product / (norm(a) * norm(b)) if min(norm(a), norm(b)) > 1e-10 else float("nan")


def potency_patterns(screen: Screen) -> Values:
    """Over its lines, the patterns in which true potency varies most among them, orthonormal, shape (n_lines, 3)."""
    return np.linalg.svd(centred(screen.truth["potency"]), full_matrices=False)[0][:, :N_DIRECTIONS]


def without(study: Study, planted: Planted) -> Study:
    """The study with the planted directions taken out of the expression of both screens."""

    def cleared(screen: Screen) -> Screen:
        x = screen.cells.expression.astype(np.float64)
        left = x - centred(x) @ planted.genes.T @ planted.genes
        return replace(screen, cells=replace(screen.cells, expression=left.astype(np.float32)))

    return replace(study, source=cleared(study.source), target=cleared(study.target))


@cache
def planted_in(settings: tuple[tuple[str, Any], ...]) -> Planted:
    """Of these screens, whatever the size of the shift."""
    return Planted.of(dict(settings))


def measured(case: Case, shift: float, seed: int) -> Iterator[tuple[int | None, str, float]]:
    """Trains one network and tells (epoch or None, measure, value)."""
    overrides = [f"experiment={case.experiment}", *case.overrides, f"data.batch_sd={shift}", f"seed={seed}"]
    if not any(each.startswith("alignment=") for each in overrides):
        overrides.append("alignment=none")
    config = compose("config", overrides)
    settings: dict[str, Any] = plain(config.data)
    study, planted = build(settings, "data"), planted_in(tuple(sorted({**settings, "batch_sd": None}.items())))
    if case.without_programs:
        study = without(study, planted)
    split = build(plain(config.split), "split", study=study, seed=seed)
    model = build(plain(config.model), "model")
    if case.biologys_scale:
        model.alignment = BiologysScale(planted.clean)
    looked: dict[int, dict[str, float]] = {}
    trains = np.unique(study.source.responses.cell_idx[split.train_idx])
    patterns = np.linalg.qr(potency_patterns(study.source)[trains])[0], potency_patterns(study.target)
    stage = partial(WatchedStage, case=case, planted=planted, patterns=patterns, looked=looked)
    with mock.patch.object(dadsp_a, "DadspStage", stage):
        model.fit(study, split, FitContext(seed=seed))
    for epoch, values in looked.items():
        yield from ((epoch, measure, value) for measure, value in values.items())
    scores = evaluate(predict_split(model, study, split, parts=("test",)))
    history = model.history()
    yield None, "RMSE", scores.value("pooled", "rmse")
    yield None, "r per drug", scores.value("median_drug", "pearson")
    if "val/source/unexplained" in history:
        yield None, "unexplained, held-out source lines", float(history["val/source/unexplained"].min())
    if "train/domain_accuracy" in history:
        yield None, "domain accuracy in training, last epoch", float(history["train/domain_accuracy"].iloc[-1])
    yield from ((None, measure, value) for measure, value in kept(model, study, split, planted, seed).items())


def measure(cases: list[Case], shifts: list[float], seeds: list[int], out: Path) -> None:
    """Adds to the table at ``out`` every run that it lacks, each once it is measured."""
    results = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=COLUMNS)
    there = set(results[["case", "shift", "seed"]].itertuples(index=False, name=None))
    for case in cases:
        for shift, seed in product(sorted({*case.shifts} & {*shifts}), seeds):
            if (case.name, shift, seed) in there:
                continue
            rows = [(case.name, shift, seed, *each) for each in measured(case, shift, seed)]
            more = pd.DataFrame(rows, columns=COLUMNS).round(5)
            results = pd.concat([results, more]) if len(results) else more
            write_atomically(out, partial(results.to_csv, index=False))
            r = more.loc[more["measure"] == "r per drug", "value"].item()
            print(f"{case.name}, shift {shift:g}, seed {seed}: r per drug {r:.3f}", flush=True)


def summarised(results: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds and paired differences to the case without adaptation, each with half a 95 % t interval."""
    beside = {case.name: case.beside for case in CASES}
    key = ["shift", "seed", "epoch", "measure"]
    results = results.assign(epoch=results["epoch"].fillna(0).astype(int), beside=results["case"].map(beside))
    plain_runs = results.rename(columns={"case": "beside", "value": "plain"})[["plain", *key]].assign(beside=results["case"])
    both = results.merge(plain_runs, how="left", on=["beside", *key])
    both["minus_none"] = both["value"] - both["plain"]
    grouped = both.groupby(["case", "shift", "epoch", "measure"], sort=False)
    told = grouped.agg(runs=("seed", "size"), mean=("value", "mean"), minus_none=("minus_none", "mean"))
    factor = stats.t.ppf(0.975, told["runs"] - 1)
    told["half"], told["minus_none_half"] = grouped["value"].sem() * factor, grouped["minus_none"].sem() * factor
    return told.reset_index()[["case", "shift", "epoch", "measure", "runs", "mean", "half", "minus_none", "minus_none_half"]]


def draw(summary: pd.DataFrame, out: Path) -> None:
    """Where the gradient goes, epoch by epoch, and what the cases of shift 3 come to, of those that all seeds ran."""
    at = summary[summary["shift"] == 3.0].set_index(["case", "epoch", "measure"]).sort_index()
    ran = set(at[at["runs"] == len(SEEDS)].index.get_level_values("case"))
    rows = [case for case in CASES if case.name in ran]
    height = max(3.6, 1.9 + 0.24 * len(rows))
    figure = plt.figure(figsize=(11.5, height), layout="constrained")
    places = figure.subplot_mosaic([["gradient", "r", "planted", "spread"]], width_ratios=[1.15, 1.25, 1, 1])
    _gradient(places["gradient"], at)
    columns = (
        ("r", "r per drug", "r per drug, minus that\nwithout adaptation", 0.0),
        ("planted", "planted in target codes", "share of target codes' variance\nthat the programs make", None),
        ("spread", "spread of target codes / source codes", "spread of target codes,\nsource codes = 1", 1.0),
    )
    for place, measure, title, line in columns:
        panel = places[place]
        for row, case in enumerate(rows):
            mean, half = ("minus_none", "minus_none_half") if place == "r" else ("mean", "half")
            found = at.loc[(case.name, 0, measure)]
            if pd.notna(found[mean]):
                colour = SYSTEM if case.adapts else OTHER
                panel.plot([found[mean] - found[half], found[mean] + found[half]], [row, row], color=colour, lw=1.5)
                panel.plot(found[mean], row, "o", ms=5, color=colour, mfc=colour if case.adapts else "white")
        if line is not None:
            panel.axvline(line, color="#cccccc", lw=0.8, zorder=0)
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_ylim(len(rows) - 0.4, -0.6)
        panel.set_yticks(range(len(rows)), [case.name for case in rows] if place == "r" else [])
        panel.tick_params(labelsize=8, left=False)
        panel.spines[["top", "right", "left"]].set_visible(False)
    places["planted"].set_xlim(0, 1)
    places["spread"].set_xscale("log")
    places["spread"].set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    places["spread"].minorticks_off()
    marks = [
        plt.Line2D([], [], marker="o", color=SYSTEM, label="with adaptation: mean of five seeds, 95 % interval"),
        plt.Line2D([], [], marker="o", color=OTHER, mfc="white", label="without"),
    ]
    marks += places["gradient"].get_legend_handles_labels()[0]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
    write_atomically(out, lambda path: figure.savefig(path, format="png", dpi=150))
    plt.close(figure)


def _gradient(panel: "plt.Axes", at: pd.DataFrame) -> None:
    for who, colour in (("adversary", SYSTEM), ("regression", OTHER)):
        of = at.xs(f"first layer: {who}'s gradient along planted", level="measure").loc["adversary"]
        panel.errorbar(
            of.index, of["mean"], of["half"], marker="o", ms=4, capsize=2, color=colour, label=f"{who}'s gradient"
        )
    for screen, dashes in (("target", ":"), ("source", "--")):
        variance = at.loc[("none", 0, f"{screen} expression along planted"), "mean"]
        panel.axhline(variance, color=LINE, lw=1, ls=dashes, zorder=0, label=f"variance of {screen} expression")
    panel.set_title("share of the first layer's gradient\nalong the planted programs", fontsize=9, loc="left")
    panel.set_xlabel("epoch", fontsize=9)
    panel.set_xticks(WATCHED, WATCHED)
    panel.set_ylim(-0.02, 1)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Measures, unless only asked to draw; writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], default=[case.name for case in CASES])
    parser.add_argument("--shifts", nargs="+", type=float, default=list(SHIFTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=Path("experiments/lines/gradient.csv"))
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    if not arguments.draw:
        cases = [case for case in CASES if case.name in arguments.cases]
        measure(cases, arguments.shifts, arguments.seeds, arguments.out)
    results = pd.read_csv(arguments.out)
    summary = summarised(results)
    write_atomically(
        arguments.out.with_name(f"{arguments.out.stem}_summary.csv"),
        lambda path: summary.round(4).to_csv(path, index=False),
    )
    draw(summary, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
