"""What features found: whether they collapsed, and whether images of one class are neighbours in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.reporting.findings.finding import (
    ERRORS,
    Finding,
    both,
    differs,
    measured_against,
    percent,
)
from triptych.reporting.reference import simsiam as reference
from triptych.reporting.reference.protocol import other_data, scope
from triptych.runs import Run

__all__ = ["SAYINGS"]

Results = Mapping[str, Any]


def the_verdict(run: Run, results: Results, asked: bool) -> Finding | None:
    """Healthy, collapsed or not learning, with the evidence."""
    verdict = results.get("verdict")
    if verdict is None:
        return None
    return Finding(
        "Verdict", str(verdict["note"] or verdict["value"]), shows=("representation-curves",)
    )


def the_neighbours(run: Run, results: Results, asked: bool) -> Finding | None:
    """Accuracy of the nearest neighbours against both floors; of SimSiam, Figure 8."""
    found, floor = results.get("test/knn_top1"), results.get("test/knn_top1_untrained")
    pixels = results.get("test/knn_top1_pixels")
    if found is None or not math.isfinite(found["value"]):
        return None
    sentence = f"The neighbours' classes are right for {percent(found)} of the test images"
    levels = [("the untrained encoder", floor), ("raw pixels", pixels)]
    against = [f"{_above(found, of)} {name} ({percent(of)})" for name, of in levels if of]
    if against:
        sentence += f", {both(against)}"
    shows = ("test-knn-top1", "neighbours", "feature-map")
    told = Finding("kNN accuracy", sentence + ".", shows=shows)
    return _beside(run, told, found, asked)


def _above(found: Mapping[str, Any], floor: Mapping[str, Any]) -> str:
    points = 100 * (found["value"] - floor["value"])
    said = f"{abs(points):.1f} points {'above' if points >= 0 else 'below'}"
    error = 100 * math.hypot(found["stderr"] or 0.0, floor["stderr"] or 0.0)
    return f"{said} (within the errors)" if abs(points) < ERRORS * error else said


def _beside(run: Run, told: Finding, found: Mapping[str, Any], asked: bool) -> Finding:
    """The reference's number of the same arm, and how this one stands to it."""
    arm, held = reference.arm(run.config), scope(reference.PROTOCOL, run.config, asked)
    if arm is None or not held:
        return told
    known = reference.final("test/knn_top1", arm)
    told = told._replace(
        title="kNN accuracy (Figure 8)",
        reference=f"{100 * known:.1f} % of its arm “{arm}”",
        figures=(8,),
    )
    if held == "other data":
        return told._replace(standing="not comparable", why=other_data(run.config))
    changed = list(reference.differences(run.config))
    changed += [field for field in reference.cut_short(run) if field not in changed]
    changed += reference.measured_otherwise(found["protocol"])
    if changed:
        return told._replace(standing="not comparable", why=differs(changed))
    read = known - reference.READ_OFF, known + reference.READ_OFF
    return told._replace(
        standing=measured_against(found["value"], found["stderr"], read),
        why="within: two standard errors and what a figure can be read to",
    )


SAYINGS = (the_verdict, the_neighbours)
