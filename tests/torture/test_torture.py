"""The attacks of torture/ for seconds: the program that tries for hours, with few blows."""

import subprocess
import sys
from pathlib import Path

import pytest

TORTURE = Path(__file__).parents[2] / "torture"
FEW = {"kills": 3, "full": 2, "hostile": 2000, "together": 2, "folders": 15, "pages": 2}
"""Blows of each attack, which is seconds."""


@pytest.mark.parametrize("name", FEW)
def test_nothing_is_lost(name: str, tmp_path: Path):
    words = [sys.executable, TORTURE, name, "--count", str(FEW[name]), "--keep", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: " in done.stdout and " 0 lost; seed 0" in done.stdout
