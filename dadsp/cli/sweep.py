"""How a sweep ends: every job ran, those that failed are named, its own tracking run is closed."""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType

from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dadsp.credentials import tree_without_credentials, without_credentials
from dadsp.errors import ConfigError, DadspError
from dadsp.tracking import RunTracker

log = logging.getLogger(__name__)


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
