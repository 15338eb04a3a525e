"""A finished run's model as one file to hand on: what predicting needs, a card, checksums. No code and no labels.

The file is a zip archive of JSON and safetensors. Opening it runs nothing: names must be those below, sizes are bounded, and
every file must have the checksum that the manifest states.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dadsp.errors import LoadError, examples
from dadsp.files import read_json, write_atomically, write_json
from dadsp.runs.run import Run
from dadsp.schema import Screen
from dadsp.served_model import ServedModel, load_served_model, save_served_model

FORMAT = {"format": "dadsp-packed-model", "version": 1}
MANIFEST, CARD = "manifest.json", "card.json"
MAY_HOLD = {
    *(MANIFEST, CARD, "screens.json", "expression.safetensors", "model/model.json", "model/weights.safetensors"),
    *("trust/trust.json", "trust/trust.safetensors"),
}
LARGEST = 4 * 2**30  # bytes of all files together, unpacked
LICENCE = (
    "The screens that trained this model are under their owners' terms, which a model made of them may inherit. "
    "Ask them before you use it beyond research."
)
USE = (
    "Research on cancer cell lines: ranking drugs for lines and lines for drugs, and choosing what to measure. Not for "
    "patients. Predictions are of an assay's label; see scores for how well they hold, and the verdict of each pair."
)


class PackedModel(Run):
    """A packed model, opened: it predicts as its run does, and knows nothing else of it.

    Attributes:
        served: Its parts.
        card: What it is, where it comes from, how well it did, and what it is for.
    """

    def __init__(self, served: ServedModel, card: Mapping[str, Any]) -> None:
        super().__init__(model=served.predictor, trust=served.trust)
        self.served, self.card = served, dict(card)

    def __repr__(self) -> str:
        return f"<{self.name}, packed: {self.card['data']['source']['name']} → {self.card['data']['target']['name']}>"

    @property
    def kept(self) -> Any:
        """Nothing: the run's folder stayed where it was.

        Raises:
            LoadError: Always.
        """
        raise LoadError("A packed model predicts, and holds no run. Open the run's folder for its data, split and scores.")

    def _screens(self) -> tuple[Screen, Screen]:
        return self.served.source, self.served.target


def pack(run: Run, out: Path, *, expression: bool = True, licence: str = LICENCE, use: str = USE) -> dict[str, Any]:
    """Writes the model of a finished run into one file.

    Args:
        run: With its data at hand.
        out: The file.
        expression: False leaves the lines out, so that their expression must come with each request.
        licence: What its card says of the data's terms.
        use: What its card says it is for.

    Returns:
        The card.

    Raises:
        LoadError: The run cannot be read.
        StorageError: The file cannot be written.
    """
    card = _card(run, expression, licence, use)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save_served_model(run.model, run.study, folder, expression=expression, trust=run.trust)
        write_json(folder / CARD, card)
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        stated = {name: {"bytes": path.stat().st_size, "blake2b": _hash(path.read_bytes())} for name, path in files.items()}
        write_json(folder / MANIFEST, {**FORMAT, "files": stated})
        write_atomically(out, partial(_zip, {MANIFEST: folder / MANIFEST, **files}))
    return card


def _zip(files: Mapping[str, Path], out: Path) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in files.items():
            # One date for all: equal models give equal files.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), path.read_bytes(), zipfile.ZIP_DEFLATED)


def _card(run: Run, expression: bool, licence: str, use: str) -> dict[str, Any]:
    study, facts = run.study, run.facts
    own = run.results["systems"][0]
    naive = [row for row in run.results["systems"] if row["kind"] == "naive_source"]
    best = min(naive, key=lambda row: row["pooled"]["rmse"] or float("inf"), default=None)
    return {
        "system": run.name,
        "genes": list(run.genes),
        "data": {
            role: {"name": screen.name, "lines": len(screen.cells), "drugs": len(screen.drugs), "measure": screen.measure}
            for role, screen in (("source", study.source), ("target", study.target))
        }
        | {"hash": study.content_hash, "holds_expression": expression or not run.genes},
        "licence_of_data": licence,
        "scores": {"tested_pairs": own["pooled"]["n"], **own["pooled"], "per_drug_median": own["per_drug_median"]},
        "best_naive_row": None if best is None else {"name": best["name"], "rmse": best["pooled"]["rmse"]},
        "saw_target_labels": own["saw_target_labels"],
        "made_by": {name: value for name, value in facts.items() if name != "command"},
        "intended_use": use,
    }


def unpack(path: Path) -> PackedModel:
    """The model of a file that ``pack`` wrote; runs no code from it.

    Raises:
        LoadError: The file is none of that kind, damaged, too large, or of another version.
    """
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            with zipfile.ZipFile(path) as archive:
                _extract(archive, folder, path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise LoadError(f"{path} is no packed model, or damaged ({error}). Pack it again: dadsp pack.") from error
        return PackedModel(load_served_model(folder), read_json(folder / CARD))


def _load_pyfunc(path: str) -> ServedModel:
    """For MLflow: ``mlflow.pyfunc.save_model(folder, loader_module="dadsp.runs.packed", data_path="model.dadsp")``."""
    return unpack(Path(path)).served


def _extract(archive: zipfile.ZipFile, folder: Path, path: Path) -> None:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    strange = sorted(set(names) - MAY_HOLD) + sorted(name for name in set(names) if names.count(name) > 1)
    if strange:
        raise LoadError(
            f"{path} holds {len(strange)} files that no packed model has (e.g. {examples(strange)}). Do not use it."
        )
    size = sum(entry.file_size for entry in entries)
    if size > LARGEST:
        raise LoadError(
            f"{path} would unpack to {size / 2**30:.1f} GiB, more than the {LARGEST / 2**30:.0f} allowed. Do not use it."
        )
    lacking = sorted({MANIFEST, CARD, "screens.json", "model/model.json"} - set(names))
    if lacking:
        raise LoadError(f"{path} is no packed model: it lacks {', '.join(lacking)}. Pack it again: dadsp pack.")
    manifest = json.loads(archive.read(MANIFEST))
    if not isinstance(manifest, dict) or {key: manifest.get(key) for key in FORMAT} != FORMAT:
        raise LoadError(
            f"{path} is no packed model of version {FORMAT['version']}. Pack it again with this version of dadsp."
        )
    stated = manifest.get("files")
    for name in names:
        if name == MANIFEST:
            continue
        content = archive.read(name)
        wanted = stated.get(name) if isinstance(stated, dict) else None
        if wanted != {"bytes": len(content), "blake2b": _hash(content)}:
            raise LoadError(f"{path}: {name} has not the checksum that the manifest states. Get the file again.")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
