"""The sweeper of ``dadsp train -m``, in the only namespace from which Hydra takes plugins; see dadsp.cli.sweep."""

import os
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class DadspSweeper(BasicSweeper):
    """Hydra's own sweeper, which runs every job, whatever became of those before it, and names the ones that failed."""

    def setup(self, **given: Any) -> None:
        """Prepares the launcher.

        Raises:
            ConfigError: It is not installed.
        """
        from dadsp.cli.sweep import explained_launcher

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a sweep reports to nobody but its own store
        with explained_launcher(given["config"]):
            super().setup(**given)

    def sweep(self, arguments: list[str]) -> Any:
        """What the jobs returned.

        Raises:
            DadspError: Jobs failed, or the launcher gave up.
        """
        from dadsp.cli.sweep import lean, run_sweep

        assert self.config is not None  # Hydra has called setup
        config, self.config = self.config, lean(self.config)  # what Hydra writes to multirun.yaml; the launcher has its own
        return run_sweep(config, lambda: super(DadspSweeper, self).sweep(arguments))
