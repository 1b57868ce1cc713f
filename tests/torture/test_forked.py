"""What `torture/forked.py` says of a fork: how it ended, what it said and took, whether it hangs; and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from forked import command, end_all, fork

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")

SLEEPS = [sys.executable, "-c", "import time; time.sleep(100)"]


def test_an_exit_code_and_all_that_was_said():
    def says() -> int:
        print("a " * 100_000)
        os.write(2, b"last")
        sys.exit(3)

    ended = fork(says).wait()
    assert (ended.code, ended.hangs) == (3, False)
    assert "last" in ended.said and len(ended.said) > 200_000


def test_what_breaks_says_where():
    ended = fork(lambda: 1 // 0).wait()
    assert ended.code == 70 and "ZeroDivisionError" in ended.said


def test_a_signal_is_named():
    def ends() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    ended = fork(ends, ["a"]).wait()
    assert ended.code == -signal.SIGTERM
    assert ended.unsound() == "`triptych a` was ended by signal 15"


def test_the_peak_of_memory_is_seen_and_bounded():
    def takes() -> int:
        return len(bytearray(os.urandom(1)) * 300_000_000) % 2

    few = fork(lambda: 0).wait()
    many = fork(takes).wait()
    assert many.code == 0 and many.memory - few.memory > 200_000_000
    bounded = fork(takes, memory=100_000_000).wait()
    assert bounded.code == 70 and "MemoryError" in bounded.said


def test_a_hang_ends_with_all_that_was_begun(tmp_path: Path):
    def hangs() -> int:
        own = subprocess.Popen(SLEEPS, start_new_session=True)
        (tmp_path / "begun").write_text(str(own.pid))
        return own.wait()

    begun = time.monotonic()
    one = fork(hangs)
    while not (tmp_path / "begun").exists() or not (tmp_path / "begun").read_text():
        time.sleep(0.01)
    ended = one.wait(0.1)
    assert ended.hangs and ended.unsound().endswith("hangs: ")
    assert time.monotonic() - begun < 50
    status = Path("/proc", (tmp_path / "begun").read_text(), "status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_whoever_speaks_in_its_place_is_waited_for_where_that_is_asked():
    def leaves() -> int:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1); print('late')"])
        return 0

    assert fork(leaves).wait().said == ""
    ended = fork(leaves).wait(begun=True)
    assert ended.code == 0 and ended.said == "late\n"


def test_what_is_killed_or_ended_is_over():
    killed, left = (fork(lambda: time.sleep(100) or 0) for _ in range(2))
    killed.kill()
    assert killed.wait().code == -signal.SIGKILL
    end_all()
    assert left.code == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(left.process, 0)


def test_a_command_has_its_folder_and_its_variables(tmp_path: Path):
    said = command(
        ["report", "none"], tmp_path, {"COLUMNS": "70"}, lambda: print(Path.cwd())
    ).wait()
    assert said.code == 2 and said.sentence.startswith("triptych: ")
    assert said.said.startswith(f"{tmp_path}\n") and said.unsound() == ""
