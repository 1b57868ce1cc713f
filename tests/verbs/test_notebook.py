"""The notebook of the documentation, executed in a kernel from its first cell to its last."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"

EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=120).execute()
nbformat.write(notebook, "executed.ipynb")
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The cells with what they put out, of a kernel in an empty folder."""
    folder = tmp_path_factory.mktemp("notebook")
    # In a process of its own: the client's threads and sockets are not this test's.
    command = [sys.executable, "-c", EXECUTE, str(NOTEBOOK)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "report.html").stat().st_size > 100_000
    cells: list[dict[str, Any]] = json.loads((folder / "executed.ipynb").read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def shown(cell: dict[str, Any]) -> dict[str, Any]:
    """What the last line of a cell gives."""
    (found,) = [out for out in cell["outputs"] if out["output_type"] == "execute_result"]
    data: dict[str, Any] = found["data"]
    return data


def test_nothing_is_said_on_standard_error(executed):
    assert [
        out for cell in executed for out in cell["outputs"] if out["output_type"] == "stream"
    ] == []


@pytest.mark.parametrize("name", ["data", "run", "results", "study"])
def test_what_is_named_last_shows_its_card(executed, name):
    (cell,) = [cell for cell in executed if "".join(cell["source"]).splitlines()[-1] == name]
    found = shown(cell)
    assert "".join(found["text/html"]).startswith('<div class="triptych-card">')
    assert not "".join(found["text/plain"]).startswith("<triptych.")


def test_a_bar_is_one_output_that_is_empty_when_the_work_is_done(executed):
    """The kernel's own display, without ipywidgets."""
    (cell,) = [cell for cell in executed if "tt.train(" in "".join(cell["source"])]
    bars = [out for out in cell["outputs"] if out["output_type"] == "display_data"]
    assert bars
    assert all("".join(bar["data"]["text/html"]) == "" for bar in bars)


def test_frames_are_pandas_own(executed):
    (cell,) = [cell for cell in executed if "".join(cell["source"]).startswith("study.to_frame")]
    assert "dataframe" in "".join(shown(cell)["text/html"])


def test_the_notebook_is_kept_without_what_it_put_out():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
