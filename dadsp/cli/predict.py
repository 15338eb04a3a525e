"""``dadsp predict``: what the model of a finished run says of new lines, and across screens of new drugs."""

import json
import sys
from dataclasses import asdict
from functools import partial
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
from dadsp.models.trust.trust import Trust
from dadsp.options import STRICT, validated
from dadsp.runs.folder import RunFolder, is_single_drug
from dadsp.runs.run import Run
from dadsp.schema import Domain
from dadsp.written_tables import WRITERS


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PredictOptions:
    """Keys of ``conf/predict.yaml``."""

    run: str = Field(min_length=1)
    pairs: str | None = None
    out: str | None
    domain: Domain
    on_unknown: OnUnknown
    form: Literal["network", "compressed"]
    repeat: StrictInt = Field(ge=0)
    expression: str | None = None
    drugs: str | tuple[str | int, ...] | None = None
    lines: str | tuple[str | int, ...] | None = None
    figures: str | None = None
    page: str | None = None
    calibrate: str | None = None
    new_platform: NewPlatformOptions = NewPlatformOptions()


def work(config: DictConfig, as_json: bool) -> None:
    """Predicts as the configuration says."""
    options = validated(PredictOptions, plain(config), "")
    pairs, expression = options.pairs or None, options.expression or None
    lines, drugs = (_asked(given) for given in (options.lines, options.drugs))
    if pairs is None and lines is None and drugs is None:
        raise ConfigError("pairs is required. Set it: pairs=table; or drugs=all, lines=all for every line with every drug.")
    out, folder = _outputs(options), Path(options.run)
    run = _opened(folder)
    if run is None:
        predicted = _by_single_drug(folder, options)
    else:
        predicted = run.predicted(
            pairs,
            expression,
            drugs,
            lines=lines,
            domain=options.domain,
            on_unknown=options.on_unknown,
            new_platform=options.new_platform,
            calibrate=options.calibrate or None,
        )
    write_atomically(out, lambda path: WRITERS[out.suffix](predicted.frame, path))
    if run is not None and (options.figures or options.page):
        _show(predicted, run.trust, options)
    _report(predicted, out, as_json)


def _opened(place: Path) -> Run | None:
    """The run, or the packed model; None for a run of ``dadsp single-drug``.

    Raises:
        ConfigError: There is none.
        LoadError: The file is no packed model.
    """
    if place.is_file():
        from dadsp.runs.packed import unpack  # which other predictions do without

        return unpack(place)
    if not place.is_dir():
        raise ConfigError(
            f"run={place} is not a folder. Give a run folder of dadsp train or single-drug, or a file of dadsp pack."
        )
    return None if is_single_drug(place) else Run(RunFolder(place))


def _asked(given: str | tuple[str | int, ...] | None) -> str | list[str] | None:
    """Lines or drugs as ``Run.predict`` takes them."""
    return [str(name) for name in given] if isinstance(given, tuple) else given or None


def _outputs(options: PredictOptions) -> Path:
    """The table to write.

    Raises:
        ConfigError: What is to be written has no known ending, or is an input.
    """
    given = (options.pairs, options.expression, options.drugs, options.lines, options.calibrate)
    inputs = [Path(path).absolute() for path in given if path and isinstance(path, str)]
    for key, path in (("out", options.out), ("page", options.page)):
        if (key == "out" and not path) or (path and Path(path).absolute() in inputs):
            raise ConfigError(f"{key}={path} must name a new file, not one of the inputs. Choose another.")
    out = Path(options.out or "")
    if out.suffix not in WRITERS:
        raise ConfigError(f"out={out} has no known ending. {nearest(out.suffix, WRITERS)}")
    if options.page and Path(options.page).suffix != ".html":
        raise ConfigError(f"page={options.page} must end in .html. Rename it.")
    if options.figures and Path(options.figures).is_file():
        raise ConfigError(f"figures={options.figures} is a file. Name a folder.")
    return out


def _by_single_drug(folder: Path, options: PredictOptions) -> Predicted:
    given = {key: getattr(options, key) for key in ("drugs", "lines", "figures", "page", "calibrate")}
    for key, value in given.items():
        if value:
            why = "a single-drug network knows its own drug alone" if key == "drugs" else "it is for runs of dadsp train"
            raise ConfigError(f"{key} has no use here: {why}. Leave it out.")
    if options.new_platform != NewPlatformOptions():
        raise ConfigError("new_platform has no use here: it is for runs across screens. Leave it out.")
    from dadsp.runs.predict_single_drug import SingleDrugRun  # pulls in what other runs do not need

    pairs, expression = options.pairs or "", options.expression or None
    run = SingleDrugRun(folder)
    return run.predicted(pairs, expression, on_unknown=options.on_unknown, repeat=options.repeat, form=options.form)


def _show(predicted: Predicted, trust: Trust | None, options: PredictOptions) -> None:
    """Draws the lines that were asked for, into a folder, onto a page, or both."""
    from dadsp.report.document import write_document  # figures and pages: seconds that predicting does without
    from dadsp.runs.prediction_figures import drawn_line, write_figures

    frame, title = predicted.frame, predicted.system
    if options.figures:
        write_figures(frame, title, predicted.unit, Path(options.figures), predicted.called)
    if options.page:
        from dadsp.report.prediction_page import prediction_page

        notes = [asdict(note) for note in predicted.notes]
        facts = None if trust is None else trust.facts
        draw = partial(drawn_line, system=title, unit=predicted.unit, called=predicted.called)
        page = prediction_page(frame, title, notes, facts, draw, predicted.called)
        write_document(page, "html", Path(options.page))


def _report(predicted: Predicted, out: Path, as_json: bool) -> None:
    frame, notes = predicted.frame, predicted.notes
    if as_json:
        facts = {"system": predicted.system, "out": str(out), "pairs": len(frame), "notes": [asdict(note) for note in notes]}
        print(json.dumps(facts))
        return
    for note in notes:
        print(note, file=sys.stderr)
    values = frame[predicted.column]
    print(
        f"{predicted.system}: {len(frame):,} pairs, {predicted.unit} from {values.min():.2f} to {values.max():.2f}, "
        f"written to {out}"
    )
