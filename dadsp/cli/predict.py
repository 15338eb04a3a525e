"""``dadsp predict``: what the model of a finished run says of new lines, and across screens of new drugs."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from dadsp.cli.configuration import run_app
from dadsp.cli.finished_run import read_run_data
from dadsp.cli.predict_single_drug import Predicted, predict_single_drug
from dadsp.data.new_pairs import OnUnknown, read_pairs
from dadsp.errors import ConfigError, LoadError, examples, nearest
from dadsp.files import write_atomically
from dadsp.models.base import load_model
from dadsp.schema import Domain, Note, Screen
from dadsp.singledrug.model import Form

WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


def run(arguments: list[str], as_json: bool) -> None:
    """Predicts as the arguments say."""
    run_app("predict", "predict", arguments, lambda config: _predict(config, as_json))


def _predict(config: DictConfig, as_json: bool) -> None:
    for key, valid in (("domain", get_args(Domain)), ("on_unknown", get_args(OnUnknown)), ("form", get_args(Form))):
        if config[key] not in valid:
            raise ConfigError(f"{key}={config[key]!r} is not a valid choice. {nearest(str(config[key]), valid)}")
    inputs = [Path(config[key]) for key in ("pairs", "expression", "drugs") if config[key]]
    if not config.out or any(Path(config.out).absolute() == path.absolute() for path in inputs):
        raise ConfigError(f"out={config.out} must name a new file, not one of the inputs. Choose another.")
    out, folder = Path(config.out), Path(config.run)
    if out.suffix not in WRITERS:
        raise ConfigError(f"out={out} has no known ending. {nearest(out.suffix, WRITERS)}")
    if not folder.is_dir():
        raise ConfigError(f"run={folder} is not a folder. Give a run folder of dadsp train or dadsp single-drug.")
    predict = predict_single_drug if (folder / "drugs").is_dir() else _predict_across
    predicted = predict(config, folder)
    write_atomically(out, lambda path: WRITERS[out.suffix](predicted.frame, path))
    _report(predicted, out, as_json)


def _predict_across(config: DictConfig, folder: Path) -> Predicted:
    """Potency of the pairs by a cross-screen model."""
    model = load_model(folder / "model")
    expression, drugs = (Path(config[key]) if config[key] else None for key in ("expression", "drugs"))
    known = [] if expression and drugs else _known_screens(folder, config.domain)
    pairs, frame, notes = read_pairs(
        Path(config.pairs),
        expression=expression,
        drugs=drugs,
        known=known,
        domain=config.domain,
        on_unknown=config.on_unknown,
    )
    unused = sorted(set(pairs.screen.genes) - set(model.genes)) if model.genes else []
    if unused:
        notes = (*notes, Note("genes the model does not know, not used", len(unused), examples(unused)))
    potency = model.predict(pairs)
    frame["neg_log10_ic50_um"] = potency
    frame["ic50_um"] = 10.0 ** -potency.astype(np.float64)
    return Predicted(model.name, frame, "neg_log10_ic50_um", "−log10 IC50(µM)", notes)


def _known_screens(folder: Path, domain: Domain) -> list[Screen]:
    """The run's own screens, the one of ``domain`` first."""
    try:
        _, study = read_run_data(folder)
    except LoadError as error:
        raise LoadError(f"{error} Or give expression= and drugs=.") from error
    return [study.source, study.target] if domain == "source" else [study.target, study.source]


def _report(predicted: Predicted, out: Path, as_json: bool) -> None:
    frame, notes = predicted.frame, predicted.notes
    if as_json:
        facts = {"system": predicted.system, "out": str(out), "pairs": len(frame), "notes": [asdict(note) for note in notes]}
        print(json.dumps(facts))
        return
    for note in notes:
        print(f"{note.what}: {note.count} ({note.examples})", file=sys.stderr)
    values = frame[predicted.column]
    print(
        f"{predicted.system}: {len(frame):,} pairs, {predicted.unit} from {values.min():.2f} to {values.max():.2f}, "
        f"written to {out}"
    )
