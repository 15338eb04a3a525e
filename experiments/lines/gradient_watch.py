"""The adversary's stage as gradient.py watches it, and how steps and codes are taken apart."""

from typing import Any

import numpy as np
import torch
from gradient_cases import N_DIRECTIONS, Case, Planted, Values
from torch import Tensor

from dadsp.models.networks.inputs import Inputs
from dadsp.models.stages import dadsp_a
from dadsp.models.training.batches import Batch
from dadsp.nets.feed_forward import first_linear
from dadsp.schema import FloatArray

WATCHED = (1, 2, 4, 8, 15)  # epochs after which the gradient is looked at


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
