"""The end of a study: compared, in words, and drawn."""

from __future__ import annotations

from pathlib import Path

from triptych import files
from triptych.reporting.draw import draw_study
from triptych.reporting.study.tables import study_markdown
from triptych.studies.compare import write
from triptych.studies.plan import Study

__all__ = ["conclude"]


def conclude(study: Study, folder: Path) -> tuple[str, list[Path]]:
    """Write study.json, study.md and the figures; returns what study.md says and the figures' files."""
    said = study_markdown(write(study, folder))
    files.write(folder / "study.md", said)
    return said, draw_study(folder)
