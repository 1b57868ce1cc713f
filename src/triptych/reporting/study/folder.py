"""A study's folder: study.json, which may be a stranger's, runs by arm, and one look for each arm."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triptych import records
from triptych.enclosed import enclosed
from triptych.errors import DamagedError, TriptychError
from triptych.records import NUMBER, Shape
from triptych.reporting.looks import ARMS, LOOKS
from triptych.reporting.snapshot import Snapshot
from triptych.reporting.words import joined, setting

__all__ = ["StudyFolder", "read_study"]

MARKERS = "os^DvPX"
"""Tell arms apart besides their colours."""


class StudyFolder:
    """A study's folder: study.json, and its runs.

    Example:
        >>> found = '''{"study": "s", "control": "default", "seeds": [0, 1], "curves": [], "metrics": {},
        ...   "arms": {"default": {"verdicts": {}, "runs": {"0": {"state": "failed"}, "1": {"state": "done"}}}}}'''
        >>> _ = (tmp_path / "study.json").write_text(found)
        >>> (tmp_path / "default" / "seed-1").mkdir(parents=True)
        >>> (tmp_path / "default" / "seed-1" / "config.toml").touch()
        >>> [run.path.name for run in StudyFolder(tmp_path).runs("default")]
        ['seed-1']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, Any] = read_study(path / "study.json")
        self.arms = list(self.found["arms"])
        self._read: dict[Path, Snapshot] = {}

    def runs(self, arm: str) -> list[Snapshot]:
        """The runs of an arm that are done; where none is, those that failed. What is not in the folder is left out."""
        states = {s: run["state"] for s, run in self.found["arms"][arm]["runs"].items()}
        wanted = "done" if "done" in states.values() else "failed"
        # Names that lead out of the study's folder have been refused.
        found = [self.path / arm / f"seed-{s}" for s, state in states.items() if state == wanted]
        there = [path for path in found if (path / "config.toml").is_file()]
        return [self._read.setdefault(path, Snapshot(path)) for path in there]

    def number(self, arm: str) -> int:
        """Which of the looks of lines an arm has."""
        return self.arms.index(arm) % ARMS

    def look(self, arm: str) -> dict[str, Any]:
        """Colour and marker of an arm."""
        marker = MARKERS[self.arms.index(arm) % len(MARKERS)]
        return {"color": LOOKS[self.number(arm)].light, "marker": marker}

    def protocol(self) -> str:
        """Data, seeds and control as one line."""
        runs, control = self.runs(self.found["control"]), self.found["control"]
        seeds = ", ".join(map(str, self.found["seeds"]))
        return joined(setting(runs[0]) if runs else "", f"seeds {seeds}", f"control: {control}")


AGAIN = "run triptych study again"

STATE = "is no study of Triptych's"

SEED = re.compile(r"-?\d{1,20}")

RUN = {
    "state": str,
    "weights?": str,
    "verdict?": str,
    "evidence?": str,
    "reason?": str,
    "alarms?": [{"alarm": str}],
}
SUMMARY = {"n": int, "mean": NUMBER, "stderr": NUMBER, "values": {...: (int, float)}}
DIFFERENCE = {"n": int, **dict.fromkeys(("mean", "stderr", "low", "high", "holm"), NUMBER)}

STUDY: Shape = {
    "study": str,
    "control": str,
    "seeds": [int],
    "curves": [str],
    "arms": {...: {"runs": {...: RUN}, "verdicts": {...: int}}},
    "metrics": {
        ...: {
            "protocol": (dict, type(None)),
            "arms": {...: SUMMARY},
            "differences": {...: DIFFERENCE},
            "findings": [str],
        }
    },
}


def read_study(path: Path) -> dict[str, Any]:
    """What study.json holds, if it is what a study writes and nothing in it leads out of the study's folder.

    Raises `TriptychError` that says what is wrong.
    """
    if path.exists():
        enclosed(path.parent)
    found = records.parsed(path, STUDY, AGAIN, STATE)
    if found is None:
        raise TriptychError(f"'{path.parent}' holds no study.json; run triptych study first")
    try:
        _names(found, path.parent)
    except ValueError as error:
        raise DamagedError(path, str(error), AGAIN, STATE) from None
    return found


def _names(found: Mapping[str, Any], folder: Path) -> None:
    """Arms and seeds are parts of paths, and every table speaks of the same arms."""
    arms, root = found["arms"], folder.resolve()
    for arm, about in arms.items():
        for seed in about["runs"]:
            path = (root / arm / f"seed-{seed}").resolve()
            if not SEED.fullmatch(seed) or arm in ("", ".", "..") or path.parent.parent != root:
                raise ValueError(f"arm {arm[:40]!r}, seed {seed[:40]!r} is no folder in it")
    if found["control"] not in arms:
        raise ValueError("its control is none of its arms")
    known: Callable[[str], bool] = arms.__contains__
    for about in found["metrics"].values():
        if not all(map(known, (*about["arms"], *about["differences"]))):
            raise ValueError("it has numbers of an arm that it does not have")
