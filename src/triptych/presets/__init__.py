"""Presets: TOML files that state their command, their time and the result to expect.

A folder a method has its presets, ``reproduce`` the scales of a reproduction, and what lies beside them are studies.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triptych.config import read_toml
from triptych.errors import TriptychError, shown, unknown
from triptych.files import as_path

__all__ = ["HERE", "names", "scale_file", "scales", "studies", "tables"]

HERE = Path(__file__).parent
"""A folder for each method, and in it a file for each preset."""

SCALES = "reproduce"
"""The folder of the scales, which is no method's."""


def names(method: str, folder: Path = HERE) -> list[str]:
    """The presets of a method; of one that does not come with Triptych, those in a ``folder`` like this one."""
    return sorted(_packaged(method, folder))


def tables(method: str, name: str, folder: Path = HERE) -> dict[str, Any]:
    """What a preset changes of a method's defaults; `TriptychError` for one that does not exist.

    A path that ends in ``.toml`` is a file of one's own, or a run's config.toml, which repeats the run.

    Example:
        >>> tables("vae", "reference")["train"]["duration"]
        '20 epochs'
    """
    if name.endswith(".toml"):
        return _own(method, as_path(name, "a preset"))
    known = _packaged(method, folder)
    if not known:
        raise TriptychError(
            f"{method} has no presets, and '{name}' is no file of options, which ends in .toml"
        )
    if name not in known:
        raise unknown(f"preset of {method}", name, known)
    return read_toml(known[name])


def scales() -> list[str]:
    """The scales that a reproduction comes in.

    Example:
        >>> scales()
        ['demo', 'quick', 'reference', 'small']
    """
    return sorted(_packaged(SCALES))


def scale_file(name: str) -> Path:
    """The file of a scale: the packaged one of that name, or one's own, a path that ends in ``.toml``."""
    if name.endswith(".toml"):
        return as_path(name, "a scale")
    if name not in scales():
        raise unknown("scale", name, scales())
    return _packaged(SCALES)[name]


def studies() -> dict[str, Path]:
    """The study files that come with Triptych, by name."""
    return _packaged("")


def _packaged(name: str, folder: Path = HERE) -> dict[str, Path]:
    return {path.stem: path for path in (folder / name).glob("*.toml")}


def _own(method: str, path: Path) -> dict[str, Any]:
    found = read_toml(path)
    of = found.get("method", {})
    named = of.pop("name", method) if isinstance(of, dict) else method
    # Where a run's method was found: this one has been found already.
    source = of.pop("source", None) if isinstance(of, dict) else None
    if named != method:
        named = named if isinstance(named, str) else shown(named)
        if isinstance(source, dict) and "package" not in source:
            named = str(path.with_name(f"{named}.py"))
        raise TriptychError(f"'{path}' is of {named}: triptych train {named} --preset {path}")
    return found
