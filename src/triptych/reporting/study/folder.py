"""A study's folder: study.json, which may be a stranger's, runs by arm, and one look for each arm."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
        self.of: dict[str, str] = {
            arm: about["of"] for arm, about in self.found["arms"].items() if "of" in about
        }
        """Arm → the arm that it is a variant of."""
        self._read: dict[Path, Snapshot] = {}

    def runs(self, arm: str) -> list[Snapshot]:
        """The runs of an arm that are done; where none is, those that failed. What is not in the folder is left out."""
        states = {s: run["state"] for s, run in self.found["arms"][arm]["runs"].items()}
        wanted = "done" if "done" in states.values() else "failed"
        # Names that lead out of the study's folder have been refused.
        found = [self.path / arm / f"seed-{s}" for s, state in states.items() if state == wanted]
        there = [path for path in found if (path / "config.toml").is_file()]
        return [self._read.setdefault(path, Snapshot(path)) for path in there]

    @property
    def own_arms(self) -> list[str]:
        """The arms that are no variants of others."""
        return [arm for arm in self.arms if arm not in self.of]

    @property
    def methods(self) -> dict[str, str]:
        """Arm → the name of its method, where a study has several."""
        about = self.found["arms"].items()
        return {arm: told["method"] for arm, told in about if "method" in told}

    @property
    def variant(self) -> str:
        """What variants are, in a word or two."""
        return str(self.found.get("variant", "changed"))

    def drawn_together(self, metric: str) -> list[list[str]]:
        """The arms that share a pair of axes: variants have their own, and so has every objective in whose units a metric is."""
        groups = self.found.get("apart", {}).get(metric, [self.arms])
        split = (
            [arm for arm in g if (arm in self.of) == of] for of in (False, True) for g in groups
        )
        return [group for group in split if group]

    def number(self, arm: str) -> int:
        """Which of the looks of lines an arm has; a variant has that of the arm that it is of."""
        return self.own_arms.index(self.of.get(arm, arm)) % ARMS

    def look(self, arm: str) -> dict[str, Any]:
        """Colour and marker of an arm."""
        number = self.number(arm)
        return {"color": LOOKS[number].light, "marker": MARKERS[number]}

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
DIFFERENCE = {
    "n": int,
    "from?": str,
    **dict.fromkeys(("mean", "stderr", "low", "high", "holm"), NUMBER),
}

PAIR = {"first": str, "second": str, "certain": bool, "n": int} | dict.fromkeys(
    ("mean", "stderr", "low", "high", "holm"), (int, float)
)

STUDY: Shape = {
    "study": str,
    "control": str,
    "seeds": [int],
    "curves": [str],
    "variant?": str,
    "apart?": {...: [[str]]},
    "arms": {...: {"runs": {...: RUN}, "verdicts": {...: int}, "method?": str, "of?": str}},
    "metrics": {
        ...: {
            "protocol": (dict, type(None)),
            "arms": {...: SUMMARY},
            "differences": {...: DIFFERENCE},
            "findings": [str],
            "ranking?": {"order": [str], "pairs": [PAIR]},
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
    named: list[str] = [told["of"] for told in arms.values() if "of" in told]
    if any("of" in arms.get(arm, {}) for arm in (*named, found["control"])):
        raise ValueError("an arm is a variant of one that is itself")
    named += [arm for groups in found.get("apart", {}).values() for of in groups for arm in of]
    for about in found["metrics"].values():
        named += [*about["arms"], *about["differences"]]
        named += [of["from"] for of in about["differences"].values() if "from" in of]
        ranking = about.get("ranking", {"order": [], "pairs": []})
        named += ranking["order"]
        named += [arm for pair in ranking["pairs"] for arm in (pair["first"], pair["second"])]
    if not set(named) <= set(arms):
        raise ValueError("it has numbers of an arm that it does not have")
