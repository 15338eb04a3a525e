"""Code that a file could ask for: thirty targets that each leave a canary behind, and the places to plant them."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def targets(canary: Path) -> list[dict[str, Any]]:
    """Nodes that make ``canary`` exist if anything resolves and calls what they name."""
    path = str(canary)
    touch = f"open({path!r}, 'w').close()"
    shell = f"touch {path}"
    return [
        {"_target_": "os.mkdir", "path": path},
        {"_target_": "os.makedirs", "name": path},
        {"_target_": "os.system", "command": shell},
        {"_target_": "os.popen", "cmd": shell},
        {"_target_": "posix.system", "command": shell},
        {"_target_": "subprocess.run", "args": ["touch", path]},
        {"_target_": "subprocess.check_output", "_args_": [["touch", path]]},
        {"_target_": "subprocess.Popen", "args": ["touch", path]},
        {"_target_": "builtins.exec", "_args_": [touch]},
        {"_target_": "builtins.eval", "_args_": [touch]},
        {"_target_": "builtins.open", "file": path, "mode": "w"},
        {"_target_": "io.open", "file": path, "mode": "w"},
        {"_target_": "code.InteractiveInterpreter.runsource", "_args_": [None, touch]},
        {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": [path]}]},
        {"_target_": "sqlite3.connect", "database": path},
        {"_target_": "logging.FileHandler", "filename": path},
        {"_target_": "zipfile.ZipFile", "file": path, "mode": "w"},
        {"_target_": "shutil.copyfile", "src": __file__, "dst": path},
        {"_target_": "numpy.savetxt", "fname": path, "X": [1.0]},
        {"_target_": "torch.save", "obj": 1, "f": path},
        {"_target_": "hydra.utils.instantiate", "config": {"_target_": "os.mkdir", "path": path}},
        {"_target_": "functools.partial", "_args_": [{"_target_": "os.mkdir", "path": path}]},
        # What modules of dadsp import, and dadsp's own functions.
        {"_target_": "dadsp.files.write_text", "path": path, "text": "x"},
        {"_target_": "dadsp.files.os.mkdir", "path": path},
        {"_target_": "dadsp.files.tempfile._os.makedirs", "name": path},
        {"_target_": "dadsp.tracking.subprocess.run", "args": ["touch", path]},
        {
            "_target_": "dadsp.runs.identity.FileLock.acquire",
            "_args_": [{"_target_": "dadsp.runs.identity.FileLock", "lock_file": path}],
        },
        {"_target_": "dadsp.cli.tune.subprocess.Popen", "args": ["touch", path]},
        {"_target_": "dadsp.data.cache.np.savetxt", "fname": path, "X": [1.0]},
        {"_target_": "dadsp.models.training.stage.torch.save", "obj": 1, "f": path},
    ]


PLACES = (
    "model",
    "data",
    "split",
    "model.drug_features",
    "model.alignment",
    "data.source",
    "trainer",
    "tracking",
    "seed",
    "planted",
)


def planted_configs(config: dict[str, Any], node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Texts of ``config.yaml`` that hold the node, each with the name of its place and form."""
    forms: dict[str, Any] = {
        "dict": node,
        "partial": {**node, "_partial_": True},
        "list": [node],
        "nested list": [[1, {"deep": [node]}]],
        "value of a known target": {"_target_": "dadsp.drugs.morgan.Morgan", "extra": node},
        "args of a known target": {"_target_": "dadsp.models.systems.naive.Naive", "_args_": [node]},
        "recursive": {"_target_": "dadsp.models.systems.naive.Naive", "_recursive_": True, "effects": node},
    }
    for place in PLACES:
        for form, value in forms.items():
            yield f"{place}, {form}", yaml.safe_dump(_with(config, place, value))
        inside = f"{place}.planted"
        if "." not in place and isinstance(config.get(place), dict):
            yield f"{inside}, list", yaml.safe_dump(_with(config, inside, [node]))
    text = yaml.safe_dump(config)
    call = yaml.safe_dump(node, default_flow_style=True, width=10**6).strip()
    yield "alias", f"kept: &kept {call}\n{text}\nplanted: [*kept]\n"
    yield "merge", f"kept: &kept {call}\n{text}\nplanted: {{<<: *kept}}\n"
    first = next(value for key, value in node.items() if key != "_target_")
    given = yaml.safe_dump([first], default_flow_style=True, width=10**6).strip()
    yield "tag", f"{text}\nplanted: !!python/object/apply:{node['_target_']} {given}\n"
    yield "name tag", f"{text}\nplanted: !!python/name:{node['_target_']}\n"
    yield "module tag", f"{text}\nplanted: !!python/module:{node['_target_'].partition('.')[0]}\n"
    yield (
        "interpolated target",
        yaml.safe_dump(
            {**_with(config, "model", {**node, "_target_": "${names.target}"}), "names": {"target": node["_target_"]}}
        ),
    )
    yield "interpolated node", yaml.safe_dump({**_with(config, "model", "${names}"), "names": node})
    yield "resolver", yaml.safe_dump(_with(config, "data.root", "${oc.create:${oc.decode:'" + call.replace("'", "") + "'}}"))


def _with(config: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    *parents, last = place.split(".")
    node = changed
    for parent in parents:
        if not isinstance(node.get(parent), dict):
            node[parent] = {}
        node = node[parent]
    node[last] = value
    return changed
