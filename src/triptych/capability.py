"""What an object can do, asked of the object itself."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

__all__ = ["Capability"]


class Capability(type(Protocol)):  # type: ignore[misc]
    """Metaclass of the protocols that say what a method can do: ``isinstance`` asks as ``hasattr`` does.

    ``typing.runtime_checkable`` looks members up in the class and the instance's
    dictionary since Python 3.12, where a submodule or buffer, which
    ``nn.Module.__getattr__`` serves, is not seen. Here every member is asked for
    on every version of Python, and what the protocol defines as a function must
    be callable.

    Example:
        >>> from typing import runtime_checkable  # which mypy asks for
        >>> @runtime_checkable
        ... class Scores(Protocol, metaclass=Capability):
        ...     critic: object
        ...     def scaled(self, x: float) -> float: ...
        >>> class Network(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.critic = torch.nn.Linear(1, 1)
        ...     def scaled(self, x):
        ...         return 2 * x - 1
        >>> isinstance(Network(), Scores), isinstance(torch.nn.Linear(1, 1), Scores)
        (True, False)
    """

    def __instancecheck__(cls, instance: Any) -> bool:
        """Whether ``instance`` has every member of the protocol."""
        if not cls.__dict__.get("_is_protocol"):
            # A class that names a protocol as its base is a class like any other.
            return type.__instancecheck__(cls, instance)
        bases = [base for base in cls.__mro__ if isinstance(base, Capability)]
        functions = {
            name for base in bases for name, member in vars(base).items() if callable(member)
        }
        values = {name for base in bases for name in inspect.get_annotations(base)}
        return all(
            callable(getattr(instance, name, None))
            for name in functions
            if not name.startswith("_")
        ) and all(hasattr(instance, name) for name in values)
