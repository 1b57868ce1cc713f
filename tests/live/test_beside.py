"""The page in a process of its own, and what is left of it: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

import pytest

from triptych.errors import TriptychError
from triptych.live import beside
from triptych.live.beside import Page
from triptych.processes import Child, child
from triptych.runs import Run


def below(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "runs" / "a", {"method": {"name": "mine"}})
    run.log({"step": 1, "epoch": 1.0, "train/loss": 2.0})
    return run


def test_it_serves_until_it_is_closed_and_leaves_nothing(run: Run, tmp_path: Path):
    before = below(tmp_path)
    with Page([run.path.parent]) as page:
        assert b"<h1>" in urllib.request.urlopen(page.address).read()
        assert b'"a"' in urllib.request.urlopen(f"{page.address}state").read()
        process = page._process
        assert process.poll() is None
    assert process.returncode == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(page.address)
    assert below(tmp_path) == before


def test_why_it_could_not_begin_is_one_sentence(tmp_path: Path):
    with pytest.raises(TriptychError, match=r"^there is no folder '.*nothing'; name a run"):
        Page([tmp_path / "nothing"])


def test_what_a_child_that_died_said_last_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "triptych").mkdir()
    (tmp_path / "triptych" / "__init__.py").write_text("raise ImportError('a part is missing')")
    monkeypatch.setattr(beside, "same_packages", lambda: {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(TriptychError, match=r"^ImportError: a part is missing$"):
        Page([run.path])


def test_it_has_the_packages_of_who_began_it(run: Run, monkeypatch: pytest.MonkeyPatch):
    """A program that put them on its path itself."""
    given: list[dict[str, str]] = []

    def begin(words: list[str], out: int, errors: IO[bytes], environment: dict[str, str]) -> Child:
        given.append(environment)
        return child(words, out, errors, environment)

    monkeypatch.syspath_prepend("/somewhere")
    monkeypatch.setattr(beside, "child", begin)
    with Page([run.path]):
        pass
    assert "/somewhere" in given[0]["PYTHONPATH"].split(os.pathsep)


def test_it_ends_with_who_began_it(run: Run):
    """Killed, so that nobody could close anything."""
    program = (
        "import sys, time; from triptych.live.beside import Page; page = Page(sys.argv[1:]);"
        "print(page._process.pid, page.address, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(run.path)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    number, address = owner.stdout.readline().split()
    assert urllib.request.urlopen(address).status == 200
    owner.kill()
    owner.wait()
    # Its output is this one's pipe too: it ends when the process does.
    owner.stdout.close()
    for _ in range(200):
        if not Path(f"/proc/{number}").exists() or b"Z" in state(int(number)):
            break
        signal.sigtimedwait([], 0.05)
    else:
        pytest.fail("the page outlives who began it")


def state(number: int) -> bytes:
    try:
        return Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except FileNotFoundError:
        return b"Z"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_command(run: Run, number: int):
    command = subprocess.Popen(
        [sys.executable, "-m", "triptych", "watch", str(run.path), "--open", "false"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DISPLAY": ""},
    )
    assert command.stdout is not None
    word, address = command.stdout.readline().split()
    assert word == "page" and urllib.request.urlopen(address).status == 200
    command.send_signal(number)
    out, errors = command.communicate(timeout=30)
    # The sentence comes after the address, by which time it may be over.
    assert (command.returncode, out) == (0, "") and errors in ("Ctrl-C ends it\n", "")
