"""The verbs: what each reads from its arguments before its configuration is composed, and the module that does its work.

That module, with all that it computes with, is imported when the configuration has been composed: a misspelt key, ``--cfg``
and ``--help`` answer at once.
"""

import re
from functools import partial
from importlib import import_module
from typing import Any

from dadsp import plugins
from dadsp.errors import ConfigError, nearest

WHAT = {
    "train": "train a system on the source, adapt it, predict the target, score it beside naive predictors",
    "tune": "search hyper-parameters that predict held-out source lines best",
    "predict": "potency of new lines and drugs by a trained model",
    "pack": "a run's model as one file to hand on, which predicts without the run's data",
    "impute": "the pairs of a screen that nobody measured: potency, interval, distance to training, drugs ranked",
    "design": "which pairs to measure next: the list, a plate map, what they are expected to gain",
    "embed": "both screens' lines before and after training: a map, and how far the screens are apart",
    "explain": "critical genes, enriched gene sets and drug atoms behind a run's predictions",
    "compare": "finished runs in one table: intervals, paired differences, ranks, an HTML page",
    "reproduce": "rows of a committed table trained again: do they lie within the spread that rounding gives them?",
    "report": "one page about a run or an experiment: data, split, results, figures, findings, provenance",
    "single-drug": "one network per drug, gene selection inside, beside the usual methods (paper 2)",
    "data": "describe, validate, prepare or simulate a study; how far its screens agree; fetch published files",
    "list": "what there is to choose from: models, data, drug representations, splits, …",
    "models": "the same as list model",
    "completion": "a script that lets the shell complete verbs, keys and choices",
}
CONFIGURATIONS = {"train": "config", "single-drug": "single_drug"}  # of other verbs they are called as the verb
BEGIN_RUNS = ("train", "single-drug")  # runs of these have folders of their own, and go on with resume=


def run(verb: str, arguments: list[str], as_json: bool) -> None:
    """Runs a verb.

    Raises:
        ConfigError: There is no such verb, or its arguments cannot be read.
        DadspError: The verb failed.
    """
    if verb not in WHAT:
        raise ConfigError(f"'{verb}' is not a verb of dadsp. {nearest(verb, WHAT)}")
    if verb in ("list", "models", "completion"):
        from dadsp.cli import listing

        listing.run(["model", *arguments] if verb == "models" else arguments, as_json, completion=verb == "completion")
        return
    if verb == "data":
        _module(verb).run(arguments, as_json)
        return
    prepared = {"report": _report_arguments, "tune": _tune_arguments}.get(verb, list)(arguments)
    if verb in BEGIN_RUNS and any(part.startswith("resume=") for part in prepared):
        others = plugins.taken(prepared)
        if _module("begin").resumed(_module(verb).VERB, others, as_json):
            return
    from dadsp.cli.app import run_app

    more = (prepared,) if verb in (*BEGIN_RUNS, "tune") else ()  # of which a command is made that does the same again
    run_app(verb, CONFIGURATIONS.get(verb, verb), prepared, partial(_work, verb, as_json, more))


def _work(verb: str, as_json: bool, more: tuple[Any, ...], config: Any) -> Any:
    if verb in BEGIN_RUNS:
        return _module("begin").begin(_module(verb).VERB, config, as_json, *more)
    return _module(verb).work(config, as_json, *more)


def _module(name: str) -> Any:
    return import_module(f"dadsp.cli.{name.replace('-', '_')}")


def _report_arguments(arguments: list[str]) -> list[str]:
    """``--format md`` is ``format=md``. ``experiment=`` is ``runs=``: Hydra takes the former for a choice of its group."""
    plain: list[str] = []
    for part in arguments:
        if plain and plain[-1] == "--format":
            plain[-1] = f"format={part}"
        else:
            plain.append(part.removeprefix("--") if part.startswith("--format=") else part)
    if plain and plain[-1] == "--format":
        raise ConfigError("--format needs a value. Valid: html, md.")
    return [re.sub("^experiment=", "runs=", part) for part in plain]


def _tune_arguments(arguments: list[str]) -> list[str]:
    for option in ("-m", "--multirun"):
        if option in arguments:
            raise ConfigError(
                f"dadsp tune takes no {option}. Set tune.workers, or start the same command on other machines."
            )
    if any(part.replace(" ", "") == "tune.space={}" for part in arguments):  # Hydra would add nothing to the default space
        raise ConfigError("tune.space={} names nothing to tune. Give ranges or choices, or leave it out.")
    return arguments
