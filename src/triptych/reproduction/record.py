"""reproduce.json: what a reproduction does, and the seconds that each part was said to take and took."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from triptych import records
from triptych.enclosed import enclosed
from triptych.errors import TriptychError
from triptych.files import write
from triptych.records import NUMBER, Shape
from triptych.reproduction.plan import Plan
from triptych.studies.card import Crowd
from triptych.studies.plan import difference

__all__ = ["RECORD", "Record", "read_record", "refuse_another"]

RECORD = "reproduce.json"
"""The file in the folder that says what is done there, and how long it took."""

SHAPE: Shape = {
    "plan": dict,
    "done": bool,
    "calls": [{"parts": {...: {"predicted": NUMBER, "actual": NUMBER}}}],
}
"""What that file has to hold."""


class Record:
    """The record of a reproduction, written in one step after every part.

    It has the ``plan``, whether it is ``done``, and the ``calls``: each time that the work was begun
    or gone on with, what was left then, predicted and actual seconds. A part that has no actual
    seconds was cut off.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.path = folder / RECORD
        begun = {"plan": plan.tables(), "done": False, "calls": []}
        self.found: dict[str, Any] = read_record(folder) or begun

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.found["done"])

    @property
    def parts(self) -> dict[str, dict[str, float | None]]:
        """Predicted and actual seconds of each part of this call."""
        found: dict[str, dict[str, float | None]] = self.found["calls"][-1]["parts"]
        return found

    def begin(
        self,
        predicted: Mapping[str, float],
        warm_up: float = 0.0,
        steps: Mapping[str, float] | None = None,
        slowed: float = 1.0,
        crowd: Crowd | None = None,
    ) -> None:
        """A call begins, with its estimate, the seconds that this took, those of a step, on a card its runs at once.

        Both are of free cores; when they were timed, others ``slowed`` everything so many times.
        """
        parts = {n: {"predicted": round(s, 2), "actual": None} for n, s in predicted.items()}
        paces = {name: round(seconds, 5) for name, seconds in (steps or {}).items()}
        call = {
            "warm_up": round(warm_up, 2),
            "slowed": round(slowed, 2),
            "seconds_per_step": paces,
            "parts": parts,
        }
        if crowd is not None:
            gains = {str(count): round(gain, 3) for count, gain in crowd.gains.items()}
            call["side_by_side"] = {"jobs": crowd.jobs, "gains": gains}
        self.found["calls"].append(call)
        self._write()

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Time a part; one that does not come to its end has no time."""
        began = time.monotonic()
        yield
        self.parts.setdefault(part, {"predicted": 0.0})["actual"] = round(
            time.monotonic() - began, 2
        )
        self._write()

    def finish(self) -> None:
        """Nothing is left to do."""
        self.found["done"] = True
        self._write()

    def _write(self) -> None:
        write(self.path, json.dumps(self.found, indent=1) + "\n")


def read_record(folder: Path) -> dict[str, Any] | None:
    """What the record of a reproduction holds; none where there is no such file. Raises `DamagedError`."""
    return records.parsed(folder / RECORD, SHAPE, "choose another --out")


def refuse_another(plan: Plan, folder: Path) -> None:
    """`TriptychError` where the folder holds anything but this reproduction."""
    others = not os.path.lexists(folder / RECORD) and folder.is_dir()
    # A call that ended while it timed the machine left its lock behind, and no work that could be lost.
    if others and any(map(_is_no_beginning, folder.iterdir())):
        raise TriptychError(
            f"'{folder}' is not empty and holds no reproduction; choose another --out"
        )
    enclosed(folder)
    found = read_record(folder)
    if found is None:
        return
    differs = difference(found["plan"], plan.tables())
    if differs:
        raise TriptychError(
            f"'{folder}' holds a reproduction in which {differs}; choose another --out, or delete it"
        )


def _is_no_beginning(path: Path) -> bool:
    return path.name != ".lock" and not path.name.startswith(f".{RECORD}.")
