"""The tutorial, followed from an empty folder: every command ends well, and what the page promises is there."""

import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from dadsp.cli.main import main
from tests.support.drawing import drawn

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # one test carries the set-up, all commands of the page


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """The folder in which all commands of the page ran, and each block with what it printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE, flags=re.M | re.S)
    with pytest.MonkeyPatch.context() as patch, drawn():
        patch.chdir(folder)
        for name in ("DADSP_REAL_DATA", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        return folder, [(block, run(block)) for block in blocks]


def run(block: str) -> str:
    """Runs a block as a shell would and gives what it printed; ``dadsp`` runs here, to be imported once for all blocks."""
    printed = ""
    # A command of dadsp with its continued lines, or all lines up to the next.
    for part in re.findall(r"^dadsp (?:.*\\\n)*.*\n|(?:^(?!dadsp ).*\n)+", block, flags=re.M):
        if part.startswith("dadsp "):
            assert main(shlex.split(part.replace("\\\n", " "))[1:]) == 0, part
        else:
            command = ["bash", "-euo", "pipefail", "-c", part]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{part}\n{done.stderr}"
            printed += done.stdout
    return printed


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
