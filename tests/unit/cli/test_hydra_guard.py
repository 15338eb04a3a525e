"""What a configuration may say to Hydra itself."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from dadsp.configuration.guard import LOG_FILE, check_hydra, check_options
from dadsp.errors import ConfigError

PLAIN: dict[str, Any] = {
    "callbacks": {},
    "launcher": {"_target_": "hydra_plugins.any.Launcher", "n_jobs": 2},
    "sweeper": {"_target_": "hydra_plugins.any.Sweeper", "params": {"seed": "0,1"}},
    "job_logging": {
        "version": 1,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": LOG_FILE}},
        "root": {"level": "DEBUG", "handlers": ["file"]},
    },
    "hydra_logging": {"handlers": {"screen": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}}},
    "job": {"env_set": {"OMP_NUM_THREADS": 1}},
}


def test_what_dadsp_ships_passes() -> None:
    check_hydra(OmegaConf.create(PLAIN))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("callbacks.x", {"_target_": "os.mkdir"}),
        ("launcher.deep", {"list": [{"_target_": "os.mkdir"}]}),
        ("launcher.deep", "${sweeper.planted}"),
        ("sweeper.params._target_", "os.mkdir"),
        ("job_logging.handlers.x", {"class": "os.mkdir"}),
        ("job_logging.handlers.x", {"()": "os.mkdir"}),
        ("job_logging.formatters.x", {"()": "os.mkdir"}),
        ("job_logging.filters.x", {"()": "ext://os.mkdir"}),
        ("job_logging.handlers.file.filename", "ext://os.mkdir"),
        ("job_logging.handlers.file.filename", "${planted}"),
        ("job_logging.handlers", "${planted}"),
        ("hydra_logging.handlers.screen.stream", "ext://os.environ"),
        ("hydra_logging.handlers.screen.stream", "cfg://handlers.x"),
        ("hydra_logging.root", ["ext://os.environ"]),
        ("job.env_set.LD_PRELOAD", "x.so"),
        ("job.env_set.PYTHONPATH", "x"),
    ],
)
def test_what_would_run_code_is_refused(key: str, value: Any) -> None:
    config = OmegaConf.create(PLAIN)
    OmegaConf.update(config, "sweeper.planted", {"_target_": "os.mkdir"} if value == "${sweeper.planted}" else 1)
    OmegaConf.update(config, key, value, merge=False)
    with pytest.raises(ConfigError, match=r"^hydra\."):
        check_hydra(config)


def test_options_that_are_of_use_pass() -> None:
    check_options(["--config-dir", "conf", "-m", "seed=1", "--cfg", "job"])
    with pytest.raises(ConfigError, match="pickle"):
        check_options(["--experimental", "x.pickle"])  # argparse takes a beginning for the whole
