"""The options of ``dadsp single-drug``, checked."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from dadsp.errors import examples
from dadsp.options import STRICT
from dadsp.schema import duplicates
from dadsp.singledrug.compression import CompressionOptions
from dadsp.singledrug.network import NetworkOptions
from dadsp.singledrug.selection import SelectionOptions

MethodName = Literal["network", "elastic_net", "random_forest", "svr", "ann", "mean"]
Scope = Literal["train", "all_oracle"]


@dataclass(frozen=True, config=STRICT)
class ProtocolOptions:
    """How methods are compared (config group ``protocol``).

    Attributes:
        repeats: Random partitions of each drug's lines.
        test_fraction: Share of the lines that test.
        validation_fraction: Share of the training lines that chooses the network's width and epoch, and trains nothing.
        inner_folds: Folds of the training lines on which the baselines choose their settings.
        methods: What is compared.
        gene_sets: Genes of elastic net, random forest and SVR: ``"selected"`` as the network's are, or ``"all"``. The simple
            ANN takes as many random genes, as in the paper.
        selection_scopes: Lines that select genes: ``"train"``, those that train the model; ``"all_oracle"``, test lines
            included, which leaks their response into the choice.
        threshold_scope: Lines whose quartiles cut the classes: ``"train"``, or ``"all_oracle"``, test lines included.
        min_lines: Fewest measured lines of a drug.
    """

    repeats: int = Field(default=5, ge=1)
    test_fraction: float = Field(default=0.3, gt=0, lt=1)
    validation_fraction: float = Field(default=0.3, gt=0, lt=1)
    inner_folds: int = Field(default=3, ge=2)
    methods: tuple[MethodName, ...] = Field(
        default=("network", "elastic_net", "random_forest", "svr", "ann", "mean"), min_length=1
    )
    gene_sets: tuple[Literal["selected", "all"], ...] = Field(default=("selected",), min_length=1)
    selection_scopes: tuple[Scope, ...] = Field(default=("train",), min_length=1)
    threshold_scope: Scope = "train"
    min_lines: int = Field(default=30, ge=20)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for key in ("methods", "gene_sets", "selection_scopes"):
            if repeated := duplicates(getattr(self, key)):
                raise ValueError(f"{key} names {examples(repeated)} more than once. Name each once.")
        return self


@dataclass(frozen=True, config=STRICT)
class SingleDrugOptions:
    """All options of the comparison.

    Attributes:
        protocol: Splits and methods.
        selection: Recursive feature elimination.
        network: Shape and training of the network.
        compression: How the network is compressed; None leaves that out.
    """

    protocol: ProtocolOptions = Field(default_factory=ProtocolOptions)
    selection: SelectionOptions = Field(default_factory=SelectionOptions)
    network: NetworkOptions = Field(default_factory=NetworkOptions)
    compression: CompressionOptions | None = Field(default_factory=CompressionOptions)


OPTIONS = tuple(SingleDrugOptions.__dataclass_fields__)
