"""Checkpoints: safetensors files written in one step, with a checksum and their own description."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triptych import files, records
from triptych.environment import memory
from triptych.errors import TriptychError, refused
from triptych.weights import header_of

__all__ = ["WEIGHTS", "load", "load_weights", "save", "weights_digest"]

WEIGHTS = "weights."
"""What the names of a model's own tensors begin with, beside those of the optimizers."""


def save(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and a JSON description; a reader sees the old file or the new one, never a half.

    The description gets `weights_digest` as ``weights``: `triptych.runs.Run.weights` reads it without the tensors.
    The data is on disk before the name points to it, so a power cut cannot lose both.
    """
    from safetensors.torch import save as serialize

    # Copies: the parameters of a group are views of one vector, which the format refuses.
    ready = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    text = json.dumps({**about, "weights": weights_digest(ready)})
    metadata = {"about": text, "sha256": _digest(ready, text)}
    try:
        with files.staged(path) as temporary, temporary.open("wb") as file:
            file.write(serialize(ready, metadata))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refused("write the checkpoint", path, error) from None


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (on the CPU) and description; a `TriptychError` where the file is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    try:
        # Opened once: by its name it may be another file a moment later, while a training replaces it.
        with files.regular(path) as file:
            header = _sized(path, file)
            data = file.read()
    except FileNotFoundError:
        raise TriptychError(f"there is no checkpoint '{path}'") from None
    try:
        tensors = parse(data)
        metadata = header["__metadata__"]
        about, expected = metadata["about"], metadata["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise TriptychError(f"the checkpoint '{path}' is damaged: {error}") from None
    if expected != _digest(tensors, about):
        raise TriptychError(
            f"the checkpoint '{path}' is damaged: its content does not match its checksum"
        )
    return tensors, records.about(about, path)


def _sized(path: Path, file: BufferedReader) -> dict[str, Any]:
    """The header of a file; a `TriptychError`, before all is read, for one of another size than it says, or than memory holds."""
    size = os.fstat(file.fileno()).st_size
    try:
        header, begin = header_of(file)
        ends = [of["data_offsets"][1] for name, of in header.items() if name != "__metadata__"]
        due = begin + max(ends, default=0)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        header, due = {}, -1
    if due != size:
        raise TriptychError(
            f"the checkpoint '{path}' is damaged: its header does not fit its {size:,} bytes"
        )
    # The bytes, and the tensors that are made of them.
    if 2 * size > memory(torch.device("cpu")):
        raise TriptychError(
            f"the checkpoint '{path}' has {size / 1e9:,.1f} GB, more than memory holds twice"
        )
    file.seek(0)
    return header


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put the ``weights.`` of a checkpoint into a model; a `TriptychError` where they do not fit it, or are not finite."""
    weights = {k.removeprefix(WEIGHTS): v for k, v in tensors.items() if k.startswith(WEIGHTS)}
    wanted, found = _kinds(model.state_dict()), _kinds(weights)
    if wanted != found:
        name = min(k for k in wanted | found if wanted.get(k) != found.get(k))
        raise TriptychError(
            f"the checkpoint '{path}' was made for another config: '{name}' is "
            f"{found.get(name, 'absent')} there and {wanted.get(name, 'absent')} here"
        )
    for name, value in weights.items():
        if not value.isfinite().all():
            # No training saves such: what would be measured with them means nothing.
            raise TriptychError(
                f"the checkpoint '{path}' has weights '{name}' that are not finite; "
                "train the run anew, or take another checkpoint"
            )
    model.load_state_dict(weights)


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Twelve digits that say which weights these are: of names, types, shapes and values of the ``weights.``.

    Example:
        >>> one, other = ({"weights.a": torch.tensor([x]), "optimizer.a": torch.rand(1)} for x in (1.0, 2.0))
        >>> weights_digest(one) == weights_digest(other), weights_digest(one) == weights_digest({**one})
        (False, True)
    """
    weights = {
        k: v.detach().cpu().contiguous() for k, v in tensors.items() if k.startswith(WEIGHTS)
    }
    return _digest(weights, "")[:12]


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Shape and type of each, in words."""
    return {
        name: f"{'×'.join(map(str, value.shape)) or 'a scalar'} of {str(value.dtype).removeprefix('torch.')}"
        for name, value in tensors.items()
    }


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    digest = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
