"""Compiling: the same losses, and a training that goes on where it cannot be done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from triptych.training.compiler import compiled

WORDS = ["train", "vae", "--steps", "3", "--binarize", "dynamic", "--log-every", "1"]
OWN = ["--method.hidden", "16", "--method.latent", "4", "--compile"]


def train(folder: Path, compile: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triptych", *WORDS, *OWN, compile]
    return subprocess.run(
        [*command, "--out", str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def elbos(folder: Path) -> list[float]:
    from triptych import Run

    return Run.open(folder).curve("train/elbo")[1]


def test_without_a_compiler_the_training_goes_on_and_says_so_once(tmp_path: Path):
    cache = str(tmp_path / "inductor")
    broken = {"PATH": "/nowhere", "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": cache}
    said = train(tmp_path / "broken", "on", **broken).stderr
    assert said.count("not compiled, going on without") == 1
    train(tmp_path / "eager", "off")
    assert elbos(tmp_path / "broken") == elbos(tmp_path / "eager")


@pytest.mark.skipif(
    not any(map(shutil.which, (os.environ.get("CXX", "g++"), "g++", "clang++"))),
    reason="no C++ compiler: that compiled losses are those of the plain ones was not tested here",
)
def test_compiled_losses_are_those_of_the_plain_ones(tmp_path: Path):
    said = train(tmp_path / "compiled", "on").stderr
    assert "not compiled" not in said
    train(tmp_path / "eager", "off")
    assert elbos(tmp_path / "compiled") == pytest.approx(elbos(tmp_path / "eager"), rel=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it loads its compiler
def test_a_fault_of_the_function_itself_is_raised():
    def broken(x: torch.Tensor) -> torch.Tensor:
        raise KeyError("mine")

    with pytest.warns(UserWarning, match="not compiled"), pytest.raises(KeyError, match="mine"):
        compiled(broken, wanted=True)(torch.ones(2))
