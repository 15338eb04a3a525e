"""Running a verb as an application of Hydra, with errors a user can act on."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from dadsp import plugins
from dadsp.configuration.arguments import readable
from dadsp.configuration.compose import explained, plain, with_plugins
from dadsp.configuration.experiment_keys import with_experiment_named
from dadsp.configuration.folder import conf_folder
from dadsp.configuration.guard import check_options, guarded, replaced
from dadsp.credentials import without_credentials
from dadsp.errors import ConfigError, DadspError

log = logging.getLogger(__name__)


def run_app(verb: str, config_name: str, arguments: list[str], task: Callable[[DictConfig], Any]) -> None:
    """Runs ``task`` as a Hydra application on the composed configuration (once per job under ``-m``).

    Under ``-m`` a job that fails says so and the others go on; ``dadsp.cli.sweep`` names all that failed.

    Raises:
        ConfigError: The configuration cannot be composed.
        DadspError: The task raised it.
    """
    failures: list[DadspError] = []
    if parts := sys.modules.get("dadsp.runs.parts"):  # else no study was read in this process
        parts.forget_studies()  # files may have changed since another application of it
    arguments = with_plugins(config_name, arguments)
    asked_for = plugins.used()

    def job(config: DictConfig) -> Any:
        try:
            plugins.use(*asked_for)  # the processes of a launcher begin without
            plugins.require(plain(config.get("plugins")), "The configuration")
            return task(config)
        except BrokenPipeError:
            raise
        except Exception as error:
            told = explained(error, config_name) if isinstance(error, OmegaConfBaseException) else error
            told = with_experiment_named(told, config)
            if HydraConfig.get().mode is RunMode.MULTIRUN:
                _tell_failed(told)
                return "failed"
            if not isinstance(told, DadspError):
                raise
            failures.append(told)
            return None

    check_options(_options_first(arguments))
    app = hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=config_name)(job)
    with (
        replaced(sys, "argv", [f"dadsp {verb}", *_options_first(readable(arguments))]),
        guarded(),
        _errors_raised(),
        _errors_explained(config_name),
    ):
        app()
    if failures:
        raise failures[0]


@contextmanager
def _errors_raised() -> Iterator[None]:
    """In its block Hydra raises its errors instead of exiting with 1; afterwards the environment is as it was before."""
    before = dict(os.environ)
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _errors_explained(config_name: str) -> Iterator[None]:
    """Errors of Hydra, and of the folders and logs it makes, as errors of dadsp."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise explained(error, config_name) from error
    except ValueError as error:
        if "Config group override must be" not in str(error):
            raise
        # Hydra names no group: a value that is no name of a choice, such as null, stands for one of them.
        raise ConfigError(
            f"A configuration group (e.g. data=, model=, experiment=) names its choice, and here it is given "
            f"{'nothing' if 'NoneType' in str(error) else 'a number or another value'}. Name one, or leave it out."
        ) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise DadspError(f"A file or folder cannot be used: {what}. Choose a writable folder with free space.") from error


def _options_first(arguments: list[str]) -> list[str]:
    """The same arguments as Hydra's parser wants them: overrides in one row."""
    return sorted(arguments, key=lambda part: not part.startswith("-") and ("=" in part or part.startswith("~")))


def _tell_failed(error: Exception) -> None:
    overrides = without_credentials(" ".join(HydraConfig.get().overrides.task))
    if isinstance(error, DadspError):
        print(f"failed: {overrides}: {without_credentials(str(error))}", file=sys.stderr, flush=True)
    else:  # a defect of dadsp: the log of the job keeps the traceback
        log.error("failed: %s", overrides, exc_info=error)
