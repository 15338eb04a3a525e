"""``dadsp predict``: what the model of a finished run says of new lines, and across screens of new drugs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig

from dadsp.api import load, load_single_drug
from dadsp.cli.configuration import run_app
from dadsp.cli.tables import WRITERS
from dadsp.errors import ConfigError, nearest
from dadsp.files import write_atomically
from dadsp.models.prediction import Predicted


def run(arguments: list[str], as_json: bool) -> None:
    """Predicts as the arguments say."""
    run_app("predict", "predict", arguments, lambda config: _predict(config, as_json))


def _predict(config: DictConfig, as_json: bool) -> None:
    expression, drugs = config.expression or None, config.drugs or None
    inputs = [Path(path) for path in (config.pairs, expression, drugs) if path]
    if not config.out or any(Path(config.out).absolute() == path.absolute() for path in inputs):
        raise ConfigError(f"out={config.out} must name a new file, not one of the inputs. Choose another.")
    out, folder = Path(config.out), Path(config.run)
    if out.suffix not in WRITERS:
        raise ConfigError(f"out={out} has no known ending. {nearest(out.suffix, WRITERS)}")
    if not folder.is_dir():
        raise ConfigError(f"run={folder} is not a folder. Give a run folder of dadsp train or dadsp single-drug.")
    if not (folder / "drugs").is_dir():
        model = load(folder)
        predicted = model.predicted(config.pairs, expression, drugs, domain=config.domain, on_unknown=config.on_unknown)
    elif drugs:
        raise ConfigError("drugs has no use here: a single-drug network knows its own drug alone. Leave it out.")
    else:
        networks = load_single_drug(folder)
        chosen = {key: config[key] for key in ("on_unknown", "repeat", "form")}
        predicted = networks.predicted(config.pairs, expression, **chosen)
    write_atomically(out, lambda path: WRITERS[out.suffix](predicted.frame, path))
    _report(predicted, out, as_json)


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
