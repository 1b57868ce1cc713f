"""Which weights something was made with: what a checkpoint says of itself, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from triptych import records
from triptych.errors import TriptychError, printable
from triptych.files import regular
from triptych.metrics import label

__all__ = [
    "OF_WEIGHTS",
    "UNTRAINED",
    "Weights",
    "about",
    "doubt",
    "edits",
    "header_of",
    "staleness",
]


class Weights(NamedTuple):
    """Which weights something was made with.

    ``checkpoint`` is the name they have in the run (``best``, ``last``, or ``untrained`` for the
    initial ones, which no file holds), ``step`` how long they were trained, ``digest`` what they are.
    """

    checkpoint: str
    step: int
    digest: str

    def protocol(self) -> dict[str, str | int]:
        """The fields of a protocol that say with which weights something was made."""
        return {"checkpoint": self.checkpoint, "step": self.step, "weights": self.digest}

    def __str__(self) -> str:
        return f"{self.checkpoint} weights, step {self.step:,} ({self.digest})"


UNTRAINED = "untrained"
"""The checkpoint that a protocol names for the network with its initial weights."""

ELSEWHERE = ("data.name", "data.dir", "method.source.file")
"""Fields of a config that say where things are, and decide nothing."""

OF_WEIGHTS = ("step", "weights")
"""Fields of a protocol that say which weights were measured: they are what is compared, and not how."""

HEADER = 50_000_000
"""Bytes of a checkpoint's description that are read at most."""


def about(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself, its tensors unread; empty where there is none.

    A damaged file says nothing here: whoever loads it says what is wrong.
    """
    try:
        with regular(path) as file:
            header, _ = header_of(file)
        return records.about(header["__metadata__"]["about"], path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, TriptychError):
        return {}


def header_of(file: BufferedReader) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file that is open at its begin, and where its tensors begin; empty where it is too long for one.

    Raises `ValueError` and `RecursionError` for what is no JSON.
    """
    length = int.from_bytes(file.read(8), "little")
    return (json.loads(file.read(length)) if length <= HEADER else {}), 8 + length


def staleness(there: Sequence[Weights]) -> Callable[[Mapping[str, Any]], str]:
    """Asks of what was made with some weights why it does not belong to those that are there; empty where it does.

    What does not say its weights, or is of the untrained network, belongs to all.

    Example:
        >>> stale = staleness([Weights("last", 60, "0a1b")])
        >>> stale({"checkpoint": "last", "step": 60, "weights": "0a1b"})
        ''
        >>> stale({"checkpoint": "last", "step": 20, "weights": "ffff"})
        'stale: made with weights of step 20, and the run has those of step 60 now; run triptych evaluate again'
    """
    digests = {weights.digest for weights in there}
    steps = " and ".join(dict.fromkeys(f"{weights.step:,}" for weights in there))

    def why(made_with: Mapping[str, Any]) -> str:
        digest = made_with.get("weights")
        # A stranger's file may have anything there.
        known = not isinstance(digest, str) or digest in digests or not digests
        if known or made_with.get("checkpoint") == UNTRAINED:
            return ""
        step = made_with.get("step")
        said = f"{step:,}" if isinstance(step, int) else step
        return (
            f"stale: made with weights of step {said}, and the run has those "
            f"of step {steps} now; run triptych evaluate again"
        )

    return why


def edits(
    trained: Mapping[str, Any],
    config: Mapping[str, Any],
    called: Callable[[str], str] = str,
) -> list[str]:
    """What config.toml says otherwise than the config that weights were trained with, a clause each.

    ``called`` says how a clause calls a field; as config.toml has it unless it is given.

    Example:
        >>> edits({"train": {"batch_size": 64}, "data": {"name": "a"}}, {"train": {"batch_size": 32}, "data": {"name": "b"}})
        ['train.batch_size is 32 in config.toml and was 64']
    """
    then, now = records.flat(trained), records.flat(config)
    return [
        printable(
            f"{called(name)} is {now.get(name, 'not there')} in config.toml and was {then.get(name, 'not there')}"
        )
        for name in sorted(then | now)
        if then.get(name) != now.get(name) and name not in ELSEWHERE
    ]


def doubt(best: Weights, chosen: Mapping[str, Any], alarms: Sequence[int]) -> str:
    """Why weights are a bad choice for the best, in a sentence; empty where nothing speaks against them.

    Args:
        best: the weights.
        chosen: the ``metric`` that chose them, its ``value``, whether ``higher`` or lower is ``better``,
            and its value for the ``untrained`` network, if it was looked at.
        alarms: the steps from which on the training had failed.
    """
    raised = [step for step in alarms if step <= best.step]
    if raised:
        return (
            f"The best weights, of step {best.step:,}, are from after the alarm of step "
            f"{min(raised):,}: evaluate them with that in mind, or train again"
        )
    value, untrained = chosen.get("value"), chosen.get("untrained")
    if not isinstance(value, (int, float)) or not isinstance(untrained, (int, float)):
        return ""
    worse = value <= untrained if chosen.get("better") == "higher" else value >= untrained
    if not worse:
        return ""
    return (
        f"The best weights, of step {best.step:,}, are no better than the untrained network by "
        f"{label(str(chosen.get('metric')))}: {value:,.4f} against {untrained:,.4f}"
    )
