"""The notebook of the documentation runs from top to bottom, and its answers are what they claim to be."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.documents import ROOT

NOTEBOOK = ROOT / "docs" / "from_frames_to_ranked_drugs.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_notebook_goes_from_data_frames_to_a_ranked_list(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    check = (
        "import json; print(json.dumps([ranked['ic50_um'].tolist(), sorted(ranked['drug_id']), sorted(every['drug_id'])]))"
    )
    notebook.cells.append(nbformat.v4.new_code_cell(check))  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    ic50, ranked, every = json.loads(notebook.cells[-1]["outputs"][0]["text"])
    assert ranked == every  # every drug once
    assert ic50 == sorted(ic50)
    assert ic50[0] < ic50[-1] / 2


def test_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
