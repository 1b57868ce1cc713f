"""How a method is trained: what is not particular to any one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from triptych.config import LONGEST, THREADS, DeviceName, Duration, limited

__all__ = ["TrainConfig"]


@dataclass(frozen=True)
class TrainConfig:
    """Length, batch, precision and the rhythm of logging and saving."""

    duration: Duration = Duration(20, "epochs")
    """How long to train; `--epochs 3` and `--steps 500` say the same shorter."""
    batch_size: int = 64
    """Images in a batch; the last partial batch of an epoch is left out."""
    device: DeviceName = "auto"
    """Where to compute; `auto` takes a GPU if there is one."""
    devices: int = 1
    """Devices that share every batch, a process each; the training is the same on any number, but for rounding."""
    dtype: Literal["auto", "fp32", "bf16"] = "fp32"
    """Precision of the networks' matrix products; losses and weights are always fp32. `auto` is bf16 where the hardware has it."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the losses; `auto` does so when the run is long enough to pay for it."""
    capture: Literal["auto", "on", "off"] = "auto"
    """Record a whole step as a CUDA graph, once, and replay it; `auto` does so on CUDA."""
    tf32: bool = True
    """On CUDA, let products and convolutions of single precision round what they multiply to TF32 (10 bits of 23)."""
    threads: int = 0
    """Threads on the CPU; 0 takes every core that this process may use."""
    log_every: int = 100
    """Steps between lines of metrics.jsonl, each the mean over those steps."""
    validate_every: Duration = Duration(1, "epochs")
    """How often the validation metrics are computed."""
    checkpoint_every: Duration = Duration(1, "epochs")
    """How often the complete state is saved; it also is at the end and at Ctrl-C."""
    log: Literal["tensorboard"] | None = None
    """Write event files for TensorBoard too, into the run's folder; needs `pip install 'triptych[tensorboard]'`."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        limited("--log-every", self.log_every, 1, LONGEST)
        limited("--batch-size", self.batch_size, 1, LONGEST)
        limited("--threads", self.threads, 0, THREADS)
        limited("--devices", self.devices, 1, THREADS)
