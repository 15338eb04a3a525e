"""What a simulated pair of screens is drawn from: lines, drugs, the genes that drive a drug, and two platforms."""

from dataclasses import dataclass as plain_dataclass
from functools import cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from dadsp.data.sources.simulation import Simulation, compounds
from dadsp.drugs.morgan import Morgan
from dadsp.drugs.structures import structure_keys
from dadsp.schema import BoolArray, FloatArray, IntArray

# Shape of the two platforms. Log2 abundance is centred near 5; an array reads it between background and saturation, so that
# most values lie in 3–10, and sequencing reads log2(TPM + 1) up to about 14.
ABUNDANCE_MEAN, ABUNDANCE_SD = 5.0, 1.8

GENE_SPREAD = 0.9

ARRAY_FLOOR, ARRAY_SPAN, ARRAY_SLOPE = 2.5, 9.0, 0.5


@plain_dataclass(frozen=True, eq=False)
class Cells:
    """All lines of both screens: program activities (n, n_pathways), tissues, and the rows in each screen."""

    programs: FloatArray
    tissue: IntArray
    source: IntArray
    target: IntArray


@plain_dataclass(frozen=True, eq=False)
class DrugLibrary:
    """All drugs of both screens: compounds, effects, loadings (n, n_pathways; zero where no target), widths, memberships."""

    compounds: tuple[dict[str, str], ...]
    effect: FloatArray
    loadings: FloatArray
    width: FloatArray
    in_source: BoolArray
    in_target: BoolArray


@plain_dataclass(frozen=True, eq=False)
class Biology:
    """What both assays see: pathways and their drivers, gene slopes of each drug, and the potency they add up to."""

    members: tuple[IntArray, ...]
    drivers: tuple[IntArray, ...]
    slopes: FloatArray
    line_effect: FloatArray
    sensitivity: FloatArray


def draw_cells(simulation: Simulation) -> Cells:
    """Lines of both screens with their tissues and program activities."""
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
    return Cells(programs, tissue, np.arange(n_source), target)


def latent_expression(simulation: Simulation, programs: FloatArray, pathway_of_gene: IntArray) -> FloatArray:
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


def draw_drugs(simulation: Simulation) -> DrugLibrary:
    """Compounds of both screens, their effects, the pathways that drive them, and which screen holds which."""
    rng = simulation.rng("drugs")
    n = simulation.n_drugs
    chosen = tuple(compounds()[row] for row in rng.permutation(len(compounds()))[:n])
    fingerprints = np.stack([structure_of(compound["smiles"], compound["name"])[0] for compound in chosen])
    own = rng.standard_normal((n, simulation.n_pathways), dtype=np.float32)
    unit = fingerprints / np.linalg.norm(fingerprints, axis=1, keepdims=True)
    centred = unit - unit.mean(axis=0)
    # A random projection whose directions are random sums of the library's own fingerprints: chemical families count, single
    # hashed bits do not, so a few dozen drugs suffice to learn from.
    directions = centred.T @ rng.standard_normal((n, simulation.n_pathways), dtype=np.float32)
    scores = _mix(simulation.structure_share, _standardise(centred @ directions), own)

    # Column 0 is the drug effect, the others are pathway loadings. Normal scores pin the marginal distribution of effects,
    # which a library of a dozen drugs would otherwise miss by far.
    normal = ndtri((scores[:, 0].argsort().argsort() + 0.5) / n)
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
    return DrugLibrary(chosen, _float32(effect), loadings, _float32(width), in_source, in_target)


def draw_biology(simulation: Simulation, latent: FloatArray, pathway_of_gene: IntArray, drugs: DrugLibrary) -> Biology:
    """Drivers of the pathways, and what they and general sensitivity add up to in every line with every drug."""
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
    return Biology(members, drivers, slopes, line_effect, sensitivity - sensitivity.mean(axis=0))


def on_platforms(
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
    array += noise_of(simulation.expression_noise, array.shape, rng)

    gain = _float32(np.exp(spread * rng.normal(0, 0.15, n_genes)))
    offset = _float32(rng.normal(0, 0.8 * spread, n_genes))
    batch = rng.standard_normal((len(target), simulation.n_batches), dtype=np.float32)
    batch_genes = noise_of(simulation.batch_sd / sqrt(simulation.n_batches), (simulation.n_batches, n_genes), rng)
    counts = latent[target]
    counts *= gain * scale
    counts += level + offset
    counts += batch @ batch_genes
    counts += noise_of(simulation.expression_noise, counts.shape, rng)
    np.logaddexp2(np.float32(0), counts, out=counts)  # log2(TPM + 1): never negative, flat where a gene is off
    return array, counts


@cache
def structure_of(smiles: str, name: str) -> tuple[FloatArray, str | None]:
    """Fingerprint, shape (1024,), and structure key; parsing costs more than all else, and compounds come again."""
    return Morgan(bits=1024, radius=2)([smiles], [name])[0], structure_keys([smiles], [name])[0]


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


def noise_of(sd: float, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Normal draws of this standard deviation, float32."""
    draws: FloatArray = rng.standard_normal(shape, dtype=np.float32)
    draws *= np.float32(sd)
    return draws


def _float32(values: NDArray[np.float64]) -> FloatArray:
    narrowed: FloatArray = values.astype(np.float32)
    return narrowed
