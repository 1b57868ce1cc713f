"""Whether a run may be held against a reference at all, and where it leaves the protocol of that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

__all__ = ["Scope", "differing", "look_up", "other_data", "scope"]

Protocol = Mapping[str, tuple[Any, ...]]

Scope = Literal["same data", "other data", ""]
"""Of what a run is whose method is the reference's; empty where nothing may be said beside it."""


def scope(protocol: Protocol, config: Mapping[str, Any], asked: bool) -> Scope:
    """Whether the reference's numbers and words may stand beside a run's.

    They hold for its own method, by name, on its own data. Of other data they are shown only to a reader
    who ``asked`` for the reference, by a reproduction, and then as not comparable.

    Example:
        >>> known = {"method.name": ("vae",), "data.name": ("binarized-mnist",)}
        >>> photos = {"method": {"name": "vae"}, "data": {"name": "/home/me/photos"}}
        >>> scope(known, photos, asked=False), scope(known, photos, asked=True)
        ('', 'other data')
        >>> scope(known, {"method": {"name": "iwae"}, "data": {"name": "binarized-mnist"}}, asked=True)
        ''
    """
    if differing({"method.name": protocol["method.name"]}, config):
        return ""
    if not differing({"data.name": protocol["data.name"]}, config):
        return "same data"
    return "other data" if asked else ""


def other_data(config: Mapping[str, Any]) -> str:
    """Why a run on other data is not comparable.

    Example:
        >>> other_data({"data": {"name": "/home/me/photos"}})
        'other data: photos'
    """
    return f"other data: {Path(str(look_up(config, 'data.name'))).name}"


def differing(protocol: Protocol, config: Mapping[str, Any]) -> list[str]:
    """The fields of a protocol in which a config has none of the values that it may have.

    Example:
        >>> differing({"data.name": ("svhn",), "train.dtype": ("fp32", None)}, {"data": {"name": "mnist"}})
        ['data.name']
    """
    return [field for field, allowed in protocol.items() if look_up(config, field) not in allowed]


def look_up(config: Mapping[str, Any], field: str) -> Any:
    """What a config has under a name with dots; none where it has nothing."""
    value: Any = config
    for key in field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
