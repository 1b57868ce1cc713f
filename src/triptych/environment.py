"""Where and with what a run was made: what a repetition must have to end in the same bits."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from threadpoolctl import threadpool_limits

from triptych import __version__, cgroups
from triptych.config import DeviceName
from triptych.data.spec import Dataset
from triptych.errors import NoMemoryError, TriptychError, unknown
from triptych.ranks import current

__all__ = [
    "UNORDERED",
    "at_most",
    "cores",
    "deterministic",
    "device_for",
    "enough_memory",
    "environment",
    "has_bf16",
    "lacks_memory",
    "memory",
    "precision",
    "tf32",
    "warn_if_emulated",
]

UNORDERED = "(.+) does not have a deterministic implementation"
"""What PyTorch says of an operation, by a name of one word or more, that has none."""


def environment(dataset: Dataset, device: torch.device) -> dict[str, Any]:
    """Versions, machine, commit, data and command, as environment.json holds them."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "triptych": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": name,
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "data": {
            "title": dataset.title,
            "fingerprint": dataset.fingerprint,
            "decoded": dataset.decoded,
            "images": {name: len(images) for name, images in dataset.splits.items()},
        },
        "command": sys.argv,
    }


def device_for(wanted: str) -> torch.device:
    """The device that a config names, ``auto`` decided; a `TriptychError` where this machine has none."""
    if not isinstance(wanted, str):
        raise unknown("device", wanted, get_args(DeviceName))
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
        wanted = "mps" if torch.backends.mps.is_available() else wanted
    there: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if not there.get(wanted, lambda: True)():
        raise TriptychError(f"there is no {wanted} device on this machine; say --device cpu")
    try:
        return torch.device(wanted)
    except (RuntimeError, TypeError):
        raise unknown("device", str(wanted), get_args(DeviceName)) from None


def cores() -> int:
    """The cores that this process may use, its share where ranks share the machine; or as many as ``OMP_NUM_THREADS`` says."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (there or 1) // current().local_size)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Within it so many threads compute at most, those of torch and OpenMP; afterwards it is as it was before.

    The BLAS of NumPy and SciPy has one. What is multiplied there is small, and several threads mostly wait for
    each other: a logistic probe of 3,500×128 features took 0.1 s on one, and 3 s on two of two busy cores.

    Example:
        >>> with at_most(1):
        ...     torch.get_num_threads()
        1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads, "openmp"), threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


def memory(device: torch.device) -> int:
    """Bytes of memory that a device has in all; on the CPU no more than the process may have."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroups.allowed()
    return whole if limit is None else min(whole, limit)


def lacks_memory(error: BaseException) -> Literal["cpu", "cuda", ""]:
    """Whose memory did not suffice, as far as an error says that it did not; PyTorch's libraries have words of their own for it.

    A card that serves one process at a time, and is busy with another, has none either.

    Example:
        >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("DefaultCPUAllocator: not enough memory"))
        ('cpu', 'cpu')
        >>> lacks_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
        'cuda'
        >>> lacks_memory(NoMemoryError("take a smaller --batch-size", "cuda"))
        'cuda'
        >>> lacks_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
        'cuda'
        >>> lacks_memory(RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable"))
        'cuda'
        >>> lacks_memory(RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"))
        'cuda'
        >>> lacks_memory(RuntimeError("shape mismatch")), lacks_memory(ValueError("out of memory"))
        ('', '')
    """
    if isinstance(error, NoMemoryError):
        return error.whose
    if isinstance(error, MemoryError):
        return "cpu"
    if not isinstance(error, RuntimeError):
        return ""
    if "DefaultCPUAllocator" in str(error):
        return "cpu"
    said = ("out of memory", "ALLOC_FAILED", "NOT_INITIALIZED", "busy or unavailable")
    of_a_card = isinstance(error, torch.OutOfMemoryError) or any(
        word in str(error) for word in said
    )
    return "cuda" if of_a_card else ""


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Within it, where the memory of the machine or of a card does not suffice, there is a `NoMemoryError` that says the ``remedy``.

    Example:
        >>> with enough_memory("take a smaller --batch-size"):
        ...     torch.empty(10**16)
        Traceback (most recent call last):
        triptych.errors.NoMemoryError: there is not enough memory for this; take a smaller --batch-size
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        whose = lacks_memory(error)
        if not whose:
            raise
        raise NoMemoryError(remedy, whose) from None


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 matrix products are known to be faster there than fp32 ones.

    On an x86 CPU and a card that lack the instructions PyTorch has them too, but emulated: on that CPU they take many
    times as long. Of other processors Triptych knows nothing.
    """
    if device.type == "cpu":
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
    if device.type != "cuda":
        return False
    # PyTorch tells it of the current card alone.
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def precision(
    wanted: Literal["auto", "fp32", "bf16"], device: torch.device
) -> Literal["fp32", "bf16"]:
    """What is wanted of matrix products there, where ``auto`` is bf16 if the device has it.

    Example:
        >>> precision("auto", torch.device("meta"))
        'fp32'
    """
    if wanted != "auto":
        return wanted
    return "bf16" if has_bf16(device) else "fp32"


def warn_if_emulated(wanted: str, device: torch.device, goes_on: bool = False) -> None:
    """Warn of bf16 that is wanted where it is known to be emulated; a run that ``goes_on`` has no choice any more.

    For one process to call, where several compute.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    known = device.type == "cuda" or (device.type == "cpu" and x86)
    if wanted != "bf16" or not known or has_bf16(device):
        return
    choice = (
        "in fp32; the run keeps the precision that it began with"
        if goes_on
        else "with dtype fp32 (auto chooses)"
    )
    warnings.warn(
        f"this {device.type} has no bf16 products of its own: emulated, they can take many times as long as {choice}",
        stacklevel=2,
    )


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Within it a GPU takes the deterministic form of every operation that has one; what has none is only warned of.

    Without it cuDNN chooses sums whose order changes from run to run for the gradients of convolutions: a game ended in other bits
    each time, at the same speed. Nothing changes on other devices, whose operations are in order.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, memory = torch.backends.cudnn, torch.utils.deterministic
    before = cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # What is chosen by a stopwatch is not chosen again.
    cudnn.deterministic, cudnn.benchmark = True, False
    # What is empty is written before it is read: nothing is to be filled first.
    memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            # Said once by whoever asks. cuBLAS is in order by itself where one stream computes.
            for said in UNORDERED, "Deterministic behavior was enabled with":
                warnings.filterwarnings("ignore", said, UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        cudnn.deterministic, cudnn.benchmark, memory.fill_uninitialized_memory = before  # type: ignore[attr-defined]


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within it CUDA may round the factors of fp32 products and convolutions to TF32's 10 bits, or may not.

    PyTorch's own default is neither: convolutions are rounded and products are not. Both flags belong to the
    process, and are put back afterwards. Nothing changes on other devices.

    Example:
        >>> with tf32(False):
        ...     torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        (False, False)
    """
    before = _tf32_flags()
    _set_tf32(allowed, allowed)
    try:
        yield
    finally:
        _set_tf32(*before)


def _tf32_flags() -> tuple[bool, bool]:
    """Whether products and convolutions are rounded now."""
    with _newer_names_unasked():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def _set_tf32(matmul: bool, cudnn: bool) -> None:
    with _newer_names_unasked():
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


@contextmanager
def _newer_names_unasked() -> Iterator[None]:
    """PyTorch 2.9 and some after it warn of these flags in favour of names that older ones do not have."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings to control TF32")
        yield


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


def _commit() -> str | None:
    """The commit of the source tree that this package runs from, if it is one.

    A repository around an installed package is somebody else's: this file must be one of those
    it keeps. Where the sources differ from the commit, it says so.
    """
    here = Path(__file__)
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no", ".")
    commit = _git(here.parent, "rev-parse", "HEAD")
    return f"{commit} with changes" if commit and changed else commit


def _git(folder: Path, *words: str) -> str | None:
    """What git says in a folder; none where it fails or is not there."""
    # Variables such as GIT_DIR, set within a hook, would lead to another repository.
    plain = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=5, check=True, env=plain
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout.strip()
