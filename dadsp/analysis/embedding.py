"""Both screens' lines before and after training: a map of each, and numbers that say what a map can only suggest.

Before is expression as the model takes it, scaled; after is what the gene encoder makes of it. No label is read.
"""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field
from pydantic.dataclasses import dataclass
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import pairwise_distances

from dadsp.analysis.domain_distance import Values, mmd_test, partners, proxy_a_distance
from dadsp.analysis.neighbours import domain_mixing, harmonised, partner_ranks, tissue_agreement
from dadsp.errors import ConfigError, SchemaError
from dadsp.evaluation.metrics import null_if_nan
from dadsp.models.base import Predictor
from dadsp.models.networks.cross_screen_network import CrossScreenNetwork
from dadsp.options import STRICT
from dadsp.schema import BoolArray, FloatArray, IntArray, Screen, Study
from dadsp.seeding import derive_seed

STEPS = ("before", "after")
SMALLEST_SPREAD = 1e-6  # of codes; below it all lines have the same code

MEASURES = {  # in words; those that begin with a space belong to the one before
    "proxy_a_distance": "Proxy A-distance: 0 no linear classifier tells the screens apart, 2 always",
    "mmd2": "MMD² between the screens",
    "mmd2_permuted": "  mean after permuting the screens",
    "mmd2_p": "  p of the permutation test",
    "domain_mixing": "Neighbours in the other screen, over chance",
    "tissue_agreement_source": "Neighbours of the own tissue: source lines among source lines",
    "tissue_agreement_target": "  target lines among target lines",
    "tissue_agreement_target_to_source": "  target lines among source lines, tissues that both screens name",
    "partner_median_rank": "Rank of a target line's own source line: median",
    "partner_nearest_share": "  share where it is the nearest",
}
RANK = "partner_median_rank"
JUDGED = {  # in words; of several measures the first that is known
    "proxy A-distance of the screens": ("proxy_a_distance",),
    "share of a target line's neighbours that are of its tissue": (
        "tissue_agreement_target_to_source",
        "tissue_agreement_target",
    ),
    "median rank of a line's own partner": (RANK,),
}
TOLERATED = dict(zip(JUDGED, (0.1, 0.05, 1), strict=True))  # of the rank also a hundredth of the source's lines


@dataclass(frozen=True, config=STRICT)
class EmbedOptions:
    """Keys of ``conf/embed.yaml`` beside the run and the output.

    Attributes:
        pca_components: Kept for t-SNE; fewer where there are fewer lines or features.
        perplexity: Of t-SNE; a third of the lines where that is less.
        neighbours: k of the measures by nearest neighbours.
        permutations: Of the MMD test.
        folds: Of the classifier behind the proxy A-distance.
        seed: Of t-SNE, folds and permutations.
    """

    pca_components: int = Field(default=50, ge=2)
    perplexity: float = Field(default=30.0, ge=1)
    neighbours: int = Field(default=10, ge=1)
    permutations: int = Field(default=1000, ge=1)
    folds: int = Field(default=5, ge=2)
    seed: int = 0


@plain_dataclass(frozen=True, eq=False)
class Embedding:
    """Feature space before and after training.

    Attributes:
        coordinates: One row per line: cell_id, domain, screen, tissue, shared (stands in both screens); x_before, y_before,
            x_after, y_after.
        measures: One row per measure: measure, before, after, chance (what unrelated lines would give; NaN where it has no
            single value).
        facts: JSON-able summary.
    """

    coordinates: pd.DataFrame
    measures: pd.DataFrame
    facts: dict[str, Any]


@plain_dataclass(frozen=True, eq=False)
class Lines:
    """All lines of both screens, the source's first.

    Attributes:
        is_target: Shape (n,).
        line: Number of each line, equal for rows of one line; shape (n,).
        tissues: Harmonised; None where unknown.
    """

    is_target: BoolArray
    line: IntArray
    tissues: list[str | None]

    @classmethod
    def of(cls, study: Study) -> "Lines":
        """The lines of a study."""
        screens = (study.source, study.target)
        _, line = np.unique(np.array([key for screen in screens for key in screen.line_keys]), return_inverse=True)
        is_target = np.repeat([False, True], [len(screen.cells) for screen in screens])
        return cls(is_target, line, [harmonised(tissue) for screen in screens for tissue in screen.cells.tissues])


def embed(model: Predictor, study: Study, options: EmbedOptions) -> Embedding:
    """Maps and measures of the study's lines before and after training.

    Raises:
        ConfigError: The system has no gene encoder of its own, or the run stands inside one screen.
        SchemaError: The encoder gives all lines the same code.
    """
    if not isinstance(model, CrossScreenNetwork):
        raise ConfigError(
            f"{model.name} has no gene encoder that its training adapts. Give a run of a network across screens."
        )
    if study.scope != "across":
        raise ConfigError("embed compares two screens, and this run's split stands inside one of them.")
    features = {
        "before": _joined(model.scaled_expression(study.source, "source"), model.scaled_expression(study.target, "target")),
        "after": _joined(model.codes(study.source, "source"), model.codes(study.target, "target")),
    }
    if np.ptp(features["after"], axis=0).max() < SMALLEST_SPREAD:
        raise SchemaError(f"The encoder of {model.name} gives all lines the same code, so there is nothing to map.")
    lines = Lines.of(study)
    found = {step: measure(features[step], lines, options) for step in STEPS}
    source, target = partners(lines.is_target, lines.line)
    coordinates = _described(study.source, study.target)
    coordinates["shared"] = np.isin(np.arange(len(coordinates)), np.concatenate([source, target]))
    for step in STEPS:
        coordinates[[f"x_{step}", f"y_{step}"]] = tsne_map(features[step], options)
    columns = {step: {name: value for name, (value, _) in found[step].items()} for step in STEPS}
    chance = {name: by_chance for name, (_, by_chance) in found["before"].items()}
    measures = pd.DataFrame({**columns, "chance": chance}).rename_axis("measure").reset_index()
    records = measures.set_index("measure").to_dict("index")
    facts = {
        "system": model.name,
        "alignment": model.expression_input.facts()["kind"],
        "screens": {"source": study.source.name, "target": study.target.name},
        "options": asdict(options),
        "n_source_lines": len(study.source.cells),
        "n_target_lines": len(study.target.cells),
        "n_shared_lines": len(source),
        "n_features": {step: features[step].shape[1] for step in STEPS},
        "measures": {
            str(name): {str(column): null_if_nan(value) for column, value in row.items()} for name, row in records.items()
        },
    }
    facts["verdict"] = verdict(facts)
    return Embedding(coordinates, measures, facts)


def verdict(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Whether training failed in feature space, from the measures before and after.

    It did where screens are easier to tell apart than before, where fewer of a target line's neighbours are of its tissue,
    or where a line finds itself further down among the lines of the other screen; by more than ``TOLERATED``.

    Args:
        facts: Of ``Embedding``, its verdict absent or not.

    Returns:
        passed; failed, the measures that say no; sentence.
    """
    measures, n = facts["measures"], facts["n_source_lines"]
    parts, failed = [], []
    for what, names in JUDGED.items():
        known = ((name, measures.get(name, {}).get("before"), measures.get(name, {}).get("after")) for name in names)
        for name, before, after in [each for each in known if None not in each][:1]:
            worse = before - after if name.startswith("tissue") else after - before
            if worse > max(TOLERATED[what], n / 100 if name == RANK else 0):
                failed.append(name)
            digits = 0 if name == RANK else 2
            of = f" of {n:,}" if name == RANK else ""
            parts.append((name in failed, f"{what} {before:.{digits}f} before, {after:.{digits}f} after{of}"))
    worse_ones, kept = ("; ".join(words for bad, words in parts if bad is which) for which in (True, False))
    if failed:
        sentence = f"FAILED: training made it worse: {worse_ones}" + (f"; kept: {kept}." if kept else ".")
    else:
        sentence = f"Passed: training made none of these worse: {kept}."
    return {"passed": not failed, "failed": failed, "sentence": sentence}


def measure(features: Values, lines: Lines, options: EmbedOptions) -> dict[str, tuple[float, float]]:
    """Every measure of one feature space, with what chance would give.

    Args:
        features: Shape (n, d).
        lines: What is known of the rows.
        options: k, folds, permutations, seed.
    """
    is_target, k = lines.is_target, options.neighbours
    distances = pairwise_distances(features)
    test = mmd_test(distances**2, is_target, lines.line, options.permutations, options.seed)
    found = {
        "proxy_a_distance": (proxy_a_distance(features, is_target, lines.line, options.folds, options.seed), 0.0),
        "mmd2": (test.mmd2, float("nan")),
        "mmd2_permuted": (test.by_chance, float("nan")),
        "mmd2_p": (test.p, float("nan")),
        "domain_mixing": (domain_mixing(distances, is_target, k), 1.0),
    }
    rows = {"source": np.flatnonzero(~is_target), "target": np.flatnonzero(is_target)}
    compared = [("source", "source"), ("target", "target"), ("target", "source")]
    for own, other in compared:
        name = f"tissue_agreement_{own}" if own == other else f"tissue_agreement_{own}_to_{other}"
        block = _between_lines(distances, lines.line, rows[own], rows[other])
        tissues, others = ([lines.tissues[row] for row in rows[part]] for part in (own, other))
        agreement = tissue_agreement(block, tissues, others, k)
        found[name] = (agreement.share, agreement.by_chance)
        found[f"{name}_lines"] = (float(agreement.n_lines), float("nan"))
    source, target = partners(is_target, lines.line)
    if len(source):
        position = np.searchsorted(rows["source"], source)
        ranks = partner_ranks(distances[np.ix_(target, rows["source"])], position)
        n = len(rows["source"])
        found["partner_median_rank"] = (float(np.median(ranks)), (n + 1) / 2)
        found["partner_nearest_share"] = (float(np.mean(ranks == 1)), 1 / n)
    return found


def tsne_map(features: Values, options: EmbedOptions) -> Values:
    """Coordinates of each row in the plane, shape (n, 2): t-SNE of the first principal components.

    Equal for equal seeds on one machine; rounding differs between machines, and t-SNE magnifies it.
    """
    n, d = features.shape
    seed = derive_seed(options.seed, "t-sne") % 2**32
    reduced = PCA(min(options.pca_components, n, d), random_state=seed).fit_transform(features)
    perplexity = min(options.perplexity, (n - 1) / 3)
    mapped: Values = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return mapped


def _joined(source: FloatArray, target: FloatArray) -> Values:
    return np.concatenate([source, target]).astype(np.float64)


def _between_lines(distances: Values, line: IntArray, rows: IntArray, columns: IntArray) -> Values:
    """Distances to other lines, infinite from a line to itself and to its partner, whose tissue is its own."""
    block = distances[np.ix_(rows, columns)]
    block[line[rows][:, None] == line[columns]] = np.inf
    return block


def _described(*screens: Screen) -> pd.DataFrame:
    parts = [
        {"cell_id": screen.cells.ids, "domain": domain, "screen": screen.name, "tissue": screen.cells.tissues}
        for domain, screen in zip(("source", "target"), screens, strict=True)
    ]
    return pd.concat([pd.DataFrame(part) for part in parts], ignore_index=True)
