"""What features found: whether they collapsed, and whether images of one class are neighbours in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.report import reference_simsiam as reference
from triptych.report.page.finding import Finding, differs, measured_against, percent
from triptych.runs import Run

__all__ = ["SAYINGS"]

Results = Mapping[str, Any]


def the_verdict(run: Run, results: Results) -> Finding | None:
    """Healthy, collapsed or not learning, with the evidence."""
    verdict = results.get("verdict")
    if verdict is None:
        return None
    return Finding(
        "Verdict", str(verdict["note"] or verdict["value"]), shows=("representation-curves",)
    )


def the_neighbours(run: Run, results: Results) -> Finding | None:
    """Accuracy of the nearest neighbours against both floors; of SimSiam, Figure 8."""
    found, floor = results.get("test/knn_top1"), results.get("test/knn_top1_untrained")
    pixels = results.get("test/knn_top1_pixels")
    if found is None or not math.isfinite(found["value"]):
        return None
    sentence = f"The neighbours' classes are right for {percent(found)} of the test images"
    if floor is not None:
        sentence += f", {_above(found, floor)} the untrained encoder ({percent(floor)})"
    if pixels is not None:
        sentence += f" and {_above(found, pixels)} raw pixels ({percent(pixels)})"
    shows = ("test-knn-top1", "neighbours", "feature-map")
    if run.config.get("method", {}).get("name") != "simsiam":
        return Finding("kNN accuracy", sentence + ".", shows=shows)
    return Finding("kNN accuracy (Figure 8)", sentence + ".", *_against(run, found), (8,), shows)


def _above(found: Mapping[str, Any], floor: Mapping[str, Any]) -> str:
    points = 100 * (found["value"] - floor["value"])
    return f"{abs(points):.1f} points {'above' if points >= 0 else 'below'}"


def _against(run: Run, found: Mapping[str, Any]) -> tuple[str, Any, str]:
    """The reference's number of the same arm, and how this one stands to it."""
    arm = reference.arm(run.config)
    if arm is None:
        return "", "", ""
    known = reference.final("test/knn_top1", arm)
    given = f"{100 * known:.1f} % of its arm “{arm}”"
    changed = list(reference.differences(run.config))
    changed += [field for field in reference.cut_short(run) if field not in changed]
    changed += reference.measured_otherwise(found["protocol"])
    if changed:
        return given, "not comparable", differs(changed)
    read = known - reference.READ_OFF, known + reference.READ_OFF
    rule = "within: two standard errors and what a figure can be read to"
    return given, measured_against(found["value"], found["stderr"], read), rule


SAYINGS = (the_verdict, the_neighbours)
