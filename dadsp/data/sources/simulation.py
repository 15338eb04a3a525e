"""The parameters of a simulated pair of screens, and the compounds that it draws from."""

import csv
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from dadsp.errors import ConfigError
from dadsp.options import STRICT
from dadsp.seeding import derive_seed

TISSUES = (
    "lung", "breast", "blood", "skin", "large intestine", "central nervous system", "ovary", "pancreas", "stomach", "bone",
    "kidney", "liver", "oesophagus", "urinary tract", "soft tissue", "endometrium", "autonomic ganglia", "thyroid",
    "prostate", "upper aerodigestive tract",
)  # fmt: skip

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


@cache
def compounds() -> tuple[dict[str, str], ...]:
    """The known compounds: name, SMILES (no stereochemistry) and molecular formula of the neutral parent."""
    table = files("dadsp.data.sources").joinpath("compounds.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(table.splitlines()))
