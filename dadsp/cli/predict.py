"""``dadsp predict``: what the model of a finished run says of new lines, and across screens of new drugs."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig
from pydantic import Field, StrictInt
from pydantic.dataclasses import dataclass

from dadsp.configuration.compose import plain
from dadsp.data.new_pairs import OnUnknown
from dadsp.data.new_platform.options import NewPlatformOptions
from dadsp.errors import ConfigError, nearest
from dadsp.files import write_atomically
from dadsp.models.prediction import Predicted
from dadsp.options import STRICT, validated
from dadsp.runs.folder import RunFolder, is_single_drug
from dadsp.runs.run import Run
from dadsp.schema import Domain
from dadsp.written_tables import WRITERS


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PredictOptions:
    """Keys of ``conf/predict.yaml``."""

    run: str = Field(min_length=1)
    pairs: str = Field(min_length=1)
    out: str | None
    domain: Domain
    on_unknown: OnUnknown
    form: Literal["network", "compressed"]
    repeat: StrictInt = Field(ge=0)
    expression: str | None = None
    drugs: str | None = None
    new_platform: NewPlatformOptions = NewPlatformOptions()


def work(config: DictConfig, as_json: bool) -> None:
    """Predicts as the configuration says."""
    options = validated(PredictOptions, plain(config), "")
    expression, drugs = options.expression or None, options.drugs or None
    inputs = [Path(path) for path in (options.pairs, expression, drugs) if path]
    if not options.out or any(Path(options.out).absolute() == path.absolute() for path in inputs):
        raise ConfigError(f"out={options.out} must name a new file, not one of the inputs. Choose another.")
    out, folder = Path(options.out), Path(options.run)
    if out.suffix not in WRITERS:
        raise ConfigError(f"out={out} has no known ending. {nearest(out.suffix, WRITERS)}")
    if not folder.is_dir():
        raise ConfigError(f"run={folder} is not a folder. Give a run folder of dadsp train or dadsp single-drug.")
    if not is_single_drug(folder):
        model = Run(RunFolder(folder))
        predicted = model.predicted(
            options.pairs,
            expression,
            drugs,
            domain=options.domain,
            on_unknown=options.on_unknown,
            new_platform=options.new_platform,
        )
    elif drugs:
        raise ConfigError("drugs has no use here: a single-drug network knows its own drug alone. Leave it out.")
    elif options.new_platform != NewPlatformOptions():
        raise ConfigError("new_platform has no use here: it is for runs across screens. Leave it out.")
    else:
        from dadsp.runs.predict_single_drug import SingleDrugRun  # pulls in what other runs do not need

        predicted = SingleDrugRun(folder).predicted(
            options.pairs, expression, on_unknown=options.on_unknown, repeat=options.repeat, form=options.form
        )
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
