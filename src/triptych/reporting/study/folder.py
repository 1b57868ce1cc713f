"""A study's folder as its figures see it: runs by arm, and one look for each arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from triptych.reporting.figures.style import INK
from triptych.reporting.study.study_json import read_study
from triptych.reporting.words import joined, setting
from triptych.runs import Run

__all__ = ["NAMES", "StudyFolder"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
"""Okabe and Ito's, in an order in which neighbours differ most; markers tell arms apart as well."""

MARKERS = "os^DvPX"

NAMES = {
    "train/loss": "training loss",
    "test/knn_top1": "kNN top-1 on test images",
    "valid/knn_top1": "kNN top-1 on validation images",
    "test/linear_top1": "linear probe, top-1 on test images",
    "features/std": "std of unit projections × √d",
    "features/effective_rank": "effective rank of projections",
    "features/backbone_rank": "effective rank of backbone features",
}
"""How a metric is written on an axis; others go by their own names."""


class StudyFolder:
    """A study's folder: study.json, and its runs.

    Example:
        >>> found = '''{"study": "s", "control": "default", "seeds": [0, 1], "curves": [], "metrics": {},
        ...   "arms": {"default": {"verdicts": {}, "runs": {"0": {"state": "failed"}, "1": {"state": "done"}}}}}'''
        >>> _ = (tmp_path / "study.json").write_text(found)
        >>> _ = Run.create(tmp_path / "default" / "seed-1", {})
        >>> [run.path.name for run in StudyFolder(tmp_path).runs("default")]
        ['seed-1']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, Any] = read_study(path / "study.json")
        self.arms = list(self.found["arms"])

    def runs(self, arm: str) -> list[Run]:
        """The runs of an arm that are done; where none is, those that failed. What is not in the folder is left out."""
        states = {s: run["state"] for s, run in self.found["arms"][arm]["runs"].items()}
        wanted = "done" if "done" in states.values() else "failed"
        # Names that lead out of the study's folder have been refused.
        found = [self.path / arm / f"seed-{s}" for s, state in states.items() if state == wanted]
        return [Run(path) for path in found if (path / "config.toml").is_file()]

    def look(self, arm: str) -> dict[str, Any]:
        """Colour and marker of an arm."""
        place = self.arms.index(arm)
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        return {"color": colour, "marker": marker}

    def protocol(self) -> str:
        """Data, seeds and control as one line."""
        runs, control = self.runs(self.found["control"]), self.found["control"]
        seeds = ", ".join(map(str, self.found["seeds"]))
        return joined(setting(runs[0]) if runs else "", f"seeds {seeds}", f"control: {control}")
