"""The tutorial, followed from an empty folder: every command ends well, and what the page promises is there."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from tests.support.documents import ROOT, bash_blocks, run_bash_block
from tests.support.drawing import drawn

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # one test carries the set-up, all commands of the page


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """The folder in which all commands of the page ran, and each block with what it printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch, drawn():
        patch.chdir(folder)
        for name in ("DADSP_REAL_DATA", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        return folder, [(block, run_bash_block(block)) for block in bash_blocks("docs/tutorial.md")]


def test_every_file_the_tutorial_names_is_there(followed: tuple[Path, list[tuple[str, str]]]) -> None:
    prose = re.sub(r"^```.*?^```$", "", PAGE, flags=re.M | re.S)
    named = set(re.findall(r"`([\w/]+\.(?:csv|json|png|html|parquet|safetensors))`", prose))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (followed[0] / name).is_file()] == []


def test_figures_are_images_of_more_than_one_colour(followed: tuple[Path, list[tuple[str, str]]]) -> None:
    figures = list(followed[0].rglob("*.png"))
    assert {path.parent.name for path in figures} == {"figures", "target", "embed", "explained"}
    for path in figures:
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 200, path
            colours = image.convert("RGB").getcolors(maxcolors=2**24)
        assert colours is not None
        assert len(colours) > 10, path


def test_what_the_tutorial_shows_is_what_the_commands_print(followed: tuple[Path, list[tuple[str, str]]]) -> None:
    blocks = re.findall(r"^```(bash|text)\n(.*?)^```$", PAGE, flags=re.M | re.S)
    printed = dict(followed[1])
    shown = [(before, text) for (_, before), (kind, text) in pairwise(blocks) if kind == "text"]
    assert shown
    for command, text in shown:
        assert text in printed[command]


def test_tutorial_uses_every_verb_of_the_way_to_figures(followed: tuple[Path, list[tuple[str, str]]]) -> None:
    used = {line.split()[1] for block, _ in followed[1] for line in block.splitlines() if line.startswith("dadsp ")}
    assert used == {"data", "train", "compare", "predict", "impute", "embed", "explain"}
