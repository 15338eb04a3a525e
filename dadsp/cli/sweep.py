"""Which job of a sweep is finished, which goes on, and how a sweep ends.

The folder of a job is named by its settings, so that the same job always finds it. ``identity.json`` in it adds what else
decides the result: data and code.
"""

import hashlib
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dadsp.cli.run_folder import IDENTITY, finished
from dadsp.credentials import tree_without_credentials, without_credentials
from dadsp.errors import ConfigError, DadspError
from dadsp.files import read_json, write_json
from dadsp.provenance import code_hash
from dadsp.schema import Study
from dadsp.tracking import RunTracker

log = logging.getLogger(__name__)

Ending = Literal["trained", "skipped", "failed"]

SUPERSEDED = "superseded"  # folder beside the sweeps, of jobs made of other data or code
# Where things lie and how fast they go; the content of the data is hashed by itself.
NOT_DECISIVE = ("hydra", "runs", "sweep", "tracking", "resume", "plugins")
NOT_DECISIVE_INSIDE = ("data.root", "trainer.threads", "trainer.checkpoint_every_s", "tune.trials", "tune.workers")


def settings_hash(config: DictConfig) -> str:
    """Hash of all settings that decide a result, 12 hexadecimal digits."""
    content: Any = OmegaConf.to_container(config)
    settings = OmegaConf.create({key: value for key, value in content.items() if key not in NOT_DECISIVE})
    for key in NOT_DECISIVE_INSIDE:  # before interpolations copy them to other places
        OmegaConf.update(settings, key, None)
    text = json.dumps(OmegaConf.to_container(settings, resolve=True), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _resolver(*, _root_: DictConfig) -> str:
    return settings_hash(_root_)


OmegaConf.register_new_resolver("settings_hash", _resolver, replace=True)


def identity(config: DictConfig, study: Study) -> dict[str, str]:
    """All that decides a result: settings, data, code. Two runs of one identity differ in nothing that matters."""
    return {"settings": settings_hash(config), "data_hash": study.content_hash, "code_hash": code_hash()}


def claim(folder: Path, made_of: dict[str, str]) -> bool:
    """Takes ``folder`` for what is made of these settings, data and code.

    What stands there and was made of others is moved aside, so that results of two makings never mix.

    Returns:
        Whether the folder holds the finished results already.
    """
    known = folder / IDENTITY
    if known.exists():
        earlier = read_json(known)
        differing = [key.removesuffix("_hash") for key in made_of if earlier.get(key) != made_of[key]]
        if differing:
            aside = _move_aside(folder)
            print(f"{folder.name}: made of other {' and '.join(differing)}; moved to {aside}", file=sys.stderr, flush=True)
    if finished(folder):
        print(f"{folder.name}: finished before with the same settings, data and code; skipped", file=sys.stderr, flush=True)
        return True
    write_json(known, made_of)
    return False


def _move_aside(folder: Path) -> Path:
    """Moves the folder to ``SUPERSEDED``, beside the folder that holds it, and leaves an empty one in its place."""
    shelf = folder.parent.parent / SUPERSEDED / folder.parent.name
    shelf.mkdir(parents=True, exist_ok=True)
    aside = shelf / f"{folder.name}.{sum(1 for _ in shelf.glob(f'{folder.name}.*')) + 1}"
    folder.rename(aside)
    folder.mkdir()
    return aside


def lean(config: DictConfig) -> DictConfig:
    """The same configuration, or a copy without credentials where it holds some."""
    content = OmegaConf.to_container(config)
    without = tree_without_credentials(content)
    return config if without == content else OmegaConf.create(without)


def run_sweep(config: DictConfig, launch: Callable[[], list[Sequence[JobReturn]]]) -> list[Sequence[JobReturn]]:
    """What the jobs returned, after a line on how they ended; the sweep's own tracking run is then closed.

    Raises:
        DadspError: Jobs failed, or the launcher gave up.
    """
    with ExitStack() as stack:
        stack.push(partial(_close_tracking, config))
        try:
            returns = launch()
        except (DadspError, HydraException, OmegaConfBaseException, OSError):
            raise
        except Exception as error:  # a worker was killed, a cluster went away: every launcher has its own classes
            raise DadspError(
                f"The launcher gave up ({type(error).__name__}: {without_credentials(str(error))}). "
                "Run the same command again: finished jobs are skipped, the others go on."
            ) from error
        _tell(Path(config.hydra.sweep.dir), [job for batch in returns for job in batch])
    return returns


def _tell(folder: Path, jobs: list[JobReturn]) -> None:
    endings = Counter(job.return_value for job in jobs)
    print(
        f"sweep {folder}: {len(jobs)} jobs, {endings['trained']} trained, {endings['skipped']} finished before, "
        f"{endings['failed']} failed",
        file=sys.stderr,
        flush=True,
    )
    failed = [" ".join(job.overrides or ["(no overrides)"]) for job in jobs if job.return_value == "failed"]
    if failed:
        named = without_credentials("; ".join(failed))
        raise DadspError(
            f"{len(failed)} of {len(jobs)} jobs failed, for the reasons given above: {named}. "
            "Mend the cause and run the same command again: finished jobs are skipped."
        )


def _close_tracking(
    config: DictConfig, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
) -> None:
    folder, tracking = Path(config.hydra.sweep.dir), config.tracking
    if not tracking.enabled or not (folder / "sweep.json").exists():
        return
    try:
        run = RunTracker.of_sweep(tracking.experiment, config.sweep, tracking.uri, Path(config.runs), folder)
    except DadspError as problem:  # the run folders hold everything
        log.warning("The tracking run of the sweep stays open: %s", problem)
    else:
        run.__exit__(kind, error, trace)


@contextmanager
def explained_launcher(config: DictConfig) -> Iterator[None]:
    """Says in one line which launcher cannot be used."""
    try:
        yield
    except (ImportError, RuntimeError) as error:
        raise ConfigError(
            f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']} cannot be used ({error}). "
            "Install the extra: pip install 'dadsp[launchers]'."
        ) from error
