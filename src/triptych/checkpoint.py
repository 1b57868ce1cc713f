"""Checkpoints: safetensors files written in one step, with a checksum and their own description."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triptych.errors import TriptychError

__all__ = ["WEIGHTS", "load", "load_weights", "save"]

WEIGHTS = "weights."
"""What the names of a model's own tensors begin with, beside those of the optimizers."""


def save(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and a JSON description; a reader sees the old file or the new one, never a half.

    The data is on disk before the name points to it, so a power cut cannot lose both.
    """
    from safetensors.torch import save_file

    ready = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    metadata = {"about": json.dumps(dict(about)), "sha256": _digest(ready)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file(ready, temporary, metadata)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and description; a `TriptychError` where the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise TriptychError(f"there is no checkpoint '{path}'")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise TriptychError(f"the checkpoint '{path}' is damaged: {error}") from None
    if metadata.get("sha256") != _digest(tensors):
        raise TriptychError(
            f"the checkpoint '{path}' is damaged: its content does not match its checksum"
        )
    return tensors, json.loads(metadata["about"])


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put the ``weights.`` of a checkpoint into a model; a `TriptychError` where they do not fit it."""
    weights = {k.removeprefix(WEIGHTS): v for k, v in tensors.items() if k.startswith(WEIGHTS)}
    wanted = {k: v.shape for k, v in model.state_dict().items()}
    found = {k: v.shape for k, v in weights.items()}
    if wanted != found:
        name = min(k for k in wanted | found if wanted.get(k) != found.get(k))
        raise TriptychError(
            f"the checkpoint '{path}' was made for another config: '{name}' is "
            f"{_shape(found.get(name))} there and {_shape(wanted.get(name))} here"
        )
    model.load_state_dict(weights)


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else "×".join(map(str, shape)) or "a scalar"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
