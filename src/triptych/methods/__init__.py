"""The methods: one file here is one method, and its file name is its name on the command line."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from triptych.errors import shown, unknown

if TYPE_CHECKING:
    from triptych.types import Method

__all__ = ["find", "names"]


def names() -> list[str]:
    """Every method's name, without importing any of them."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def find(name: str) -> type[Method]:
    """The method class defined in ``methods/<name>.py``; `TriptychError` for a name that is none."""
    from triptych.types import Method

    if name not in names():
        # From a file it may be anything.
        raise unknown("method", name if isinstance(name, str) else shown(name), names())
    module = importlib.import_module(f"{__name__}.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    )
    return found
