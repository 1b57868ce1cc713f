"""Compiling the losses, where that is possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, wanted: bool) -> F:
    """``function`` compiled at its first call, or as it is where the compiler does not work.

    On a CPU the compiler needs a C++ compiler on the machine. Where there is
    none, that is said once and the training goes on without.
    """
    if not wanted:
        return function
    chosen: list[Callable[..., Any]] = []

    def call(*arguments: Any) -> Any:
        if chosen:
            return chosen[0](*arguments)
        candidate = torch.compile(function, dynamic=False)
        try:
            result = candidate(*arguments)
        # Whatever the compiler fails with: a fault of the function itself is raised again below.
        except Exception as error:
            reason = str(error).strip().splitlines()[0]
            warnings.warn(f"not compiled, going on without: {reason}", stacklevel=2)
            candidate = function
            result = function(*arguments)
        chosen.append(candidate)
        return result

    return call  # type: ignore[return-value]
