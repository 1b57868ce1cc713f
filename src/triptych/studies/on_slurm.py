"""The runs of a study in the queue of Slurm."""

from __future__ import annotations

from pathlib import Path

from triptych.errors import TriptychError
from triptych.studies.plan import Study
from triptych.studies.where import Where

__all__ = ["submit"]


def submit(
    study: Study, folder: Path, where: Where, *, data_dir: str | None, jobs: int | None
) -> str:
    """Put the runs that have no outcome into the queue, ``jobs`` at once, and return; what was submitted, in words."""
    raise TriptychError("nothing can be submitted to Slurm yet")
