"""Where the runs of a study are done: here, on a Ray cluster, or in the queue of Slurm."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from triptych.config import limited
from triptych.errors import TriptychError, printable, unknown

__all__ = ["HERE", "Where", "where"]

Kind = Literal["here", "ray", "slurm"]

KINDS: dict[str, Kind] = {"here": "here", "ray": "ray", "slurm": "slurm"}

LONGEST = 60 * 24 * 366
"""Minutes of a time limit."""

PACKAGES = {"ray": "ray", "slurm": "submitit"}
"""What has to be installed for each; the extra of Triptych that brings it has the name of the kind."""


@dataclass(frozen=True)
class Where:
    """What ``--on`` says."""

    kind: Kind = "here"
    name: str = ""
    """Of a Ray cluster its address, of Slurm the partition; without one, whatever these programs take themselves."""
    minutes: int | None = None
    """Of Slurm, the time limit of a job."""
    sbatch: tuple[tuple[str, str | bool], ...] = ()
    """Of Slurm, other options of sbatch, in Python's spelling; true for one without a value."""


HERE = Where()


OURS = ("array", "error", "job_name", "output", "partition", "requeue", "signal", "time")
"""Options of sbatch that are said in another way, or that a study depends on."""


def where(text: str, minutes: int | None = None, sbatch: Sequence[str] = ()) -> Where:
    """``here``, ``ray[:ADDRESS]`` or ``slurm[:PARTITION]``, with the time limit of a job and ``KEY=VALUE`` for sbatch.

    Raises `TriptychError` for anything else, and where a package is missing for it.

    Example:
        >>> where("here") == HERE
        True
        >>> where("rya:10.0.0.1:6379")
        Traceback (most recent call last):
        triptych.errors.TriptychError: there is no place 'rya'; did you mean 'ray'? (there are: here, ray, slurm)
    """
    if not isinstance(text, str):
        raise unknown("place", text, KINDS)
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
    if kind != "slurm" and (minutes is not None or sbatch):
        raise TriptychError("--time and --sbatch are for jobs of Slurm; say --on slurm too")
    if minutes is not None:
        limited("--time", minutes, 1, LONGEST)
    return Where(KINDS[kind], name, minutes, tuple(map(_option, sbatch)))


def _option(text: str) -> tuple[str, str | bool]:
    """``mem=8G``, or ``exclusive``, as an option of sbatch."""
    key, equals, value = text.removeprefix("--").partition("=")
    if (
        not re.fullmatch(r"[a-z][a-z-]*", key)
        or bool(equals) != bool(value)
        or not value.isprintable()
    ):
        raise TriptychError(
            f"--sbatch takes KEY=VALUE, account=me or mem=8G say, not '{printable(text)}'"
        )
    key = key.replace("-", "_")
    if key in OURS or key == "no_requeue":
        raise TriptychError(
            f"--sbatch does not take '{key.replace('_', '-')}': the limit is --time, the partition --on slurm:PARTITION, "
            "and what a job depends on is set for it"
        )
    return key, value or True
