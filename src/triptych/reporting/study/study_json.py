"""Reading study.json, which may be a stranger's: its names become paths, its numbers sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triptych import records
from triptych.errors import DamagedError, TriptychError
from triptych.records import NUMBER, Shape

__all__ = ["read_study"]

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
