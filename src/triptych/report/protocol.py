"""Whether a run's config follows the protocol by which a reference was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["differing"]


def differing(protocol: Mapping[str, tuple[Any, ...]], config: Mapping[str, Any]) -> list[str]:
    """The fields of a protocol in which a config has none of the values that it may have.

    Example:
        >>> differing({"data.name": ("svhn",), "train.dtype": ("fp32", None)}, {"data": {"name": "mnist"}})
        ['data.name']
    """
    return [field for field, allowed in protocol.items() if _look_up(config, field) not in allowed]


def _look_up(config: Mapping[str, Any], field: str) -> Any:
    value: Any = config
    for key in field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
