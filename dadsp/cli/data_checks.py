"""``dadsp data validate`` and ``dadsp data prepare``: all that is wrong at once; a cache that opens at once."""

import json
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dadsp.building import LATER
from dadsp.cli.console import print_cross_checks, print_notes
from dadsp.configuration.compose import build
from dadsp.data.cache import cached_study, describe_cache, why_rebuild
from dadsp.data.cross_checks import cross_checks
from dadsp.data.problems import Problem, collecting
from dadsp.errors import ConfigError, SchemaError
from dadsp.files import write_text
from dadsp.schema import Study


def validate(config: DictConfig, as_json: bool) -> None:
    """Prints every problem of a study's files, or what reading them did.

    Raises:
        SchemaError: There are problems.
    """
    studies: list[Study] = []
    with collecting() as problems:
        studies.append(build(config.data, "data"))
    checks = [check for study in studies for check in cross_checks(study, labels=True)]
    if as_json:
        facts = {
            "problems": [asdict(problem) for problem in problems],
            "notes": _notes(studies),
            "cross_checks": [asdict(check) for check in checks],
        }
        print(json.dumps(facts, allow_nan=False))
    elif problems:
        _print(problems)
    else:
        (study,) = studies
        print(f"{study.source.name} → {study.target.name}: no problem. data hash {study.content_hash}")
        print_notes((study.source, study.target))
        print_cross_checks(checks)
    if problems:
        places = len({problem.where for problem in problems})
        raise SchemaError(f"{len(problems)} problems in {places} parts of the data. Mend them and validate again.")


def _notes(studies: list[Study]) -> list[dict[str, Any]]:
    screens = [screen for study in studies for screen in (study.source, study.target)]
    return [{"screen": screen.name, **asdict(note)} for screen in screens for note in screen.notes]


def _print(problems: list[Problem]) -> None:
    groups: defaultdict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        groups[problem.where or "study"].append(problem)
    for where, found in groups.items():
        print(f"{where}: {len(found)} problem{'s' if len(found) > 1 else ''}")
        for problem in found:
            print(f"  - {problem.message}")


def prepare(config: DictConfig, out: str | None, as_json: bool) -> None:
    """Writes, or brings up to date, the cache of a study, and a configuration that reads it."""
    if not out:
        raise ConfigError("out is required, once. Set it: dadsp data prepare data=NAME out=FOLDER")
    folder = Path(out).absolute()
    settings: Any = OmegaConf.to_container(config.data, resolve=True, throw_on_missing=True)
    if isinstance(settings.get("root"), str):
        settings["root"] = str(Path(settings["root"]).absolute())
    cached = {"_target_": "dadsp.data.cache.cached_study", "folder": str(folder / "cache"), "study": settings}
    if folder.exists() and any(entry.name not in ("cache", ".cache.lock", "conf") for entry in folder.iterdir()):
        raise ConfigError(f"{folder} holds other files and is left alone. Choose another folder.")
    write_text(folder / "conf" / "data" / "prepared.yaml", OmegaConf.to_yaml(OmegaConf.create(cached)))
    partial = build(settings, LATER)
    reason = why_rebuild(folder / "cache", partial)
    study = cached_study(folder / "cache", partial)
    start = time.perf_counter()
    cached_study(folder / "cache", partial)
    opened_s = time.perf_counter() - start
    facts = {"folder": str(folder), "rebuilt": reason, "opens_in_s": round(opened_s, 3), **describe_cache(folder / "cache")}
    if as_json:
        print(json.dumps(facts))
        return
    print(
        f"{folder}: {'up to date' if reason is None else f'written ({reason})'}; {facts['bytes'] / 2**20:.1f} MiB, ", end=""
    )
    print(f"opens in {opened_s:.2f} s, data hash {study.content_hash}")
    print(f"  dadsp train --config-dir {folder / 'conf'} data=prepared")
