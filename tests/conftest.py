"""Real processes that are the ranks of one piece of work, as a launcher begins them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENT = "45"
"""Seconds after which a rank of a test gives up waiting for another."""


class World:
    """Ranks 0 to size − 1, started and not waited for; `processes` may be killed one by one."""

    def __init__(
        self, folder: Path, size: int, arguments: tuple[str, ...], environment: dict
    ) -> None:
        self.folder = folder
        common = {
            **os.environ,
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(free_port()),
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": "1",
            "TRIPTYCH_PATIENCE": PATIENT,
            **environment,
        }
        self.processes = []
        for rank in range(size):
            with (
                self._path(rank, "out").open("wb") as out,
                self._path(rank, "err").open("wb") as err,
            ):
                own = {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                process = subprocess.Popen(
                    [sys.executable, *arguments], env=own, stdout=out, stderr=err
                )
            self.processes.append(process)

    def _path(self, rank: int, what: str) -> Path:
        return self.folder / f"rank-{rank}.{what}"

    def said(self, rank: int) -> tuple[str, str]:
        """What a rank has written to stdout and stderr so far."""
        out, err = (self._path(rank, what).read_text(encoding="utf-8") for what in ("out", "err"))
        return out, err

    def wait(self, timeout: float) -> list[subprocess.CompletedProcess[str]]:
        """How each rank ended; one that has not by then is killed, and has the code of that."""
        deadline = time.monotonic() + timeout
        try:
            for process in self.processes:
                process.wait(max(0.01, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.stop()
        return [
            subprocess.CompletedProcess(process.args, process.returncode, *self.said(rank))
            for rank, process in enumerate(self.processes)
        ]

    def stop(self) -> None:
        """Kill those that are still there."""
        for process in self.processes:
            process.kill()
            process.wait()


def free_port() -> int:
    """One of this machine that nobody listens at just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def begun(
    folders: pytest.TempPathFactory,
    size: int,
    program: str | list[str],
    arguments: tuple[object, ...],
    environment: dict[str, str],
) -> World:
    """Ranks that run a program, or what follows ``python``."""
    begin = ["-c", program] if isinstance(program, str) else program
    return World(folders.mktemp("ranks"), size, (*begin, *map(str, arguments)), environment)


@pytest.fixture(scope="module")
def start_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """``start_ranks(size, program, *arguments, **environment)`` begins ``size`` processes ``python -c program …``.

    A program that is a list is what follows ``python`` instead: ``["-m", "triptych", "train"]``. What
    is still running when the test ends is killed.
    """
    worlds = []

    def start(size: int, program: str | list[str], *arguments: object, **environment: str) -> World:
        worlds.append(begun(tmp_path_factory, size, program, arguments, environment))
        return worlds[-1]

    yield start
    for world in worlds:
        world.stop()


@pytest.fixture(scope="session")
def run_ranks(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list]:
    """The same, waited for: each rank's returncode, stdout and stderr; after ``timeout`` seconds they are killed."""

    def run(
        size: int,
        program: str | list[str],
        *arguments: object,
        timeout: float = 120,
        **environment: str,
    ) -> list[subprocess.CompletedProcess[str]]:
        return begun(tmp_path_factory, size, program, arguments, environment).wait(timeout)

    return run
