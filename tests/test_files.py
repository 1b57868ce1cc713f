"""What a killed process left half-written goes with the next one that works there, and nothing else does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from triptych import files
from triptych.files import staged, sweep

WRITE = """
import sys, time
from pathlib import Path
from triptych.files import staged
with staged(Path(sys.argv[1])) as temporary:
    if sys.argv[2] == "folder":
        temporary.mkdir()
        (temporary / "inside").write_text("half")
    else:
        temporary.write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("what", ["file", "folder"])
def test_of_a_living_process_it_stays_and_of_a_dead_one_it_goes(tmp_path: Path, what: str):
    (tmp_path / ".mine.1234.deadbeef").write_text("of somebody else")
    words = [sys.executable, "-c", WRITE, tmp_path / "whole", what]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    sweep(tmp_path)
    assert len(names(tmp_path)) == 2
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(names(tmp_path)) == 2
    sweep(tmp_path)
    assert names(tmp_path) == [".mine.1234.deadbeef"]


def test_what_this_process_writes_stays(tmp_path: Path):
    with staged(tmp_path / "a") as temporary:
        temporary.write_text("half")
        sweep(tmp_path)
        assert temporary.exists()
    assert names(tmp_path) == ["a"]


def test_of_a_process_that_had_the_number_of_this_one_it_goes(tmp_path: Path):
    """The first process of a container has the same number every time."""
    left = tmp_path / f".a.triptych-{files._here()}-{os.getpid()}-00000000"
    left.write_text("half")
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_of_another_machine_it_stays_for_a_day_without_a_write(tmp_path: Path):
    left = tmp_path / ".a.triptych-ffffffff-1-00000000"
    left.mkdir()
    (left / "inside").write_text("half")
    sweep(tmp_path)
    before = time.time() - 25 * 3600
    os.utime(left, (before, before))
    sweep(tmp_path)
    assert left.exists()
    os.utime(left / "inside", (before, before))
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_nothing_is_removed_behind_a_link(tmp_path: Path):
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    for folder in (elsewhere, here):
        folder.mkdir()
    name = f".a.triptych-{files._here()}-{2**22 + 1}-00000000"
    (elsewhere / name).mkdir()
    (here / "link").symlink_to(elsewhere)
    (here / name).symlink_to(elsewhere)
    sweep(here, here / "link")
    assert names(here) == ["link"]
    assert names(elsewhere) == [name]
