"""Commands of the product in processes of their own, which begin in milliseconds: PyTorch is imported once, before the fork."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch  # noqa: F401  What every command needs, once for all.

import triptych
from triptych.cli.main import main

__all__ = ["INJECTED", "Ended", "Started", "begin"]

PACKAGE = Path(triptych.__path__[0]).absolute().parent

INJECTED = Path(__file__).parent / "injected"
"""A folder for PYTHONPATH: what makes a disk full."""


@dataclass(frozen=True)
class Ended:
    """What became of a command."""

    words: tuple[str, ...]
    code: int
    """Its exit code; below 0 the signal that ended it."""
    said: str
    """All that it said, to either output."""

    @property
    def sentence(self) -> str:
        """The last thing that it said as a command says an error; empty where it said none."""
        lines = [line for line in self.said.splitlines() if line.startswith("triptych: ")]
        return lines[-1] if lines else ""

    def unsound(self) -> str:
        """Why this is no way for a command to end; empty where it is done, or said in a sentence why not."""
        if self.code < 0:
            return f"{self} was ended by signal {-self.code}"
        if "Traceback" in self.said or self.code not in (0, 2):
            return f"{self} ended with code {self.code}: {self.said[-1500:]}"
        return "" if self.code == 0 or self.sentence else f"{self} ended without a sentence"

    def __str__(self) -> str:
        return f"`triptych {' '.join(self.words)}`"


@dataclass
class Started:
    """A command that runs."""

    words: tuple[str, ...]
    process: int
    pipe: int

    def wait(self) -> Ended:
        """What it came to, at its end."""
        said = b""
        while select.select([self.pipe], [], []) and (more := os.read(self.pipe, 1 << 16)):
            said += more
        os.close(self.pipe)
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return Ended(self.words, code, said.decode("utf-8", "replace"))


def begin(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    full: Mapping[str, str | int] | None = None,
) -> Started:
    """Begin a command in a folder; ``full`` is what `injected` is to know."""
    reads, writes = os.pipe()
    sys.stdout.flush()
    process = os.fork()
    if process:
        os.close(writes)
        return Started(tuple(words), process, reads)
    code = 1
    try:
        os.close(reads)
        for number in (1, 2):
            os.dup2(writes, number)
        os.close(writes)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1, closefd=False)
        os.chdir(folder)
        os.environ.update(environment)
        # What the command begins itself is to be the same product, from whatever folder.
        paths = [str(PACKAGE), os.environ.get("PYTHONPATH", "")]
        if full is not None:
            paths.insert(0, str(INJECTED))
            os.environ["FULL"] = json.dumps(full)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        if full is not None:
            _execute(INJECTED / "sitecustomize.py")
        code = main(list(words))
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
    raise AssertionError("a child never comes here")


def _execute(file: Path) -> None:
    spec = importlib.util.spec_from_file_location("full_disk", file)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
