"""Where the runs of a study are done: here, on a Ray cluster, or in the queue of Slurm."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal

from triptych.errors import TriptychError, unknown

__all__ = ["HERE", "Where", "where"]

Kind = Literal["here", "ray", "slurm"]

KINDS: dict[str, Kind] = {"here": "here", "ray": "ray", "slurm": "slurm"}

PACKAGES = {"ray": "ray", "slurm": "submitit"}
"""What has to be installed for each; the extra of Triptych that brings it has the name of the kind."""


@dataclass(frozen=True)
class Where:
    """What ``--on`` says."""

    kind: Kind = "here"
    name: str = ""
    """Of a Ray cluster its address, of Slurm the partition; without one, whatever these programs take themselves."""


HERE = Where()


def where(text: str) -> Where:
    """``here``, ``ray[:ADDRESS]`` or ``slurm[:PARTITION]``.

    Raises `TriptychError` for anything else, and where a package is missing for it.

    Example:
        >>> where("here") == HERE
        True
        >>> where("rya:10.0.0.1:6379")
        Traceback (most recent call last):
        triptych.errors.TriptychError: there is no place 'rya'; did you mean 'ray'? (there are: here, ray, slurm)
    """
    kind, colon, name = text.partition(":")
    if kind not in KINDS:
        raise unknown("place", kind, KINDS)
    if colon and (kind == "here" or not name):
        raise TriptychError(
            f"--on takes here, ray, ray:ADDRESS, slurm or slurm:PARTITION, not '{text}'"
        )
    if package := PACKAGES.get(kind):
        try:
            importlib.import_module(package)
        except ImportError:
            raise TriptychError(
                f"--on {kind} needs the package {package}: pip install 'triptych[{kind}]'"
            ) from None
    return Where(KINDS[kind], name)
