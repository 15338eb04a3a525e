"""A finished single-drug model: expression of any table of genes in, response and class out; saved without pickle."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dadsp.errors import LoadError, MissingIdsError, examples
from dadsp.files import read_json, write_atomically, write_json
from dadsp.models.base import Arrays, refuse_not_finite
from dadsp.options import validated
from dadsp.schema import FloatArray
from dadsp.singledrug.classes import CLASSES, Quartiles, classify
from dadsp.singledrug.compression import CompressedNetwork, load_compressed
from dadsp.singledrug.network import FittedNetwork, NetworkOptions, TrainedNetwork
from dadsp.singledrug.scaling import MinMax

Form = Literal["network", "compressed"]
FORMAT = {"format": "dadsp-single-drug-model", "version": 1}


@dataclass(frozen=True, eq=False)
class SingleDrugModel:
    """A network with all that stands before and after it.

    Attributes:
        drug_id: The drug.
        response: What is predicted, with sign and unit.
        genes: Genes it reads, in its order.
        scale: Scale of their expression.
        cuts: Quartiles of the training lines.
        network: Takes scaled expression to the response.
    """

    drug_id: str
    response: str
    genes: tuple[str, ...]
    scale: MinMax
    cuts: Quartiles
    network: FittedNetwork

    def predict(self, expression: FloatArray, genes: tuple[str, ...]) -> FloatArray:
        """The response of each line, float32, shape (n_lines,).

        Args:
            expression: float32, shape (n_lines, n_genes).
            genes: Names of its columns, in any order; more than the model's are fine.

        Raises:
            MissingIdsError: Genes of the model are missing.
        """
        position = {gene: column for column, gene in enumerate(genes)}
        missing = [gene for gene in self.genes if gene not in position]
        if missing:
            raise MissingIdsError(
                f"The expression lacks {len(missing)} of the {len(self.genes)} genes that the model of {self.drug_id} reads "
                f"(e.g. {examples(missing)}). Add them."
            )
        return self.network.predict(self.scale.transform(expression[:, [position[gene] for gene in self.genes]]))

    @property
    def seen_range(self) -> tuple[float, float]:
        """Least and largest raw expression among the lines that fitted the scale."""
        return float(self.scale.low.min()), float((self.scale.low + self.scale.span).max())

    def classes(self, response: FloatArray) -> list[str | None]:
        """Predicted responses cut at the quartiles of the training lines; None where the quartiles coincide."""
        if self.cuts.low == self.cuts.high:
            return [None] * len(response)
        return [CLASSES[row] for row in classify(response, self.cuts)]


def save_single_drug(model: SingleDrugModel, folder: Path, compressed: CompressedNetwork | None = None) -> None:
    """Writes scale, network and, where there is one, its compressed form; ``model.json`` comes last."""
    if not isinstance(model.network, TrainedNetwork):
        raise TypeError("Only a trained network is saved; its compressed form is given beside it.")
    _save(model.scale.to_arrays(), folder / "scale.safetensors")
    _save(model.network.to_arrays(), folder / "network.safetensors")
    if compressed is not None:
        compressed.save(folder / "network.dnn")
    facts = {"drug_id": model.drug_id, "response": model.response, "genes": list(model.genes), "cuts": list(model.cuts)}
    write_json(folder / "model.json", {**FORMAT, **facts, "options": asdict(model.network.options)})


def drug_of(folder: Path) -> str:
    """The drug whose model is saved in ``folder``.

    Raises:
        LoadError: The folder holds no model, a damaged one, or one of another version.
    """
    return str(_facts(folder).get("drug_id"))


def _facts(folder: Path) -> dict[str, Any]:
    facts = read_json(folder / "model.json")
    if not isinstance(facts, dict) or {key: facts.get(key) for key in FORMAT} != FORMAT:
        raise LoadError(f"{folder / 'model.json'} is no single-drug model of version {FORMAT['version']}. Train it again.")
    return facts


def load_single_drug(folder: Path, form: Form = "network") -> SingleDrugModel:
    """The model saved in ``folder``; runs no code from the files.

    Args:
        folder: What ``save_single_drug`` wrote.
        form: ``"network"`` as trained, or ``"compressed"``.

    Raises:
        LoadError: The folder holds no model, a damaged one, one of another version, or not in this form.
    """
    facts = _facts(folder)
    try:
        scale = MinMax.from_arrays(_load(folder / "scale.safetensors"))
        network: FittedNetwork
        if form == "compressed":
            network = load_compressed(folder / "network.dnn")
        else:
            options = validated(NetworkOptions, facts["options"], "options")
            network = TrainedNetwork.from_arrays(_load(folder / "network.safetensors"), options)
        genes = tuple(map(str, facts["genes"]))
        if not len(genes) == len(scale.low) == network.network.n_inputs:
            raise ValueError("its genes, scale and network differ in length")
        return SingleDrugModel(facts["drug_id"], facts["response"], genes, scale, Quartiles(*facts["cuts"]), network)
    except (KeyError, TypeError, ValueError) as error:
        raise LoadError(f"{folder} does not hold a complete model ({error}). Train again.") from error


def _save(arrays: Arrays, path: Path) -> None:
    write_atomically(path, lambda temporary: save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary))


def _load(path: Path) -> dict[str, Any]:
    try:
        arrays: dict[str, Any] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise LoadError(f"{path} is absent or damaged ({error}). Train again.") from error
    refuse_not_finite(arrays, path)
    return arrays
