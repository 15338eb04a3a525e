"""From a configuration node to the object it describes: the one place where a name in a file becomes a class.

A node is a plain dict; its ``_target_`` is looked up in ``REGISTERED``, and among what plug-ins in use added
(``dadsp.plugins``), under the kind that the node's place calls for (the last part of its key: ``model``,
``data.source.expression``, ``model.alignment``). It is never resolved as a path of Python. All that a node holds, in every
dict and list, is checked before anything of it is built.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial, wraps
from importlib import import_module
from typing import Any

from dadsp.errors import ConfigError, nearest
from dadsp.provenance import packages_hash

REGISTERED: dict[str, tuple[str, ...]] = {
    "model": (
        "dadsp.models.calibrated.Calibrated",
        "dadsp.models.systems.boosting.LightGbm",
        "dadsp.models.systems.classical.Linear",
        "dadsp.models.systems.classical.RandomForest",
        "dadsp.models.systems.classical.Svr",
        "dadsp.models.systems.dadsp_a.DadspA",
        "dadsp.models.systems.dadsp_b.DadspB",
        "dadsp.models.systems.deepdsc1.DeepDsc1",
        "dadsp.models.systems.drug_ridge.DrugKernelRidge",
        "dadsp.models.systems.drug_ridge.DrugRidge",
        "dadsp.models.systems.line_network.LineNetworkSystem",
        "dadsp.models.systems.naive.GivenLabels",
        "dadsp.models.systems.naive.LabelLookup",
        "dadsp.models.systems.naive.Naive",
        "dadsp.models.systems.naive.OracleNaive",
        "dadsp.models.systems.pairwise_gp.PairwiseGp",
        "dadsp.models.systems.sla.Sla",
    ),
    "drug_features": (
        "dadsp.drugs.graphs.MolecularGraph",
        "dadsp.drugs.morgan.Morgan",
        "dadsp.drugs.similarity.SimilarityProfile",
        "dadsp.drugs.smiles_tokens.SmilesTokens",
    ),
    "alignment": (
        "dadsp.data.alignment.bridge.Auto",
        "dadsp.data.alignment.bridge.Bridge",
        "dadsp.data.alignment.combat.ComBat",
        "dadsp.data.alignment.coral.Coral",
        "dadsp.data.alignment.gene_wise.ZScore",
        "dadsp.data.alignment.identity.NoAlignment",
        "dadsp.data.alignment.quantile.Quantile",
        "dadsp.data.alignment.rank.Rank",
    ),
    "data": (
        "dadsp.data.cache.cached_study",
        "dadsp.data.cache.kept_study",
        "dadsp.data.sources.simulated.simulated_study",
        "dadsp.data.sources.tidy.tidy_study",
    ),
    "panel": ("dadsp.data.sources.simulated.simulated_panel", "dadsp.data.sources.tidy_panel.tidy_panel"),
    "split": (
        "dadsp.splits.cross_screen.cross_screen",
        "dadsp.splits.store.saved",
        "dadsp.splits.within.within",
    ),
    # Parts of a screen
    "expression": (
        "dadsp.data.sources.ccle.Gct",
        "dadsp.data.sources.coderdata.Transcriptomics",
        "dadsp.data.sources.depmap.ExpressionTpm",
        "dadsp.data.sources.gdsc.RmaExpression",
        "dadsp.data.sources.h5ad.H5ad",
        "dadsp.data.sources.tidy_files.ExpressionFile",
    ),
    "responses": (
        "dadsp.data.sources.ccle.DrugData",
        "dadsp.data.sources.coderdata.Experiments",
        "dadsp.data.sources.gdsc.FittedDoseResponse",
        "dadsp.data.sources.response_file.ResponseFile",
    ),
    "drugs": (
        "dadsp.data.sources.ccle.Compounds",
        "dadsp.data.sources.coderdata.Drugs",
        "dadsp.data.sources.gdsc.DrugsOfDoseResponse",
        "dadsp.data.sources.gdsc.ScreenedCompounds",
        "dadsp.data.sources.tidy_files.DrugFile",
    ),
    "cells": (
        "dadsp.data.sources.ccle.Annotations",
        "dadsp.data.sources.coderdata.Samples",
        "dadsp.data.sources.depmap.Models",
        "dadsp.data.sources.depmap.SampleInfo",
        "dadsp.data.sources.gdsc.CellLineDetails",
        "dadsp.data.sources.tidy_files.CellFile",
    ),
}
# Where a class (or, ending in a dot, all of a module) stood in earlier versions, whose run folders name it so.
MOVED = (
    {
        f"dadsp.models.{module}.": f"dadsp.models.systems.{module}."
        for module in (
            "boosting",
            "classical",
            "dadsp_a",
            "dadsp_b",
            "deepdsc1",
            "drug_ridge",
            "naive",
            "pairwise_gp",
            "sla",
        )
    }
    | {
        f"dadsp.data.sources.tidy.{name}": f"dadsp.data.sources.tidy_files.{name}"
        for name in ("CellFile", "DrugFile", "ExpressionFile")
    }
    | {
        f"dadsp.data.sources.{module}.ResponseFile": "dadsp.data.sources.response_file.ResponseFile"
        for module in ("tidy", "tidy_files")
    }
)
_guests: dict[str, dict[str, Callable[..., Any] | str]] = {kind: {} for kind in REGISTERED}  # what plug-ins added, by name
LATER = "study"  # the study behind a cache, of kind ``data``: its parts are built, itself when the cache asks for it


def today(target: object) -> object:
    """What a target of an earlier version is called now; anything else as it is."""
    if isinstance(target, str):
        module, dot, name = target.rpartition(".")
        return MOVED.get(target) or MOVED.get(module + dot, module + dot) + name
    return target


def names_of(kind: str) -> tuple[str, ...]:
    """What is registered of a kind, by dotted name; that of plug-ins last."""
    kind = "data" if kind == LATER else kind
    return (*REGISTERED.get(kind, ()), *_guests.get(kind, ()))


def add_guest(kind: str, what: Any) -> None:
    """Adds a class or function, or its dotted name, to what may stand where ``kind`` does. For ``dadsp.plugins`` alone.

    Raises:
        ConfigError: It cannot be found again under its name, or takes a name of dadsp's own.
    """
    name = what if isinstance(what, str) else f"{getattr(what, '__module__', '')}.{getattr(what, '__qualname__', '')}"
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts) or len(parts) < 2 or parts[0] == "dadsp":
        raise ConfigError(
            f"A plug-in registers {name} as {kind}: no class or function at the top of a module of its own. Move it."
        )
    _guests[kind][name] = what


def guests_in(node: Any) -> frozenset[str]:
    """Top packages of all that plug-ins added and that a node, or any value in it, names."""
    if isinstance(node, Mapping | list):
        return frozenset().union(*map(guests_in, node.values() if isinstance(node, Mapping) else node))
    is_guest = isinstance(node, str) and any(node in names for names in _guests.values())
    return frozenset([str(node).partition(".")[0]] if is_guest else [])


def imported(name: str) -> Any:
    """What stands under a dotted name, which must be of our own table or of a plug-in's."""
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def registered(kind: str, target: object) -> Callable[..., Any] | None:
    """The class or function of this kind and name; None if there is none."""
    target = today(target)
    if not isinstance(target, str) or target not in names_of(kind):
        return None
    what = _guests.get("data" if kind == LATER else kind, {}).get(target, target)
    if not isinstance(what, str):
        return what
    try:
        found: Callable[..., Any] = imported(what)
    except (ImportError, AttributeError) as error:
        if target in REGISTERED.get(kind, ()):
            raise
        raise ConfigError(f"The plug-in's {what} cannot be imported ({error}). Mend it, or leave it out.") from error
    return found


def of_kind(kind: str, stated: str) -> Any:
    """The registered class of this kind that states ``kind = stated``, or None. Imports no more than it must."""
    found = (registered(kind, name) for name in names_of(kind))
    return next((each for each in found if getattr(each, "kind", None) == stated), None)


def kinds_of(kind: str) -> dict[str, Any]:
    """Registered classes of this kind by the ``kind`` that each states, which is how saved models call them."""
    found: list[Any] = [registered(kind, name) for name in names_of(kind)]
    return {each.kind: each for each in found if hasattr(each, "kind")}


def name_of(kind: str, target: Callable[..., Any]) -> str | None:
    """The name under which a class or function is registered; None if it is not."""
    name = f"{target.__module__}.{target.__qualname__}"
    return name if name in names_of(kind) else None


def build(node: Any, where: str, **passed: Any) -> Any:
    """The object a configuration node describes.

    Args:
        node: Plain dicts, lists and values, ``_target_`` and its arguments among them.
        where: The node's key; its last part is the kind of object.
        passed: Further arguments of the target, which no configuration can hold.

    Raises:
        ConfigError: The target is not registered for its place, or its arguments are unknown, missing or impossible.
        DadspError: The target raised it.
    """
    if not (isinstance(node, Mapping) and "_target_" in node):
        raise ConfigError(f"{where} has no _target_, which names what it is. Valid: {_valid(where)}.")
    check(node, where, passed)
    return _built(node, where, passed)


def check(node: Any, where: str, passed: Mapping[str, Any] | None = None) -> None:
    """Passes if everything in ``node`` that names a target may be built where it stands, and has the keys named there.

    Args:
        node: As for ``build``, or a whole configuration.
        where: The node's key; empty for a whole configuration.
        passed: As for ``build``; None, where they are not known yet, lets required keys be absent.

    Raises:
        ConfigError: A target is not registered for its place, or a key of it is unknown or missing.
    """
    inside: Mapping[str, Any] | None = None if passed is None else {}
    if isinstance(node, list):
        for number, part in enumerate(node):
            check(part, f"{where}.{number}", inside)
    if not isinstance(node, Mapping):
        return
    if "_target_" in node:
        target = registered(_kind(where), node["_target_"])
        if target is None:
            raise _refused(node["_target_"], where)
        _check_arguments(target, node, where, passed)
    for key, value in _arguments(node, where).items():
        check(value, f"{where}.{key}" if where else str(key), inside)


def _arguments(node: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A node without the keys that tell how to build it; Hydra's further ones have no use here and are refused.

    Files of older versions hold two of them, which ask for what is done anyway.
    """
    done_anyway = {"_target_": node.get("_target_"), "_convert_": "all"}
    if _kind(where) == LATER:
        done_anyway["_partial_"] = True
    for key in ("_args_", "_convert_", "_partial_", "_recursive_"):
        if key in node and (key not in done_anyway or node[key] != done_anyway[key]):
            raise ConfigError(f"{where}.{key} has no use here. Remove it.")
    return {key: value for key, value in node.items() if key not in done_anyway}


def _kind(where: str) -> str:
    return where.rpartition(".")[2]


def _valid(where: str) -> str:
    return ", ".join(names_of(_kind(where)) or ("nothing",))


def _refused(target: Any, where: str) -> ConfigError:
    names = names_of(_kind(where))
    if not names:
        return ConfigError(f"{where}._target_={target}: nothing is built at this place. Remove it.")
    hint = "" if str(target).startswith("dadsp.") else " What others wrote comes with a plug-in: plugins=[NAME]."
    return ConfigError(f"{where}._target_={target} is none that dadsp builds here. {nearest(str(target), names)}{hint}")


def _check_arguments(
    target: Callable[..., Any], node: Mapping[str, Any], where: str, passed: Mapping[str, Any] | None
) -> None:
    """Names of arguments; their values are the target's to check. Pydantic's models check names too, and say it better."""
    parameters = inspect.signature(target).parameters
    if hasattr(target, "__pydantic_fields__") or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    given = _arguments(node, where)
    for key in given:
        if key not in parameters or key in (passed or ()):
            valid = [name for name in parameters if name not in (passed or ())]
            raise ConfigError(f"{where}.{key} is not a known key. {nearest(str(key), valid)}")
    for name, parameter in parameters.items():
        if passed is not None and parameter.default is parameter.empty and name not in (*given, *passed):
            raise ConfigError(f"{where}.{name} is required. Set it: {where}.{name}=…")


def _built(node: Mapping[str, Any], where: str, passed: Mapping[str, Any]) -> Any:
    target: Any = registered(_kind(where), node["_target_"])
    parts = {key: _part(value, f"{where}.{key}") for key, value in _arguments(node, where).items()}
    arguments = parts | dict(passed)
    if _kind(where) == LATER:
        return partial(_named_by_code(target, guests_in(node)), **arguments)
    from pydantic import ValidationError  # a tenth of a second that help and mistakes do without

    from dadsp.options import config_error

    try:
        return target(**arguments)
    except ValidationError as error:
        raise config_error(error, target, where) from None


def _named_by_code(target: Callable[..., Any], guests: frozenset[str]) -> Callable[..., Any]:
    """The target; where guests have a part in it, under a name that tells their code: a cache is known by such names."""
    if not guests:
        return target

    @wraps(target)
    def named(**arguments: Any) -> Any:
        return target(**arguments)

    named.__qualname__ += f" {packages_hash(guests)}"
    return named


def _part(value: Any, where: str) -> Any:
    """A value with the nodes in it built."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            return _built(value, where, {})
        return {key: _part(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, list):
        return [_part(each, f"{where}.{number}") for number, each in enumerate(value)]
    return value
