"""The bars that a person sees: in a terminal, below a notebook's cell, or nowhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from triptych import progress as shown
from triptych.data import DataConfig, load
from triptych.progress import bar, bars, in_notebook, watched


def test_a_load_draws_a_bar_and_a_repeated_one_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path))
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bars() as progress:
        load(DataConfig("mnist-5k"), progress=progress)
    said = capsys.readouterr()
    assert "reading train (images)" in said.err
    assert said.out == ""
    with bars() as progress:
        load(DataConfig("mnist-5k"), progress=progress)
    assert capsys.readouterr().err == ""


def test_what_is_turned_off_draws_nothing(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bars(False) as progress:
        progress("work (steps)", 1, 2)
    assert capsys.readouterr() == ("", "")


TRAINS = """
import sys, triptych as tt
tt.train("vae", method={"hidden": [8]}, batch_size=50, threads=1, steps=30, log_every=1, out=sys.argv[1], progress=%s)
"""


@pytest.mark.parametrize("wanted", [True, False])
def test_a_verb_draws_a_bar_in_a_terminal_unless_it_is_told_not_to(tmp_path, wanted):
    """A terminal of its own: what it shows is read from the other end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", TRAINS % wanted, str(tmp_path / "run")],
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120", "OMP_NUM_THREADS": "1"},
    ) as process:
        os.close(theirs)
        said = b""
        try:
            while part := os.read(ours, 4096):
                said += part
        except OSError:
            pass  # How the end of a terminal's other side reads on Linux.
    os.close(ours)
    assert process.returncode == 0, said
    assert (b"training (steps)" in said) == wanted
    assert (b"/30" in said) == wanted


def test_nobody_watches_a_pipe():
    """As pytest's own capture is one, and a doctest's."""
    assert not in_notebook()
    assert not watched()


class Display:
    """As IPython.display, and keeps what it was given."""

    def __init__(self) -> None:
        self.outputs: list[list[str]] = []

    def HTML(self, text: str) -> str:  # noqa: N802
        return text

    def display(self, html: str, *, display_id: bool) -> Any:
        assert display_id
        self.outputs.append([html])
        return SimpleNamespace(update=self.outputs[-1].append)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Display:
    """A kernel, as far as the bars can tell."""
    display = Display()
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return display


def test_a_notebook_shows_one_output_that_changes_and_is_gone(kernel, monkeypatch, capsys):
    monkeypatch.setattr(shown, "OFTEN", 0.0)
    assert watched()
    with bars() as progress:
        for done in range(1, 4):
            progress("reading <b> (images)", done, 3, "elbo −99")
        progress("another (steps)", 1, 0)
    (output,) = kernel.outputs
    assert len(output) == 5
    assert 'value="1" max="3"' in output[0] and "1 of 3" in output[0]
    assert 'value="3" max="3"' in output[2] and "elbo −99" in output[2]
    assert output[3].count("<progress") == 2
    assert output[-1] == ""
    assert not any("<b>" in html for html in output)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_is_not_sent_more_pictures_than_anybody_sees(kernel):
    with bars() as progress:
        for done in range(1000):
            progress("work (steps)", done, 1000)
    (output,) = kernel.outputs
    assert len(output) < 100
    assert output[-1] == ""


def test_a_kernel_without_work_shows_nothing(kernel):
    with bars():
        pass
    assert kernel.outputs == []


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    assert not in_notebook()


def test_a_bar_says_how_long_it_takes():
    html = bar("work (steps)", 1_000, 4_000, "", 30.0)
    assert "1,000 of 4,000 · 1:30 left" in html
    assert "left" not in bar("work (steps)", 0, 4, "", 30.0)
    assert "2:05:00 left" in bar("work (steps)", 1, 2, "", 7500.0)
