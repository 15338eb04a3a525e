"""Jobs of a sweep on Ray (``hydra/launcher=ray``), in the only namespace from which Hydra takes plugins.

Stands in for hydra-ray-launcher, whose requirements exclude those of current joblib. Ray is imported when it is asked for.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

log = logging.getLogger(__name__)


class DadspRayLauncher(Launcher):
    """Runs each job as a Ray task.

    Args:
        init: Arguments of ``ray.init``.
        remote: Options of each task.
    """

    def __init__(self, init: DictConfig, remote: DictConfig) -> None:
        self.init: Any = OmegaConf.to_container(init, resolve=True)
        self.remote: Any = OmegaConf.to_container(remote, resolve=True)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Hydra's hook.

        Raises:
            ImportError: Ray is not installed.
        """
        import ray  # noqa: F401

        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """What the jobs returned, in their order; a job whose process was lost returns "failed"."""
        import ray

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        Path(self.config.hydra.sweep.dir).mkdir(parents=True, exist_ok=True)
        with ray.init(**self.init):
            task = ray.remote(**self.remote)(_run)
            shared = (self.hydra_context, self.config, self.task_function, Singleton.get_state())
            tasks = []
            for number, overrides in enumerate(job_overrides, start=initial_job_idx):
                log.info("\t#%d : %s", number, " ".join(filter_overrides(overrides)))
                tasks.append(task.remote(*shared, number, list(overrides)))
            return [_result(task, overrides) for task, overrides in zip(tasks, job_overrides, strict=True)]


def _run(
    context: HydraContext, config: DictConfig, task: TaskFunction, state: Any, number: int, overrides: list[str]
) -> JobReturn:
    """One job, in Ray's worker process."""
    setup_globals()
    Singleton.set_state(state)
    job = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job):
        job.hydra.job.id, job.hydra.job.num = f"{job.hydra.job.name}_{number}", number
    HydraConfig.instance().set_config(job)
    return run_job(
        hydra_context=context,
        task_function=task,
        config=job,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _result(task: Any, overrides: Sequence[str]) -> JobReturn:
    import ray

    try:
        done: JobReturn = ray.get(task)
    except ray.exceptions.RayError as error:
        log.error("failed: %s: %s", " ".join(overrides), error)
        done = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED, _return_value="failed")
    return done
