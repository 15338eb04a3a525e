"""``dadsp data fetch``: published files, and structures by name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dadsp.configuration.compose import compose
from dadsp.data.fetch import Download, Patience, fetch, fetch_smiles
from dadsp.data.tables import read_table
from dadsp.errors import ConfigError, examples, nearest
from dadsp.options import validated

SETS = ("gdsc", "ccle", "depmap", "pubchem-smiles")


def run(arguments: list[str], as_json: bool) -> None:
    """Fetches one set of files."""
    if not arguments:
        raise ConfigError(f"dadsp data fetch is told what to fetch. Valid: {', '.join(SETS)}.")
    if arguments[0] not in SETS:
        raise ConfigError(f"'{arguments[0]}' is nothing that can be fetched. {nearest(arguments[0], SETS)}")
    name, *overrides = arguments
    settings: Any = OmegaConf.to_container(compose("fetch", overrides), resolve=True)
    patience = validated(Patience, settings["patience"], "patience")
    folder = Path(settings["out"])
    if name == "pubchem-smiles":
        facts = _smiles(settings[name], folder, patience, as_json)
    else:
        facts = {
            "files": [_file(f"{name}.{key}", entry, folder, patience, as_json) for key, entry in settings[name].items()]
        }
    if as_json:
        print(json.dumps(facts))


def _file(where: str, entry: Mapping[str, Any], folder: Path, patience: Patience, as_json: bool) -> dict[str, Any]:
    download = validated(Download, entry, where)
    path, sha256, fresh = fetch(download, folder, patience)
    if not as_json:
        known = "as expected" if download.sha256 else "its hash was not known before"
        print(f"{path}: {'fetched' if fresh else 'was here'}, sha256 {sha256} ({known})")
    return {"file": str(path), "sha256": sha256, "fetched": fresh}


def _smiles(settings: Mapping[str, Any], folder: Path, patience: Patience, as_json: bool) -> dict[str, Any]:
    for key in ("names", "column"):
        if not settings[key]:
            raise ConfigError(f"pubchem-smiles.{key} is required. Set it: pubchem-smiles.{key}=…")
    frame = read_table(Path(settings["names"]), {"query": settings["column"]}, optional=("query",))
    queries = [str(name) for name in frame["query"].dropna()]
    table = folder / settings["file"]
    asked, misses = fetch_smiles(queries, settings["by"], table, settings["url"], patience, settings["per_second"])
    if not as_json:
        print(f"{table}: {len(set(queries)) - len(misses)} of {len(set(queries))} structures, {asked} asked for now")
        if misses:
            print(f"PubChem does not know {len(misses)}: {examples(misses, 20)}")
    return {"file": str(table), "asked": asked, "misses": misses}
