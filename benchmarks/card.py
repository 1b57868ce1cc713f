"""The card, or the CPU in its place: waiting for it, recording work, counting what is launched.

The one seam of `gpu.py`: whatever only CUDA can do has a form for the CPU here, so that the whole script is
tried before a card is there.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

CUDA = torch.cuda.is_available()
"""Whether there is a card; without one the CPU stands in."""

NO_CAPTURE = "eager in its place: capture needs a CUDA device"
"""What a row says that stands for work that no CPU can record."""

REHEARSALS = 3
"""How often work is done before it is recorded: libraries decide at first calls, which no recording may hold."""

CALL = re.compile(r"cu(da)?(Launch|GraphLaunch|Memcpy|Memset)")
"""What the host calls to give the card work."""


def synchronise() -> None:
    """Wait until the card has done everything."""
    if CUDA:
        torch.cuda.synchronize()


def forget() -> None:
    """Let go of what was compiled: of one function only so many forms are kept, and further ones are not compiled at all."""
    torch.compiler.reset()


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, the card's part included."""
    synchronise()
    began = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - began


@contextmanager
def settings(*, convolutions: bool, products: bool) -> Iterator[None]:
    """TF32 for convolutions and for products, and nothing that must be deterministic, within it; then as before."""
    dnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = dnn.allow_tf32, matmul.allow_tf32, dnn.deterministic
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    dnn.allow_tf32, matmul.allow_tf32, dnn.deterministic = convolutions, products, False
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        dnn.allow_tf32, matmul.allow_tf32, dnn.deterministic = before


def as_delivered() -> AbstractContextManager[None]:
    """PyTorch's own settings, which a plain loop has whatever a training has set: TF32 for convolutions alone."""
    return settings(convolutions=True, products=False)


def recorded(work: Callable[[], None]) -> Callable[[], None]:
    """``work`` as a CUDA graph to be launched at once; on a CPU as it is, after as many rehearsals."""
    if not CUDA:
        for _ in range(REHEARSALS):
            work()
        return work
    graph, aside = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(REHEARSALS):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    # A thread of some DataLoader may pin memory meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return partial(_replay, graph, work)


def _replay(graph: torch.cuda.CUDAGraph, alive: object) -> None:
    """Launch it; every tensor that it reads is ``alive`` as long as this can be called."""
    graph.replay()


class Launches(NamedTuple):
    """What was given to the card: kernels that ran, calls of the host by name, microseconds in which it was busy."""

    kernels: int
    calls: Counter[str]
    busy: float


def watching() -> profile:
    """A profiler to start and stop; `launches` reads what it saw."""
    # Before CUDA 12.6 a profiler that comes and goes may take recorded graphs with it.
    os.environ.setdefault("DISABLE_CUPTI_LAZY_REINIT", "1")
    os.environ.setdefault("TEARDOWN_CUPTI", "0")
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if CUDA else [])]
    return profile(activities=kinds, acc_events=True)


def launches(seen: profile) -> Launches:
    """On a CPU operations stand for kernels and those that nothing else called for calls."""
    events = list(seen.events() or ())
    if CUDA:
        there = [
            event
            for event in events
            if event.device_type == DeviceType.CUDA
            and not getattr(event, "is_user_annotation", False)
            and not event.name.startswith(("Optimizer.", "ProfilerStep"))
        ]
        kernels = sum(not event.name.startswith(("Memcpy", "Memset")) for event in there)
        calls = Counter(event.name for event in events if CALL.match(event.name))
    else:
        there = [event for event in events if event.cpu_parent is None]
        kernels, calls = len(events), Counter(event.name for event in there)
    spans = sorted((event.time_range.start, event.time_range.end) for event in there)
    busy, reached = 0.0, 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return Launches(kernels, calls, busy)


def facts() -> dict[str, str]:
    """The machine, in the words of what runs on it."""
    found = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": str(len(os.sched_getaffinity(0))),
        "TF32 in convolutions, PyTorch's own": str(torch.backends.cudnn.allow_tf32),
        "TF32 in products, PyTorch's own": str(torch.backends.cuda.matmul.allow_tf32),
    }
    if not CUDA:
        return found | {"device": f"{platform.machine()} CPU, which stands in for a card"}
    about = torch.cuda.get_device_properties(0)
    found |= {
        "device": about.name,
        "memory": f"{about.total_memory / 2**30:.0f} GiB",
        "multiprocessors": str(about.multi_processor_count),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "MIG": "yes" if "MIG" in about.name else "not by its name",
    }
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file():
        found["driver"] = driver.read_text(encoding="utf-8").splitlines()[0]
    return found | _said_by_driver()


def _said_by_driver() -> dict[str, str]:
    """Power, clocks and MIG by the driver's own tool, where it is there; nothing is changed by asking."""
    asked = "driver_version,power.limit,power.draw,clocks.sm,clocks.max.sm,mig.mode.current"
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {"power and clocks": "not readable: no nvidia-smi"}
    try:
        done = subprocess.run(
            [tool, f"--query-gpu={asked}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as why:
        return {"power and clocks": f"not readable: {why}"}
    lines = done.stdout.strip().splitlines() or [""]
    return dict(zip(asked.split(","), (word.strip() for word in lines[0].split(",")), strict=False))
