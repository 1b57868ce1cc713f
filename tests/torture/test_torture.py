"""The attacks of torture/ for seconds: the program that tries for hours, with few blows."""

import importlib.util
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from attack import Blow
from specimens import FOREIGN, PICTURES

from triptych.data.picture import FORMATS

TORTURE = Path(__file__).parents[2] / "torture"
FEW = {"kills": 3, "full": 2, "hostile": 3150, "together": 2, "folders": 15, "pages": 2}
"""Blows of each attack, which is seconds; of the hostile files some of every kind."""


@pytest.mark.parametrize("name", FEW)
def test_nothing_is_lost(name: str, tmp_path: Path):
    words = [sys.executable, TORTURE, name, "--count", str(FEW[name]), "--keep", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: " in done.stdout and " 0 lost; seed 0" in done.stdout


def test_every_kind_of_image_that_is_read_is_tried():
    tried = {kind for kind, _ in PICTURES.values()}
    # The other two are written as JPEG and BMP.
    assert set(FORMATS) == tried | {"MPO", "DIB"}
    assert not set(FORMATS) & set(FOREIGN)


@pytest.mark.parametrize("name", ["full", "hostile"])
def test_an_attack_that_is_ended_says_its_figures_and_leaves_nothing(name: str, tmp_path: Path):
    words = [sys.executable, TORTURE, name, "--keep", tmp_path]
    attack = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*/*")):
        assert attack.poll() is None, attack.stderr and attack.stderr.read()
        time.sleep(0.05)
    time.sleep(3)
    attack.send_signal(signal.SIGTERM)
    said, errors = attack.communicate(timeout=100)
    assert attack.returncode == 0, errors
    assert said.startswith(f"{name}: ") and said.endswith("0 lost; seed 0; stopped by hand\n")
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    left = [process for process in Path("/proc").glob("[0-9]*") if str(tmp_path) in about(process)]
    assert left == []


def test_an_end_that_python_drops_is_heard_after_the_next_blow(monkeypatch: pytest.MonkeyPatch):
    """Within a hook of a fork an exception is ignored, the one of a signal's handler too."""
    spec = importlib.util.spec_from_file_location("attacks", TORTURE / "__main__.py")
    assert spec and spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    monkeypatch.setattr(signal, "signal", lambda *given: None)

    def attack(folder: Path, draw: random.Random) -> Iterator[Blow]:
        while True:
            with suppress(KeyboardInterrupt):
                program.stop(signal.SIGTERM, None)
            yield Blow("deaf")

    monkeypatch.setattr(program, "import_module", lambda name: SimpleNamespace(attack=attack))
    figures = program.carry_out("deaf", 0, 60.0, None, None)
    assert figures.stopped and figures.kinds.total() == 1


def about(process: Path) -> str:
    """Where a process is, and with which words and variables."""
    try:
        told = [(process / name).read_bytes().decode("latin1") for name in ("cmdline", "environ")]
        return " ".join([str((process / "cwd").readlink()), *told])
    except OSError:
        return ""
