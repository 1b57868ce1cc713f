"""Compiling the losses, where that is possible."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, wanted: bool) -> F:
    """``function`` compiled at its first call for each first argument, or as it is where that fails.

    On a CPU the compiler needs a C++ compiler on the machine. Where there is
    none, that is said once and the training goes on without.
    """
    if not wanted:
        return function
    chosen: dict[Any, Callable[..., Any]] = {}

    def call(*arguments: Any) -> Any:
        if arguments[0] in chosen:
            return chosen[arguments[0]](*arguments)
        candidate = torch.compile(function, dynamic=False)
        try:
            result = candidate(*arguments)
        # Whatever the compiler fails with: a fault of the function itself is raised again below.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(f"not compiled, going on without: {reason}", stacklevel=2)
            candidate = function
            result = function(*arguments)
        chosen[arguments[0]] = candidate
        return result

    return call  # type: ignore[return-value]
