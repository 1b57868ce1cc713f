"""Whether a training diverged: then what else is said of its curves is of the time before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.metrics import label
from triptych.reporting.findings.finding import Finding, both
from triptych.runs import Run

__all__ = ["diverged"]

NAMED = 3
"""Numbers that a sentence names; of more it says how many."""


def diverged(run: Run, results: Mapping[str, Any]) -> Finding | None:
    """That logged numbers are not finite at the end, or that the verdict in training was so; nothing of other runs."""
    log = run.metrics()
    lost = _lost(log)
    if lost:
        named = [f"the {label(name)}" for name in [*lost][:NAMED]]
        more = len(lost) - len(named)
        named += [f"{more} more"] if more else []
        sentence = (
            f"The training diverged: from step {min(lost.values()):,} on it logged no finite numbers for "
            f"{both(named)}. Where these stand on this page, they are of the time before."
        )
        return Finding("Divergence", sentence)
    looks = [
        (line["step"], line["verdict"]) for line in log if isinstance(line.get("verdict"), str)
    ]
    # A verdict that was measured has a finding of its own.
    if "verdict" in results or not looks or looks[-1][1] != "diverged":
        return None
    sentence = (
        f"The training diverged: at step {looks[-1][0]:,} the loss or the features were no finite "
        "numbers any more."
    )
    return Finding("Divergence", sentence)


def _lost(log: list[dict[str, Any]]) -> dict[str, int]:
    """The numbers that are not finite at their last look, and the step since which that is so.

    Of one that never was finite it may be the metric; what a training minimises is at fault even then.
    """
    since: dict[str, int] = {}
    there: set[str] = set()
    for line in log:
        for name, value in line.items():
            if "/" not in name or not isinstance(value, (int, float)):
                continue
            if math.isfinite(value):
                there.add(name)
                since.pop(name, None)
            else:
                since.setdefault(name, line["step"])
    return {n: step for n, step in since.items() if n in there or n.startswith("train/")}
