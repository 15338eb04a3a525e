"""Reading the runs of an MLflow experiment."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dadsp.errors import LoadError, nearest
from dadsp.tracking import PARENT
from dadsp.tracking_store import opened, sqlite_path, store_address

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class Downloaded(NamedTuple):
    """Runs of an experiment.

    Attributes:
        folders: Of the finished ones, oldest first.
        unfinished: What the others are called, and their state.
    """

    folders: list[Path]
    unfinished: list[str]


def download_runs(
    experiment: str, uri: str | None, folder: Path, files: Sequence[str], into: Path, optional: Sequence[str] = ()
) -> Downloaded:
    """Copies files of an experiment's finished runs, for reading; runs that lack one (parents of sweeps) are passed over.

    Args:
        experiment: Its name.
        uri: Tracking store, as ``RunTracker.start`` takes it.
        folder: The folder that holds all runs; used by the embedded store only.
        files: Names of artifacts.
        into: Where to copy, one folder for each run.
        optional: Names of artifacts that a run may lack.

    Raises:
        LoadError: There is no such store or experiment.
        DadspError: The store cannot be reached.
    """
    store = store_address(uri, folder)
    path = sqlite_path(store)
    if path is not None and not path.exists():
        raise LoadError(f"There is no tracking store {path}, hence no experiment '{experiment}'. Name the runs' folder.")
    with opened(store) as client:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = [known.name for known in client.search_experiments()]
            raise LoadError(f"The tracking store holds no experiment '{experiment}'. {nearest(experiment, names)}")
        runs = list(_runs_of(client, found.experiment_id))
        parents = {run.data.tags.get(PARENT) for run in runs}
        names = [f"{run.info.run_name} ({run.info.status})" for run in runs if run.info.run_id not in parents]
        copied: list[Path] = []
        unfinished = [name for name in names if not name.endswith("(FINISHED)")]
        for run in runs:
            if run.info.status != "FINISHED":
                continue
            run_id = run.info.run_id
            kept = {artifact.path for artifact in client.list_artifacts(run_id)}
            if set(files) <= kept:
                copied.append(into / run_id)
                copied[-1].mkdir()
                for name in [*files, *kept.intersection(optional)]:
                    client.download_artifacts(run_id, name, str(copied[-1]))
        return Downloaded(copied, unfinished)


def _runs_of(client: "MlflowClient", experiment_id: str) -> Iterator["Run"]:
    """All runs of an experiment, oldest first."""
    token = None
    while True:
        page = client.search_runs([experiment_id], order_by=["start_time ASC"], page_token=token)
        yield from page
        token = page.token
        if not token:
            return
