"""What features found: whether they collapsed, and whether images of one class are neighbours in them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.reporting.findings.finding import ERRORS, Finding, both, percent
from triptych.runs import Run

__all__ = ["neighbours", "verdict"]

Results = Mapping[str, Any]


def verdict(run: Run, results: Results) -> Finding | None:
    """Healthy, collapsed or not learning, with the evidence."""
    found = results.get("verdict")
    if found is None:
        return None
    return Finding(
        "Verdict",
        str(found["note"] or found["value"]),
        shows=("test-knn-top1", "features-std", "rank"),
    )


def neighbours(run: Run, results: Results) -> Finding | None:
    """Accuracy of the nearest neighbours against both baselines: the untrained encoder and raw pixels."""
    found = results.get("test/knn_top1")
    if found is None or not math.isfinite(found["value"]):
        return None
    sentence = f"A vote of the nearest training images names the right class for {percent(found)} of the test images"
    baselines = {
        "the untrained encoder": results.get("test/knn_top1_untrained"),
        "raw pixels": results.get("test/knn_top1_pixels"),
    }
    against = [
        f"{_above(found, of)} with {name} ({percent(of)})" for name, of in baselines.items() if of
    ]
    if against:
        sentence += f": {both(against)}"
    sentence += f".{_high_bar(found, results)}"
    shows = ("test-knn-top1", "neighbours", "feature-map")
    return Finding("kNN accuracy", sentence, shows=shows)


def _high_bar(found: Mapping[str, Any], results: Results) -> str:
    """What it means that raw pixels do better, and what the features hold nonetheless; nothing where they do not."""
    pixels, probe = results.get("test/knn_top1_pixels"), results.get("test/linear_top1")
    if not pixels or pixels["value"] <= 0.5 or not _surely_more(pixels, found):
        return ""
    said = " Raw pixels are a high bar here: images that agree pixel by pixel mostly have the same class."
    if probe and _surely_more(probe, found):
        said += f" The features hold more than their neighbours show: a linear probe on them is right for {percent(probe)}."
    return said


def _surely_more(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    error = math.hypot(one["stderr"] or 0.0, other["stderr"] or 0.0)
    return bool(one["value"] - other["value"] > ERRORS * error)


def _above(found: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    points = 100 * (found["value"] - baseline["value"])
    said = f"{abs(points):.1f} points {'more' if points >= 0 else 'fewer'} than"
    error = 100 * math.hypot(found["stderr"] or 0.0, baseline["stderr"] or 0.0)
    # A difference within its error is none.
    return "as many, within the errors, as" if abs(points) < ERRORS * error else said
