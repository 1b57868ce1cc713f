"""Fewer latents and pairs: what the numbers of a generator rest on takes half a minute as it is."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["fewer"]

FEWER = (("pullback", "LATENTS", 8), ("pullback", "TANGENTS", 8), ("scorecard", "PAIRS", 16))


def fewer(put: Callable[[Any, str, int], object] = setattr) -> None:
    """Have the numbers of a generator rest on a few, for as long as ``put`` does it."""
    for module, name, few in FEWER:
        put(import_module(f"triptych.evaluation.latent_space.{module}"), name, few)
