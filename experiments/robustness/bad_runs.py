"""Bad run folders and compressed networks: each file absent, cut, exchanged, or saying what cannot be."""

import hashlib
import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from bad_cases import PREDICT, PREDICT_SINGLE, Case

TRAINED = ("run", "pairs.csv")
VERBS: dict[str, tuple[str, ...]] = {
    "predict": PREDICT,
    "impute": ("impute", "run=run"),
    "embed": ("embed", "run=run"),
    "explain": ("explain", "run=run", "drug=SD001", "domain=source", "shuffles=1", "other_drugs=1"),
    "report": ("report", "run=run"),
    "compare": ("compare", "runs=[run]"),
    "resume": ("train", "resume=run"),
}
READ = {  # the files that a verb cannot do without
    "predict": ("model/model.json", "model/weights.safetensors", "config.yaml"),
    "impute": ("model/model.json", "model/weights.safetensors", "config.yaml", "split.json"),
    "embed": ("model/weights.safetensors", "config.yaml"),
    "explain": ("model/model.json", "split.json"),
    "report": ("metrics.json", "predictions.parquet", "config.yaml"),
    "compare": ("metrics.json", "predictions.parquet"),
    "resume": ("config.yaml", "split.json"),
}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda good: b"",
    "cut in half": lambda good: good[: len(good) // 2],
    "the word null": lambda good: b"null",
    "an empty list": lambda good: b"[]",
    "a number": lambda good: b"7",
    "nested 100,000 deep": lambda good: b"[" * 100_000,
    "NUL bytes": lambda good: bytes(len(good)),
    "UTF-16": lambda good: good.decode("latin-1").encode("utf-16"),
}
# Whatever a cut YAML still says is valid YAML; what a cut configuration lacks must be missed.
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{n}: &{n} [{','.join([f'*{b}'] * 9)}]\n" for b, n in zip("abcdefgh", "bcdefghi", strict=True)
)


def run_cases() -> Iterator[Case]:
    """Every file of a trained run, for every verb that reads it."""
    for verb, files in READ.items():
        for file in files:
            put = partial(Case, "run folder", command=VERBS[verb], needs=TRAINED)
            yield put(f"{verb}: {file} absent", partial(removed, verb, file))
            yield put(f"{verb}: {file} a folder", partial(a_folder, verb, file))
            for name, change in DAMAGES.items():
                if not (file == "config.yaml" and name in ("cut in half", "UTF-16")):
                    yield put(f"{verb}: {file} {name}", partial(rewritten, verb, file, change))
    for verb in ("predict", "impute", "report", "resume"):
        put = partial(Case, "run folder", command=VERBS[verb], needs=TRAINED)
        yield put(
            f"{verb}: config.yaml a bomb of aliases", partial(rewritten, verb, "config.yaml", lambda good: BOMB.encode())
        )
        yield put(f"{verb}: config.yaml with a bomb under data", partial(rewritten, verb, "config.yaml", with_bomb))
        yield put(
            f"{verb}: config.yaml that holds itself",
            partial(rewritten, verb, "config.yaml", lambda good: b"data: &a\n  x: *a\n"),
        )
    for verb in ("predict", "impute", "explain"):
        for name, change in MODELS.items():
            yield Case("run folder", f"{verb}: {name}", partial(model_says, change), VERBS[verb], TRAINED)
        for name, change_arrays in WEIGHTS.items():
            yield Case("run folder", f"{verb}: {name}", partial(weights_are, change_arrays), VERBS[verb], TRAINED)
    for name, change in SPLITS.items():
        yield Case("run folder", f"impute: {name}", partial(json_says, "run/split.json", change), VERBS["impute"], TRAINED)


def unfinished(verb: str, folder: Path) -> None:
    """Where a run is to be gone on with, it must not have ended."""
    if verb == "resume":
        (folder / "run" / "metrics.json").unlink()


def removed(verb: str, file: str, folder: Path) -> None:
    """The file is not there."""
    unfinished(verb, folder)
    (folder / "run" / file).unlink()
    if verb == "resume" and file == "split.json":
        (folder / "run" / "model" / "model.json").write_text("{")  # a split alone may be drawn again
        (folder / "run" / "config.yaml").write_text("seed: 0\n")


def a_folder(verb: str, file: str, folder: Path) -> None:
    """A folder stands in its place."""
    unfinished(verb, folder)
    (folder / "run" / file).unlink()
    (folder / "run" / file).mkdir()


def rewritten(verb: str, file: str, change: Callable[[bytes], bytes], folder: Path) -> None:
    """The file with other content."""
    unfinished(verb, folder)
    path = folder / "run" / file
    path.write_bytes(change(path.read_bytes()))


def with_bomb(good: bytes) -> bytes:
    """A configuration whose ``data`` holds aliases of aliases."""
    return good.replace(b"data:\n", b"data:\n" + b"".join(b"  " + line + b"\n" for line in BOMB.encode().splitlines()), 1)


def json_says(file: str, change: Callable[[Any], None], folder: Path) -> None:
    """A JSON file with another content of the right form."""
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    change(content)
    (folder / file).write_text(json.dumps(content), encoding="utf-8")


def model_says(change: Callable[[Any], None], folder: Path) -> None:
    """``model.json`` with another content."""
    json_says("run/model/model.json", change, folder)


MODELS: dict[str, Callable[[Any], None]] = {
    "a model of version 99": lambda facts: facts.update(version=99),
    "a model of version 0": lambda facts: facts.update(version=0),
    "a model of another format": lambda facts: facts.update(format="other-model"),
    "a model without a format": lambda facts: facts.pop("format"),
    "a model of an unknown system": lambda facts: facts.update(system="dadsp.models.none.None"),
    "a model whose system is a function": lambda facts: facts.update(system="os.system"),
    "a model whose system is a list": lambda facts: facts.update(system=["dadsp"]),
    "a model without labels": lambda facts: facts.pop("labels"),
    "a model with an unknown option": lambda facts: facts["options"].update(unknown=1),
    "a model with a width of −1": lambda facts: facts["options"].update(encoder_widths=[-1, 32, 16]),
    "a model with a width of 10⁹": lambda facts: facts["options"].update(encoder_widths=[10**9, 32, 16]),
    "a model with other widths": lambda facts: facts["options"].update(encoder_widths=[32, 32, 16]),
    "a model with widths of text": lambda facts: facts["options"].update(encoder_widths="wide"),
    "a model with 10⁹ fingerprint bits": lambda facts: facts["drug_features"].update(bits=10**9),
    "a model with unknown drug features": lambda facts: facts["drug_features"].update(kind="os.system"),
}
SPLITS: dict[str, Callable[[Any], None]] = {
    "a split without its hash": lambda facts: [facts.pop(key) for key in list(facts) if "hash" in key],
    "a split of another study": lambda facts: facts.update(data_hash="0" * 32),
    "a split of version 99": lambda facts: facts.update(version=99),
    "a split of nothing": lambda facts: facts.clear(),
}


def weights_are(change: Callable[[dict[str, Any]], None], folder: Path) -> None:
    """``weights.safetensors`` with other arrays."""
    from safetensors.numpy import load_file, save_file

    path = folder / "run" / "model" / "weights.safetensors"
    arrays = dict(load_file(path))
    change(arrays)
    save_file({name: array.copy() for name, array in arrays.items()}, path)


def _matrix(arrays: dict[str, Any]) -> str:
    return max((name for name in arrays if arrays[name].ndim == 2), key=lambda name: arrays[name].size)


def _spoil(value: float, arrays: dict[str, Any]) -> None:
    for name in arrays:
        if arrays[name].dtype.kind == "f":
            arrays[name] = arrays[name] * 0 + value


WEIGHTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "weights that are no numbers": partial(_spoil, float("nan")),
    "weights that are infinite": partial(_spoil, float("inf")),
    "a weight matrix turned": lambda arrays: arrays.update({_matrix(arrays): arrays[_matrix(arrays)].T}),
    "a weight matrix of one row": lambda arrays: arrays.update({_matrix(arrays): arrays[_matrix(arrays)][:1]}),
    "a weight matrix missing": lambda arrays: arrays.pop(_matrix(arrays)),
    "no weights": lambda arrays: arrays.clear(),
}


def compressed_cases(seed: int, n_mutations: int) -> Iterator[Case]:
    """Compressed networks with exchanged bytes, and with other headers under a checksum that fits again."""
    put = partial(Case, "compressed file", command=PREDICT_SINGLE, needs=("single",))
    for number in range(n_mutations):
        yield put(f"byte mutation {number}", partial(mutated, seed * 100_003 + number))
    for name, change in HEADERS.items():
        yield put(f"refitted: {name}", partial(refitted, change))
    for name, content in {
        "empty": b"",
        "magic alone": b"\x89DADSPn\n",
        "text": b"a network\n",
        "40 MB": bytes(40_000_000),
    }.items():
        yield put(name, partial(network_is, lambda good, content=content: content))
    yield put(
        "absent", lambda folder: (networks(folder), [path.unlink() for path in folder.glob("single/drugs/*/*/model/*.dnn")])
    )
    yield put("an addition", partial(network_is, lambda good: good + b"\0"))
    yield put("cut in half", partial(network_is, lambda good: good[: len(good) // 2]))


def networks(folder: Path) -> list[Path]:
    """The compressed networks of the run; beside them, a table of pairs for them."""
    from dadsp.files import read_json

    models = sorted(folder.glob("single/drugs/*/repeat_0/model"))
    import pyarrow.parquet as pq

    rows = []
    for model in models:
        lines = pq.read_table(model.parent / "predictions.parquet").column("cell_id").to_pylist()[:3]
        rows += [f"{line},{read_json(model / 'model.json')['drug_id']}" for line in lines]
    (folder / "pairs.csv").write_text("cell_id,drug_id\n" + "\n".join(rows) + "\n")
    return [model / "network.dnn" for model in models]


def network_is(change: Callable[[bytes], bytes], folder: Path) -> None:
    """Every compressed network with other content."""
    for path in networks(folder):
        path.write_bytes(change(path.read_bytes()))


def mutated(seed: int, folder: Path) -> None:
    """One to four bytes exchanged, at random places."""

    def change(good: bytes) -> bytes:
        draw, bad = random.Random(seed), bytearray(good)
        for place in draw.sample(range(len(bad)), draw.randint(1, 4)):
            bad[place] ^= draw.randint(1, 255)
        return bytes(bad)

    network_is(change, folder)


def refitted(change: Callable[[bytearray], None], folder: Path) -> None:
    """The body changed, and the checksum that belongs to it."""

    def again(good: bytes) -> bytes:
        body = bytearray(good[26:])
        change(body)
        return good[:10] + hashlib.blake2b(bytes(body), digest_size=16).digest() + bytes(body)

    network_is(again, folder)


def _set(layout: str, place: int, value: float) -> Callable[[bytearray], None]:
    return lambda body: struct.pack_into(layout, body, place, value)


# After docs/single_drug.md: inputs u32, hidden layers u8, gap bits u8, entries u32, mean f64, sd f64, width u32, …
HEADERS: dict[str, Callable[[bytearray], None]] = {
    **{f"{n} inputs": _set("<I", 0, n) for n in (0, 1, 2**20, 2**32 - 1)},
    **{f"{n} hidden layers": _set("<B", 4, n) for n in (0, 1, 3, 255)},
    **{f"{n} gap bits": _set("<B", 5, n) for n in (0, 9, 255)},
    **{f"{n} entries": _set("<I", 6, n) for n in (0, 1, 2**31, 2**32 - 1)},
    **{f"mean {x}": _set("<d", 10, x) for x in (float("nan"), float("inf"))},
    **{f"sd {x}": _set("<d", 18, x) for x in (0.0, -1.0, float("nan"), float("inf"))},
    **{f"width {n}": _set("<I", 26, n) for n in (0, 1, 2**20, 2**32 - 1)},
    **{f"activation {n}": _set("<B", 30, n) for n in (2, 255)},
    "no body": lambda body: body.clear(),
}


def single_run_cases() -> Iterator[Case]:
    """The other files of a single-drug run."""
    for file in ("model.json", "scale.safetensors", "network.safetensors"):
        for name, change in DAMAGES.items():
            command = tuple(part for part in PREDICT_SINGLE if part != "form=compressed")
            yield Case("run folder", f"single-drug: {file} {name}", partial(_each, file, change), command, ("single",))


def _each(file: str, change: Callable[[bytes], bytes], folder: Path) -> None:
    for network in networks(folder):
        path = network.with_name(file)
        path.write_bytes(change(path.read_bytes()))


def no_folder_cases() -> Iterator[Case]:
    """Folders that are no runs."""
    for verb, command in VERBS.items():
        put = partial(Case, "run folder", command=command, needs=TRAINED)
        yield put(f"{verb}: no such folder", lambda folder: shutil.rmtree(folder / "run"))
        yield put(f"{verb}: an empty folder", lambda folder: (shutil.rmtree(folder / "run"), (folder / "run").mkdir()))
        yield put(
            f"{verb}: a file for a folder", lambda folder: (shutil.rmtree(folder / "run"), (folder / "run").write_text(""))
        )
