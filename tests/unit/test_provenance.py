"""Versions, commit and hash of the code, against git's own word and small packages written here."""

import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dadsp.provenance import code_hash, environment_tags, git_sha


def test_environment_tags_name_versions_instructions_and_commit_and_nothing_else() -> None:
    tags = environment_tags()
    assert tags["version.numpy"] == np.__version__
    assert tags["version.pandas"] == pd.__version__
    packages = {"dadsp", "torch", "pytorch-lightning", "rdkit", "numpy", "pandas", "scikit-learn", "python"}
    assert tags["cpu.instructions"] == torch.backends.cpu.get_cpu_capability()
    assert set(tags) <= {"git.sha", "code_hash", "cpu.instructions"} | {f"version.{name}" for name in packages}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "dadsp").mkdir()
    (tmp_path / "dadsp/a.py").write_text("x = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_commit_of_a_clean_checkout_is_its_full_hash(checkout: Path) -> None:
    assert git_sha(checkout) == git(checkout, "log", "-1", "--format=%H")


@pytest.mark.parametrize("touched", ["dadsp/a.py", "dadsp/new_model.py", "constraints.txt"])
def test_commit_of_changed_code_is_marked_dirty(checkout: Path, touched: str) -> None:
    (checkout / touched).write_text("x = 2\n")
    assert git_sha(checkout) == git(checkout, "log", "-1", "--format=%H") + "-dirty"


def test_results_beside_the_code_do_not_make_a_commit_dirty(checkout: Path) -> None:
    (checkout / "results.csv").write_text("rmse\n0.7\n")
    assert git_sha(checkout) == git(checkout, "log", "-1", "--format=%H")


def test_package_inside_another_checkout_has_no_commit(checkout: Path) -> None:
    inside = checkout / "venv/lib/site-packages"
    inside.mkdir(parents=True)
    assert git_sha(inside) is None


def test_code_hash_follows_what_the_code_does_and_not_how_it_is_explained(tmp_path: Path) -> None:
    source = 'def potency(ic50):\n    """Of one pair."""\n    return -ic50  # log scale\n'
    variants = {
        "same": source,
        "explained": source.replace("Of one pair.", "Of a pair.").replace("  # log scale", ""),
        "changed": source.replace("-ic50", "ic50"),
        "renamed": source,
    }
    for name, text in variants.items():
        (tmp_path / name / "models").mkdir(parents=True)
        (tmp_path / name / "models" / ("other.py" if name == "renamed" else "module.py")).write_text(text)
    found = {name: code_hash(tmp_path / name) for name in variants}
    assert found["same"] == found["explained"]
    assert len(set(found.values())) == 3


@pytest.mark.parametrize(
    ("path", "counts"), [("nets/a.py", True), ("seeding.py", True), ("report/a.py", False), ("api.py", False)]
)
def test_code_hash_is_of_what_makes_numbers_and_of_nothing_else(path: str, counts: bool, tmp_path: Path) -> None:
    hashes = []
    for name in ("before", "after"):
        place = tmp_path / name / path
        place.parent.mkdir(parents=True)
        place.write_text(f"x = {name!r}\n")
        hashes.append(code_hash(tmp_path / name))
    assert (hashes[0] != hashes[1]) == counts
