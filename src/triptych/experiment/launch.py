"""One run on several devices of this machine, a process each, begun and watched by PyTorch's own launcher.

``python -m triptych.experiment.launch DEVICES JOB`` is that launcher in a process of its own, and each of its processes is
``python -m triptych.experiment.rank JOB``. When standard input ends, which all of them share, they stop at a complete checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from triptych.errors import printable
from triptych.processes import child, last_line, stoppable

__all__ = ["LOST", "Fallen", "on_devices"]

LOST = 76
"""The exit code of a rank that does not hear of another one any more: whose fault it is, that one says."""

POLL = 0.2
"""Seconds between looks at what the ranks have logged."""


class Fallen(NamedTuple):
    """A rank that ended before its time."""

    rank: int
    """-1 is the launcher itself."""
    code: int
    """Of its exit; negative where a signal ended it."""
    words: str
    """The last line that it said."""

    def __str__(self) -> str:
        who = f"rank {self.rank}" if self.rank >= 0 else "the launcher of the ranks"
        how = f"ended with code {self.code}"
        if self.code < 0:
            how = f"was ended by signal {-self.code}"
        return f"{who} {how}{': ' * bool(self.words)}{self.words}"


def on_devices(
    devices: int, job: Mapping[str, Any], threads: int, look: Callable[[], None] = lambda: None
) -> list[Fallen] | None:
    """Let so many ranks do a job, with ``threads`` each, and ``look`` at it several times a second.

    Ctrl-C and SIGTERM ask them to save and end, and wait for it; a second one ends them at once.

    Returns the ranks that fell first, none where all came to an end of theirs; None where somebody stopped them.
    """
    words = ["triptych.experiment.launch", str(devices), json.dumps(job)]
    with tempfile.TemporaryFile() as said, stoppable():
        process = child(words, said, subprocess.DEVNULL, {"OMP_NUM_THREADS": str(threads)})
        stopped = False
        try:
            while not _ended(process):
                look()
        except KeyboardInterrupt:
            stopped = True
        finally:
            process.stop()
            try:
                process.wait()
            except KeyboardInterrupt:
                process.terminate()
                process.wait()
                raise
        look()
        said.seek(0)
        return None if stopped else _fallen(said.read(), process.returncode)


def _ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL)
    except subprocess.TimeoutExpired:
        return False
    return True


def _fallen(said: bytes, code: int) -> list[Fallen]:
    """What the launcher said of the ranks; where it died itself, that."""
    try:
        found = [Fallen(*one) for one in json.loads(said)]
    except (ValueError, TypeError):
        return [Fallen(-1, code, "")] if code else []
    # Who lost another one is not to blame.
    return [one for one in found if one.code != LOST] or found


def _launch(devices: int, job: str) -> list[Fallen]:
    """Begin the ranks and wait for their end."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Its own words are for those who debug it; what matters is told below.
    logging.disable(logging.CRITICAL)
    # Ranks of one machine meet there: its name may lead nowhere.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    with tempfile.TemporaryDirectory(prefix="triptych-ranks-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder, redirects=Std.ALL),
        )
        try:
            elastic_launch(config, sys.executable)("-P", "-m", "triptych.experiment.rank", job)
        except ChildFailedError as error:
            return [
                Fallen(rank, one.exitcode, _last_words(Path(folder), rank))
                for rank, one in error.failures.items()
            ]
    return []


def _last_words(folder: Path, rank: int) -> str:
    for path in folder.glob(f"**/{rank}/stderr.log"):
        return printable(last_line(path))
    return ""


def main() -> int:
    """Launch, and say who fell as a line of JSON."""
    devices, job = sys.argv[1:]
    print(json.dumps(_launch(int(devices), job)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
