"""The built wheel: its content, and a run from a virtual environment that knows nothing of the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from dadsp.schema import OPTIONAL_COLUMNS, PREDICTION_COLUMNS

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


def run(command: list[str | Path], folder: Path, **environment: str) -> None:
    """Runs ``command`` in ``folder`` and fails with the end of what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "MLFLOW_"))}
    done = subprocess.run(
        command,
        cwd=folder,
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], folder)
    (built,) = folder.glob("dadsp-*.whl")
    return built


def test_wheel_holds_the_whole_configuration_inside_the_package(wheel: Path) -> None:
    in_checkout = {f"dadsp/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    with zipfile.ZipFile(wheel) as content:
        shipped = {name for name in content.namelist() if name.startswith("dadsp/conf/")}
    assert shipped == in_checkout != set()


def test_wheel_holds_every_module_and_nothing_beside_the_package_but_its_plugins(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
    in_checkout = (path.relative_to(ROOT).as_posix() for path in (ROOT / "dadsp").rglob("*.py"))
    modules = {name.removeprefix("dadsp/cli/plugins/") for name in in_checkout}  # Hydra looks beside the package
    assert modules <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"dadsp", "hydra_plugins"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_smoke_run_works_from_an_installed_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment, workplace = tmp_path / "venv", tmp_path / "workplace"
    workplace.mkdir()
    python = environment / "bin/python"
    run([sys.executable, "-m", "venv", environment], tmp_path)
    # The libraries are borrowed, the package is not: .pth files in a borrowed folder, such as a checkout's, are not read.
    # That the wheel asks for all it imports is tests/unit/test_imports.py's claim.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], tmp_path)
    run([python, "-c", f"import dadsp; assert dadsp.__file__.startswith({str(packages)!r}), dadsp.__file__"], workplace)

    run([environment / "bin/dadsp", "train", "experiment=smoke"], workplace)

    (metrics,) = workplace.glob("runs/*/metrics.json")
    assert json.loads(metrics.read_text(encoding="utf-8"))
    predictions = pd.read_parquet(metrics.parent / "predictions.parquet")
    assert list(predictions.columns) == [*PREDICTION_COLUMNS, *OPTIONAL_COLUMNS]
    assert len(predictions) > 0
