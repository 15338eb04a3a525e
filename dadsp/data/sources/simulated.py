"""A pair of screens drawn from a known statistical model: labelled source, shifted and capped target.

``docs/simulated.md`` states the model with its equations. The structures are real compounds, their genes and effects not.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from functools import cache
from importlib.resources import files
from math import log10, sqrt
from typing import Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from scipy.special import expit
from scipy.stats import norm

from dadsp.data.study import LabelCap, make_study
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.structures import structure_keys
from dadsp.errors import ConfigError, nearest
from dadsp.options import STRICT, validated
from dadsp.schema import BoolArray, CellLines, Drugs, FloatArray, IntArray, ResponsePanel, Responses, Screen, Study
from dadsp.seeding import derive_seed

TISSUES = (
    "lung", "breast", "blood", "skin", "large intestine", "central nervous system", "ovary", "pancreas", "stomach", "bone",
    "kidney", "liver", "oesophagus", "urinary tract", "soft tissue", "endometrium", "autonomic ganglia", "thyroid",
    "prostate", "upper aerodigestive tract",
)  # fmt: skip

# Shape of the two platforms. Log2 abundance is centred near 5; an array reads it between background and saturation, so that
# most values lie in 3–10, and sequencing reads log2(TPM + 1) up to about 14.
ABUNDANCE_MEAN, ABUNDANCE_SD = 5.0, 1.8
GENE_SPREAD = 0.9
ARRAY_FLOOR, ARRAY_SPAN, ARRAY_SLOPE = 2.5, 9.0, 0.5

Count = Annotated[int, Field(ge=0)]
Plural = Annotated[int, Field(ge=2)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Simulation:
    """Every parameter of the model; potency and its standard deviations are in −log10 µM.

    Attributes:
        seed: Seed of the data; each part draws from its own sub-seed.
        n_genes: Genes measured on both platforms.
        n_pathways: Gene programs; every gene belongs to one.
        n_tissues: Tissues of the lines.
        n_source_cells: Lines of the source.
        n_target_cells: Lines of the target.
        n_shared_cells: Target lines that the source also holds.
        n_source_drugs: Drugs of the source.
        n_target_drugs: Drugs of the target.
        n_shared_drugs: Target drugs that the source also holds.
        source_missing: Share of the source grid that is unmeasured.
        target_missing: Share of the target grid that is unmeasured.
        cap_um: Highest dose of the target in µM; None leaves the target uncapped.
        capped_share: Share of target labels at the cap; the target's assay offset is set so that it holds.
        mean_potency: Mean over the drugs.
        drug_sd: Between drugs.
        drug_skew: Log-scale width ω of the shifted log-normal drug effects; 0 makes them normal.
        line_sd: General sensitivity, between lines.
        pathway_sd: Typical drug's pathway-driven sensitivity, between lines.
        pathway_spread: Log-scale spread of that width over the drugs.
        pathways_per_drug: Pathways whose activity drives a drug.
        drivers_per_pathway: Genes that carry a pathway's activity (fewer where the pathway is smaller).
        structure_share: Share of the variance of drug scores that derives from structure.
        target_leaves_out: Share of all drugs, the weakest, that the target's smaller library does not hold.
        target_gain: Factor by which the target's assay stretches every potency difference.
        screen_sd: Disagreement of the two assays about a drug, the same for all its lines.
        source_noise: Assay noise of a source label.
        target_noise: Assay noise of a target label before the cap.
        tissue_share: Share of a program's variance between tissues.
        program_share: Share of a gene's variance that its programs explain.
        expression_noise: Measurement noise of expression, log2 units, on either platform.
        platform_spread: Strength of the gene-wise differences between the platforms; 1 is the calibrated value.
        batch_sd: Standard deviation of the target's batch programs, log2 units.
        n_batches: Batch programs of the target.
    """

    seed: int
    n_genes: Plural
    n_source_cells: Plural
    n_target_cells: Plural
    n_shared_cells: Count
    n_source_drugs: Plural
    n_target_drugs: Plural
    n_shared_drugs: Count
    n_pathways: Plural = 20
    n_tissues: Positive = 12
    source_missing: Annotated[float, Field(ge=0, lt=1)] = 0.18
    target_missing: Annotated[float, Field(ge=0, lt=1)] = 0.04
    cap_um: Annotated[float, Field(gt=0)] | None = 8.0
    capped_share: Annotated[float, Field(ge=0, lt=1)] = 0.55
    mean_potency: float = -0.85
    drug_sd: Spread = 1.0
    drug_skew: Spread = 0.2
    line_sd: Spread = 0.31
    pathway_sd: Spread = 0.33
    pathway_spread: Spread = 0.15
    pathways_per_drug: Positive = 2
    drivers_per_pathway: Positive = 5
    structure_share: Share = 0.6
    target_leaves_out: Share = 0.12
    target_gain: Annotated[float, Field(gt=0)] = 1.25
    screen_sd: Spread = 0.5
    source_noise: Spread = 0.44
    target_noise: Spread = 0.5
    tissue_share: Share = 0.3
    program_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    expression_noise: Spread = 0.25
    platform_spread: Spread = 1.0
    batch_sd: Spread = 0.5
    n_batches: Positive = 3

    def __post_init__(self) -> None:
        for what in ("cells", "drugs"):
            shared, source, target = (getattr(self, f"n_{role}_{what}") for role in ("shared", "source", "target"))
            if shared > min(source, target):
                raise ConfigError(
                    f"n_shared_{what} is {shared}, but the screens hold {source} (source) and {target} (target) {what}. "
                    f"Choose n_shared_{what} ≤ {min(source, target)}."
                )
        known = len(compounds())
        if self.n_drugs > known:
            raise ConfigError(
                f"The screens need {self.n_drugs} distinct drugs, but {known} compounds are known. "
                "Lower n_source_drugs or n_target_drugs, or raise n_shared_drugs."
            )
        if self.n_pathways > self.n_genes:
            raise ConfigError(f"{self.n_pathways} pathways cannot each own one of {self.n_genes} genes. Lower n_pathways.")
        if self.pathways_per_drug >= self.n_pathways:
            raise ConfigError(
                f"pathways_per_drug is {self.pathways_per_drug}, but drugs choose among {self.n_pathways - 1} pathways "
                "(the first drives general sensitivity). Lower pathways_per_drug or raise n_pathways."
            )
        if self.n_tissues > len(TISSUES):
            raise ConfigError(f"n_tissues is {self.n_tissues}, but {len(TISSUES)} tissues have names. Lower n_tissues.")

    @property
    def n_cells(self) -> int:
        """Distinct lines in both screens."""
        return self.n_source_cells + self.n_target_cells - self.n_shared_cells

    @property
    def n_drugs(self) -> int:
        """Distinct drugs in both screens."""
        return self.n_source_drugs + self.n_target_drugs - self.n_shared_drugs

    def gain(self, role: Literal["source", "target"]) -> float:
        """Factor by which this screen's assay stretches potency differences."""
        return self.target_gain if role == "target" else 1.0

    def rng(self, *names: str) -> np.random.Generator:
        """The random stream of one named part."""
        return np.random.default_rng(derive_seed(self.seed, "simulated", *names))


def simulated_study(*, label_cap: LabelCap = "target", **settings: Any) -> Study:
    """A study over a simulated pair of screens.

    Args:
        label_cap: ``"target"`` clips source labels at the target's cap; ``"none"`` leaves them.
        settings: The attributes of ``Simulation``; the seed and the numbers of genes, lines and drugs are required.

    Returns:
        The study; ``study.source.truth`` and ``study.target.truth`` hold what ``simulated_screens`` documents.

    Raises:
        ConfigError: A setting is unknown, missing or impossible.
    """
    simulation = validated(Simulation, settings, "data")
    if label_cap not in get_args(LabelCap):
        hint = nearest(str(label_cap), get_args(LabelCap))
        raise ConfigError(f"data.label_cap={label_cap!r} is not a valid choice. {hint}")
    if label_cap == "target" and simulation.cap_um is None:
        raise ConfigError("data.label_cap=target needs a capped target. Set data.cap_um, or data.label_cap=none.")
    return make_study(*simulated_screens(simulation), label_cap=label_cap)


def simulated_panel(**settings: Any) -> ResponsePanel:
    """The source screen of a simulated pair as a panel for single-drug models: uncapped −log10 IC50(µM), planted genes.

    Args:
        settings: The attributes of ``Simulation``; the seed and the numbers of genes, lines and drugs are required.

    Returns:
        The panel; its ``truth`` holds what ``simulated_screens`` documents.

    Raises:
        ConfigError: A setting is unknown, missing or impossible.
    """
    source, _ = simulated_screens(validated(Simulation, settings, "panel"))
    values = np.full((len(source.cells), len(source.drugs)), np.nan, dtype=np.float32)
    values[source.responses.cell_idx, source.responses.drug_idx] = source.responses.potency
    return ResponsePanel(
        source.name, "−log10 IC50(µM)", source.genes, source.cells, source.drugs, values, source.notes, source.truth
    )


def simulated_screens(simulation: Simulation) -> tuple[Screen, Screen]:
    """Source and target drawn from the model, the source uncapped and the target capped at ``cap_um``.

    Returns:
        Two screens over the same genes. Equal ``link_ids`` mark the shared lines, equal structures the shared drugs. The
        ``truth`` of each holds:

        - ``potency``: float32, shape (n_cells, n_drugs), what this screen's assay would read without noise and cap;
        - ``line_effect`` (n_cells,) and ``drug_effect`` (n_drugs,): float32, general sensitivity and mean potency, so that
          ``potency − line_effect − drug_effect`` is the part the causal genes drive;
        - ``causal_genes``, ``causal_weights``: by drug id, the genes and their slopes (potency per standard deviation of
          the gene's latent expression);
        - ``drug_pathways``: by drug id; ``pathways``: by pathway, all its genes; ``line_genes``: genes behind half the
          variance of ``line_effect``;
        - ``label_noise``: standard deviation of the assay noise.
    """
    cells = _draw_cells(simulation)
    pathway_of_gene = simulation.rng("pathways").permutation(np.arange(simulation.n_genes) % simulation.n_pathways)
    latent = _latent_expression(simulation, cells.programs, pathway_of_gene)
    drugs = _draw_drugs(simulation)
    biology = _draw_biology(simulation, latent, pathway_of_gene, drugs)
    source = _Side("source", cells.source, np.flatnonzero(drugs.in_source))
    target = _Side("target", cells.target, np.flatnonzero(drugs.in_target))
    expression = _platforms(simulation, latent, source.cells, target.cells)
    return (
        _screen(simulation, source, cells, drugs, biology, expression[0]),
        _screen(simulation, target, cells, drugs, biology, expression[1]),
    )


@cache
def compounds() -> tuple[dict[str, str], ...]:
    """The known compounds: name, SMILES (no stereochemistry) and molecular formula of the neutral parent."""
    table = files("dadsp.data.sources").joinpath("compounds.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(table.splitlines()))


@plain_dataclass(frozen=True, eq=False)
class _Cells:
    """All lines of both screens: program activities (n, n_pathways), tissues, and the rows in each screen."""

    programs: FloatArray
    tissue: IntArray
    source: IntArray
    target: IntArray


@plain_dataclass(frozen=True, eq=False)
class _DrugLibrary:
    """All drugs of both screens: compounds, effects, loadings (n, n_pathways; zero where no target), widths, memberships."""

    compounds: tuple[dict[str, str], ...]
    effect: FloatArray
    loadings: FloatArray
    width: FloatArray
    in_source: BoolArray
    in_target: BoolArray


@plain_dataclass(frozen=True, eq=False)
class _Biology:
    """What both assays see: pathways and their drivers, gene slopes of each drug, and the potency they add up to."""

    members: tuple[IntArray, ...]
    drivers: tuple[IntArray, ...]
    slopes: FloatArray
    line_effect: FloatArray
    sensitivity: FloatArray


@plain_dataclass(frozen=True, eq=False)
class _Side:
    """One screen's rows into all lines and all drugs."""

    role: Literal["source", "target"]
    cells: IntArray
    drugs: IntArray


def _draw_cells(simulation: Simulation) -> _Cells:
    rng = simulation.rng("cells")
    # The screens differ in which tissues they hold: lines that only the target has follow proportions of their own.
    proportions = rng.dirichlet(np.full(simulation.n_tissues, 3.0), size=2)
    n_source = simulation.n_source_cells
    tissue = np.concatenate(
        [
            rng.choice(simulation.n_tissues, size=n_source, p=proportions[0]),
            rng.choice(simulation.n_tissues, size=simulation.n_cells - n_source, p=proportions[1]),
        ]
    )
    centres = rng.standard_normal((simulation.n_tissues, simulation.n_pathways), dtype=np.float32)
    own = rng.standard_normal((simulation.n_cells, simulation.n_pathways), dtype=np.float32)
    programs = _mix(simulation.tissue_share, centres[tissue], own)
    target = rng.permutation(np.arange(n_source - simulation.n_shared_cells, simulation.n_cells))
    return _Cells(programs, tissue, np.arange(n_source), target)


def _latent_expression(simulation: Simulation, programs: FloatArray, pathway_of_gene: IntArray) -> FloatArray:
    """Platform-free expression of every line, float32, shape (n_cells, n_genes), about unit variance per gene."""
    rng = simulation.rng("expression")
    crosstalk = rng.standard_normal((simulation.n_pathways, simulation.n_genes), dtype=np.float32)
    weights = crosstalk * np.float32(0.5 / sqrt(simulation.n_pathways))
    weights[pathway_of_gene, np.arange(simulation.n_genes)] += 1
    weights *= np.float32(sqrt(simulation.program_share)) / np.linalg.norm(weights, axis=0)
    latent = rng.standard_normal((simulation.n_cells, simulation.n_genes), dtype=np.float32)
    latent *= np.float32(sqrt(1 - simulation.program_share))
    latent += programs @ weights
    return latent


def _draw_drugs(simulation: Simulation) -> _DrugLibrary:
    rng = simulation.rng("drugs")
    n = simulation.n_drugs
    chosen = tuple(compounds()[row] for row in rng.permutation(len(compounds()))[:n])
    fingerprints = np.stack([_structure(compound["smiles"], compound["name"])[0] for compound in chosen])
    own = rng.standard_normal((n, simulation.n_pathways), dtype=np.float32)
    unit = fingerprints / np.linalg.norm(fingerprints, axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    # A random projection whose directions are random sums of the library's own fingerprints: chemical families count, single
    # hashed bits do not, so a few dozen drugs suffice to learn from.
    directions = centred.T @ rng.standard_normal((n, simulation.n_pathways), dtype=np.float32)
    scores = _mix(simulation.structure_share, _standardise(centred @ directions), own)

    # Column 0 is the drug effect, the others are pathway loadings. Normal scores pin the marginal distribution of effects,
    # which a library of a dozen drugs would otherwise miss by far.
    normal = norm.ppf((scores[:, 0].argsort().argsort() + 0.5) / n)
    effect = simulation.mean_potency + simulation.drug_sd * _skewed(normal, simulation.drug_skew)
    loadings = scores.copy()
    loadings[:, 0] = 0
    weakest = np.argsort(np.abs(loadings), axis=1)[:, : -simulation.pathways_per_drug]
    np.put_along_axis(loadings, weakest, 0, axis=1)
    # Potent drugs separate lines more: half of a width's spread follows the effect.
    width = simulation.pathway_sd * np.exp(simulation.pathway_spread * (normal + rng.standard_normal(n)) / sqrt(2))

    by_effect = normal.argsort()
    kept = max(n - round(simulation.target_leaves_out * n), simulation.n_target_drugs)
    target = by_effect[n - kept :][_systematic(kept, simulation.n_target_drugs, rng)]
    shared = target[_systematic(len(target), simulation.n_shared_drugs, rng)]
    in_target = np.isin(np.arange(n), target)
    in_source = ~in_target | np.isin(np.arange(n), shared)
    return _DrugLibrary(chosen, _float32(effect), loadings, _float32(width), in_source, in_target)


def _draw_biology(simulation: Simulation, latent: FloatArray, pathway_of_gene: IntArray, drugs: _DrugLibrary) -> _Biology:
    rng = simulation.rng("biology")
    members = tuple(np.flatnonzero(pathway_of_gene == pathway) for pathway in range(simulation.n_pathways))
    drivers = tuple(np.sort(rng.permutation(genes)[: simulation.drivers_per_pathway]) for genes in members)
    weights = np.zeros((simulation.n_pathways, simulation.n_genes), dtype=np.float32)
    for pathway, genes in enumerate(drivers):
        weights[pathway, genes] = rng.uniform(0.5, 1.5, len(genes))
    used = np.concatenate(drivers)
    slopes = drugs.loadings @ weights
    slopes *= (drugs.width / (latent[:, used] @ slopes[:, used].T).std(axis=0))[:, None]
    sensitivity = latent[:, used] @ slopes[:, used].T
    growth = _standardise(latent[:, drivers[0]] @ weights[0, drivers[0], None])[:, 0]
    own = rng.standard_normal(simulation.n_cells, dtype=np.float32)
    line_effect = np.float32(simulation.line_sd) * _mix(0.5, growth, own)
    return _Biology(members, drivers, slopes, line_effect, sensitivity - sensitivity.mean(axis=0))


def _platforms(
    simulation: Simulation, latent: FloatArray, source: IntArray, target: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Expression of the source lines on the array and of the target lines by sequencing, each monotone in ``latent``."""
    rng = simulation.rng("platforms")
    n_genes, spread = simulation.n_genes, simulation.platform_spread
    level = _float32(np.clip(rng.normal(ABUNDANCE_MEAN, ABUNDANCE_SD, n_genes), 0.5, 10.5))
    scale = _float32(GENE_SPREAD * np.exp(rng.normal(0, 0.25, n_genes)))

    slope = _float32(ARRAY_SLOPE * np.exp(spread * rng.normal(0, 0.2, n_genes)))
    midpoint = _float32(rng.normal(ABUNDANCE_MEAN + 0.5, 0.8 * spread, n_genes))
    array = latent[source]
    array *= slope * scale
    array += slope * (level - midpoint)
    expit(array, out=array)
    array *= np.float32(ARRAY_SPAN)
    array += np.float32(ARRAY_FLOOR)
    array += _noise(simulation.expression_noise, array.shape, rng)

    gain = _float32(np.exp(spread * rng.normal(0, 0.15, n_genes)))
    offset = _float32(rng.normal(0, 0.8 * spread, n_genes))
    batch = rng.standard_normal((len(target), simulation.n_batches), dtype=np.float32)
    batch_genes = _noise(simulation.batch_sd / sqrt(simulation.n_batches), (simulation.n_batches, n_genes), rng)
    counts = latent[target]
    counts *= gain * scale
    counts += level + offset
    counts += batch @ batch_genes
    counts += _noise(simulation.expression_noise, counts.shape, rng)
    np.logaddexp2(np.float32(0), counts, out=counts)  # log2(TPM + 1): never negative, flat where a gene is off
    return array, counts


def _screen(
    simulation: Simulation, side: _Side, cells: _Cells, drugs: _DrugLibrary, biology: _Biology, expression: FloatArray
) -> Screen:
    genes = tuple(f"G{gene + 1:05d}" for gene in range(simulation.n_genes))
    ids = tuple(f"{side.role[0].upper()}D{row + 1:03d}" for row in range(len(side.drugs)))
    responses, cap, truth = _assay(simulation, side, drugs, biology)
    slopes = np.float32(simulation.gain(side.role)) * biology.slopes[side.drugs]
    truth |= _gene_truth(genes, ids, drugs.loadings[side.drugs], biology, slopes)
    chosen = [drugs.compounds[row] for row in side.drugs]
    return Screen(
        name=f"simulated {side.role}",
        genes=genes,
        cells=CellLines(
            ids=tuple(f"{side.role[0].upper()}C{row + 1:04d}" for row in range(len(side.cells))),
            link_ids=tuple(f"L{row + 1:04d}" for row in side.cells),
            tissues=tuple(TISSUES[row] for row in cells.tissue[side.cells]),
            expression=expression,
        ),
        drugs=Drugs(
            ids=ids,
            names=tuple(compound["name"] for compound in chosen),
            smiles=tuple(compound["smiles"] for compound in chosen),
            structure_keys=tuple(_structure(compound["smiles"], compound["name"])[1] for compound in chosen),
            targets=tuple(", ".join(truth["causal_genes"][name]) for name in ids),
        ),
        responses=responses,
        cap=cap,
        truth=truth,
    )


def _assay(
    simulation: Simulation, side: _Side, drugs: _DrugLibrary, biology: _Biology
) -> tuple[Responses, float | None, dict[str, Any]]:
    """What one screen's assay reads, its cap, and the truth behind its labels."""
    rng = simulation.rng(side.role)
    is_target = side.role == "target"
    gain = np.float32(simulation.gain(side.role))
    effect = gain * drugs.effect[side.drugs]
    if is_target:
        effect += _noise(simulation.screen_sd, effect.shape, rng)
    line_effect = gain * biology.line_effect[side.cells]
    potency = gain * biology.sensitivity[np.ix_(side.cells, side.drugs)] + line_effect[:, None] + effect

    missing = simulation.target_missing if is_target else simulation.source_missing
    cell_idx, drug_idx = np.divmod(_measured(potency.size, missing, rng), len(side.drugs))
    noise = simulation.target_noise if is_target else simulation.source_noise
    label = potency[cell_idx, drug_idx] + _noise(noise, cell_idx.shape, rng)
    censored = np.zeros(len(label), dtype=np.bool_)
    cap = None
    if is_target and simulation.cap_um is not None:
        cap = -log10(simulation.cap_um)
        # The offset of the target's assay is what gives the stated share of capped labels.
        offset = np.float32(cap - np.quantile(label, simulation.capped_share))
        effect, potency, label = effect + offset, potency + offset, label + offset
        censored = label <= np.float32(cap)
        label = np.maximum(label, np.float32(cap))
    truth = {"potency": potency, "line_effect": line_effect, "drug_effect": effect, "label_noise": noise}
    return Responses(cell_idx, drug_idx, label, censored), cap, truth


def _gene_truth(
    genes: Sequence[str], ids: Sequence[str], loadings: FloatArray, biology: _Biology, slopes: FloatArray
) -> dict[str, Any]:
    """The gene and pathway facts of a screen's truth, by name."""
    names = [f"P{pathway + 1:02d}" for pathway in range(len(biology.members))]
    causal = [np.flatnonzero(row) for row in slopes]

    def symbols(rows: IntArray) -> tuple[str, ...]:
        return tuple(genes[gene] for gene in rows)

    return {
        "causal_genes": {name: symbols(rows) for name, rows in zip(ids, causal, strict=True)},
        "causal_weights": {name: tuple(slope[rows].tolist()) for name, slope, rows in zip(ids, slopes, causal, strict=True)},
        "drug_pathways": {
            name: tuple(names[pathway] for pathway in np.flatnonzero(row)) for name, row in zip(ids, loadings, strict=True)
        },
        "pathways": {name: symbols(rows) for name, rows in zip(names, biology.members, strict=True)},
        "line_genes": symbols(biology.drivers[0]),
    }


@cache
def _structure(smiles: str, name: str) -> tuple[FloatArray, str | None]:
    """Fingerprint, shape (1024,), and structure key; parsing costs more than all else, and compounds come again."""
    return Morgan(bits=1024, radius=2)([smiles], [name])[0], structure_keys([smiles], [name])[0]


def _measured(size: int, missing: float, rng: np.random.Generator) -> IntArray:
    """The measured cells of a grid in order, an exact share of them missing; at least one is measured."""
    return np.sort(rng.permutation(size)[: max(1, round(size * (1 - missing)))])


def _systematic(n: int, k: int, rng: np.random.Generator) -> IntArray:
    """``k`` of ``n`` rows at equal steps from a random start, so that a small library spans the range of effects."""
    return np.floor((np.arange(k) + rng.uniform()) * n / max(k, 1)).astype(np.int64)


def _skewed(normal: NDArray[np.float64], omega: float) -> NDArray[np.float64]:
    """Standard normal values → shifted log-normal values of mean 0 and variance 1; unchanged for ω = 0."""
    if omega == 0:
        return normal
    shifted: NDArray[np.float64] = (np.exp(omega * normal - omega**2 / 2) - 1) / sqrt(np.expm1(omega**2))
    return shifted


def _mix(share: float, shared: FloatArray, own: FloatArray) -> FloatArray:
    """Unit-variance sum of two unit-variance parts, the first with this share of the variance."""
    return np.float32(sqrt(share)) * shared + np.float32(sqrt(1 - share)) * own


def _standardise(columns: FloatArray) -> FloatArray:
    standardised: FloatArray = (columns - columns.mean(axis=0)) / columns.std(axis=0)
    return standardised


def _noise(sd: float, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    draws: FloatArray = rng.standard_normal(shape, dtype=np.float32)
    draws *= np.float32(sd)
    return draws


def _float32(values: NDArray[np.float64]) -> FloatArray:
    narrowed: FloatArray = values.astype(np.float32)
    return narrowed
