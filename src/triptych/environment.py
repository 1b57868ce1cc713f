"""Where and with what a run was made: what a repetition must have to end in the same bits."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from triptych.data.spec import Dataset

__all__ = ["environment", "has_bf16"]


def environment(dataset: Dataset, device: torch.device) -> dict[str, Any]:
    """Versions, machine, commit, data and command, as environment.json holds them."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "triptych": version("triptych"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": name,
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "data": {
            "title": dataset.title,
            "fingerprint": dataset.fingerprint,
            "images": {name: len(images) for name, images in dataset.splits.items()},
        },
        "command": sys.argv,
    }


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 matrix products are faster there than fp32 ones."""
    if device.type == "cpu":
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
    return device.type == "cuda"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")


def _commit() -> str | None:
    """The commit of the source tree that this package runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
