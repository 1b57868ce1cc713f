"""Runs as tasks of a Ray cluster; one whose node is lost goes on from its checkpoint on another."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from triptych.errors import TriptychError, printable
from triptych.studies.on_node import Mailbox
from triptych.studies.process import STOPPED, Errand
from triptych.studies.where import Where

__all__ = ["Cluster", "connected"]

LOST = 3
"""How often a run whose node was lost is given to another one."""

WRONG = 2
"""The exit code of a process that wrong input kept from an outcome."""

PATIENCE = 10.0
"""Seconds for which an address is tried."""

RHYTHM = 5.0
"""Seconds at least between two times that a run is brought back from a node that does not see its folder."""

POLL = 0.1
"""Seconds between looks at a task that is waited for."""


@contextmanager
def connected(where: Where, jobs: int | None = None) -> Iterator[Cluster]:
    """A Ray cluster that runs already; ``jobs`` runs share a GPU.

    Raises `TriptychError` where there is none, and where its Ray or Python is not the one here.
    """
    import ray

    own = not ray.is_initialized()
    if own:
        _connect(where.name)
    cluster = Cluster(jobs, _home())
    try:
        yield cluster
    finally:
        cluster.close()
        if own:
            ray.shutdown()


def _connect(address: str) -> None:
    import ray

    host, _, port = address.rpartition(":")
    if address.startswith("ray://"):
        raise TriptychError(
            f"--on ray takes HOST:PORT, not '{address}': run the command on a machine of the cluster"
        )
    try:
        if port.isdigit():
            # Ray itself asks a host where nobody answers for minutes.
            host = ray.util.get_node_ip_address() if host in ("127.0.0.1", "localhost") else host
            socket.create_connection((host, int(port)), PATIENCE).close()
        ray.init(address or "auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        at = f" at '{address}'" if address else ""
        why = printable(str(error).strip().split("\n")[0])
        raise TriptychError(
            f"there is no Ray cluster{at} that can be used: {why}; begin one with: ray start --head"
        ) from None


def _home() -> Any:
    """The mailbox, a process on the machine where the study lies."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Mailbox)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote()


@dataclass
class Cluster:
    """Who begins runs on a cluster."""

    jobs: int | None
    home: Any
    """The `Mailbox`."""
    marks: dict[Path, tuple[str, str]] = field(default_factory=dict)
    """Of every folder that was worked in, the file by which a node knows that it sees it."""
    looked: float = 0.0
    begun: frozenset[str] = frozenset()

    def begin(self, errand: Errand) -> Sent:
        """Send a run. Raises `TriptychError` where no node has what it needs."""
        folder = errand.folder.absolute()
        if folder not in self.marks:
            self.marks[folder] = (f".seen-{token_hex(8)}", token_hex(16))
            _mark(folder, self.marks[folder])
        key = f"{folder / errand.run}"
        from_here = {**errand.environment, **_mirror()}
        sent = Errand(**{**vars(errand), "folder": folder, "environment": from_here})
        return Sent(self, key, sent, self.needs(errand))

    def at_once(self, devices: Iterable[str]) -> int:
        """How many runs on these devices are sent at most: ``jobs``, but on GPUs all, since these are counted on each."""
        on_cpu = not any(self._on_gpu(device) for device in devices)
        return self.jobs if self.jobs and on_cpu else sys.maxsize

    def at_work(self, key: str) -> bool:
        """Whether a node has begun the run."""
        import ray

        if time.monotonic() - self.looked > POLL:
            self.begun = frozenset(ray.get(self.home.at_work.remote()))
            self.looked = time.monotonic()
        return key in self.begun

    def needs(self, errand: Errand) -> dict[str, float]:
        """Cores and share of a GPU."""
        cores, on_gpu = max(1, errand.threads), self._on_gpu(errand.device)
        if _most("CPU") < cores:
            raise TriptychError(f"{errand.run} asks for {cores} cores, and no node has as many")
        if on_gpu and _most("GPU") < errand.devices:
            wanted = "a GPU" if errand.devices == 1 else f"{errand.devices} GPUs"
            raise TriptychError(f"{errand.run} asks for {wanted}, and no node has as many")
        # Ray counts shares in ten-thousandths.
        share = int(10_000 / (self.jobs or 1)) / 10_000
        if errand.devices > 1:
            # A training that has several has them to itself.
            share = errand.devices
        return {"num_cpus": cores, "num_gpus": share if on_gpu else 0}

    def _on_gpu(self, device: str) -> bool:
        """A run that takes any device computes on a GPU where the cluster has one."""
        return device.startswith("cuda") or (device == "auto" and _most("GPU") > 0)

    def close(self) -> None:
        """Remove the marks."""
        for folder, (name, _) in self.marks.items():
            (folder / name).unlink(missing_ok=True)


def _most(resource: str) -> float:
    """What the node with the most of it has."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return max((float(node.get(resource, 0)) for node in nodes), default=0.0)


def _mark(folder: Path, mark: tuple[str, str]) -> None:
    name, content = mark
    (folder / name).write_text(content, encoding="utf-8")


def _mirror() -> Mapping[str, str]:
    """The mirror of data sets that this machine's environment names, from any folder."""
    named = os.environ.get("TRIPTYCH_DATA")
    return {"TRIPTYCH_DATA": str(Path(named).expanduser().resolve())} if named else {}


@dataclass
class Sent:
    """A run on the cluster: what stands at home for its process."""

    cluster: Cluster
    key: str
    errand: Errand
    needs: Mapping[str, float]
    lost: int = 0
    """How many nodes were lost under it."""
    returncode: int | None = None
    stopping: bool = False
    task: Any = None

    def __post_init__(self) -> None:
        """Send it."""
        self._send()

    def _send(self) -> None:
        import ray

        from triptych import __version__

        home = self.cluster.home
        # Two callers have no order: the node must not ask before home knows of it.
        ray.get(home.expect.remote(self.key, self.errand, self.lost))
        told = {**asdict(self.errand), "folder": str(self.errand.folder)}
        mark = self.cluster.marks[self.errand.folder]
        # What ends by a lost node is sent again here: counted, said, and under a number of its own.
        function: Any = ray.remote(max_retries=0, **self.needs)(_task())
        on_gpu = self.needs["num_gpus"] > 0
        self.task = function.remote(
            __version__, told, mark, home, self.key, self.lost, on_gpu, RHYTHM
        )

    @property
    def at_work(self) -> bool:
        """Whether a node has begun it."""
        return self.cluster.at_work(self.key)

    def poll(self) -> int | None:
        """Its exit code, once it has ended; where its node was lost, it is sent to another."""
        import ray

        if self.returncode is None:
            ended, _ = ray.wait([self.task], timeout=0)
            if ended:
                self._look()
        return self.returncode

    def _look(self) -> None:
        import ray
        from ray.exceptions import RayError, RayTaskError, TaskCancelledError

        try:
            found = ray.get(self.task)
        except TaskCancelledError:
            self.returncode = STOPPED
        except RayTaskError as error:
            self._give_up(_first_line(error.cause or error))
        except RayError as error:
            self._lose(_first_line(error))
        else:
            if isinstance(found, int):
                self.returncode = found
            else:
                self._give_up(found)

    def _lose(self, why: str) -> None:
        """Its node or the process that watched over it is gone."""
        if self.stopping:
            self.returncode = STOPPED
        elif self.lost == LOST:
            self._give_up(f"the nodes that worked on it were lost {LOST + 1} times: {why}")
        else:
            self.lost += 1
            self._say(f"its node was lost; it goes on elsewhere: {why}")
            self._send()

    def _give_up(self, why: str) -> None:
        self._say(why)
        self.returncode = WRONG

    def _say(self, words: str) -> None:
        log = self.errand.folder / self.errand.log
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{printable(words)}\n")

    def stop(self) -> None:
        """Have it saved and ended, or not begun at all."""
        import ray

        if self.returncode is None and not self.stopping:
            self.stopping = True
            ray.get(self.cluster.home.stop.remote(self.key))
            if not self.at_work:
                ray.cancel(self.task)

    def wait(self) -> int:
        """Its exit code; this waits for its end."""
        while (code := self.poll()) is None:
            time.sleep(POLL)
        return code

    def kill(self) -> None:
        """End it at once."""
        import ray

        with suppress(ray.exceptions.RayError):
            ray.cancel(self.task, force=True)


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).split("\n") if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _task() -> Callable[..., int | str]:
    """What is done on a node; it travels by its content, so that a node without Triptych can say so."""

    def carry_out(
        version: str,
        told: dict[str, Any],
        mark: tuple[str, str],
        home: Any,
        key: str,
        number: int,
        on_gpu: bool,
        rhythm: float,
    ) -> int | str:
        import pathlib

        import ray

        node = ray.util.get_node_ip_address()
        try:
            from triptych import __version__ as found
            from triptych.studies import on_node as side
            from triptych.studies.process import Errand as Told
        except ImportError:
            return f"the node {node} has no Triptych: install version {version} there"
        if found != version:
            return f"the node {node} has Triptych {found}, and here is {version}: install the same"

        def call(name: str, *arguments: object) -> object:
            # Not `ray.get`: a task that waits in that gives its cores to another one.
            return getattr(home, name).remote(*arguments).future().result()

        # A later Ray shows all cards to whoever asks for none.
        hidden = {} if on_gpu else {"CUDA_VISIBLE_DEVICES": ""}
        environment = {**told["environment"], **hidden}
        folder = pathlib.Path(told["folder"])
        errand = Told(**{**told, "folder": folder, "environment": environment})
        return side.carry_out(errand, mark, side.Home(call, key, number), node, rhythm)

    return carry_out
