"""A model as MLflow keeps it: flavour python_function, with signature and example."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

ALWAYS = ("cell_id", "drug_id", "neg_log10_ic50_um", "ic50_um")  # columns; others need a calibration
MODEL = "model"  # name of a run's logged model


class FinishedModel(NamedTuple):
    """A model as a run hands it to MLflow.

    Attributes:
        write: Writes its files into the folder it is given.
        loader_module: The installed module whose ``_load_pyfunc`` reads them.
        example: Gives a request that it can answer.
        facts: Stand in its metadata and on its page.
        requirements: Packages that it needs beside dadsp, as pip takes them.
    """

    write: Callable[[Path], None]
    loader_module: str
    example: Callable[[], "pd.DataFrame"]
    facts: Mapping[str, object]
    requirements: Sequence[str] = ()


def track_model(
    client: "MlflowClient", experiment_id: str, run_id: str, model: FinishedModel, register: str | None, alias: str | None
) -> None:
    """Leaves one whole model of the run in the store, and a version of it in the registry if asked for.

    What an earlier try left whole is kept; what it left half-made is deleted.
    """
    logged = _whole_model(client, experiment_id, run_id) or _upload(client, experiment_id, run_id, model)
    _link(client, run_id, logged)
    if register:
        _register(client, run_id, logged, register, alias)


def _whole_model(client: "MlflowClient", experiment_id: str, run_id: str) -> "LoggedModel | None":
    found = client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'")
    whole = [logged for logged in found if str(logged.status) == "READY"]
    for logged in found:
        if logged not in whole[:1]:
            client.delete_logged_model(logged.model_id)
    return whole[0] if whole else None


def _upload(client: "MlflowClient", experiment_id: str, run_id: str, model: FinishedModel) -> "LoggedModel":
    from mlflow.models import Model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it warns of a class of its own
        from mlflow import pyfunc

    tags = {name: str(value) for name, value in model.facts.items()}
    logged = client.create_logged_model(experiment_id, MODEL, run_id, tags)
    with TemporaryDirectory() as scratch:
        data, folder = Path(scratch) / "dadsp", Path(scratch) / "mlflow"
        model.write(data)
        pyfunc.save_model(
            folder,
            loader_module=model.loader_module,
            data_path=str(data),
            mlflow_model=Model(
                artifact_path=logged.artifact_location,
                run_id=run_id,
                model_id=logged.model_id,
                model_uuid=logged.model_id,
                metadata=dict(model.facts),
            ),
            signature=_signature(),
            input_example=model.example(),
            # Named rather than inferred, which would load the model in another process.
            pip_requirements=[*(f"{package}=={version(package)}" for package in ("dadsp", "mlflow")), *model.requirements],
        )
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    return logged


def _link(client: "MlflowClient", run_id: str, logged: "LoggedModel") -> None:
    """Names the model among what the run gave."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run_id).outputs
    if logged.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])


def _register(client: "MlflowClient", run_id: str, logged: "LoggedModel", name: str, alias: str | None) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = [made.version for made in client.search_model_versions(f"run_id = '{run_id}'") if made.name == name]
    if not versions:
        # By its place: an address "models:/…" would be looked up in mlflow's global store.
        made = client.create_model_version(name, logged.artifact_location, run_id, model_id=logged.model_id)
        versions = [made.version]
    if alias:
        client.set_registered_model_alias(name, alias, versions[0])


def _signature() -> "ModelSignature":
    """What a logged model takes and gives: the columns of ``dadsp predict`` (docs/mlflow.md)."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Map

    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("string", "cell_id"),
        ColSpec("string", "drug_id"),
        ColSpec("string", "smiles", required=False),
        ColSpec(Map("double"), "expression", required=False),
    ]
    outputs = {"cell_id": "string", "drug_id": "string", "neg_log10_ic50_um": "float", "ic50_um": "double"}
    outputs |= {"drug_name": "string", **dict.fromkeys(("low_50", "high_50", "low_90", "high_90"), "float")}
    outputs |= {"cell_seen": "boolean", "drug_seen": "boolean", "line_distance": "float", "drug_similarity": "float"}
    outputs |= {"verdict": "string", "rank_in_drug": "long", "percentile_in_drug": "float", "percentile_among": "string"}
    outputs |= {"rank_in_cell": "long", "percentile_in_cell": "float"}
    params = {"domain": "target", "on_unknown": "error"}
    return ModelSignature(
        Schema(inputs),
        Schema([ColSpec(kind, name, required=name in ALWAYS) for name, kind in outputs.items()]),
        ParamSchema([ParamSpec(name, "string", default) for name, default in params.items()]),
    )
