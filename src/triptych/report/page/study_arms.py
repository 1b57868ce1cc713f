"""The arms of a study as findings need them: their configs, means and floors, and how they stand to one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

from triptych.config import read_toml
from triptych.errors import TriptychError
from triptych.report import reference_simsiam as reference
from triptych.report.page.finding import ERRORS, Agreement, both
from triptych.report.study_folder import StudyFolder

__all__ = ["KNN", "config_of", "listed", "means_of", "order", "rises", "surely_above", "untrained"]

KNN = "test/knn_top1"


def config_of(folder: StudyFolder, arm: str) -> Mapping[str, Any]:
    """An arm's config: a run's, else the study file's."""
    runs = folder.runs(arm)
    if runs:
        return runs[0].config
    try:
        study = read_toml(folder.path / "study.toml")
    except TriptychError:
        return {}
    table = study.get("arms", {}).get(arm, {})
    name = {"name": study.get("study", {}).get("method")}
    return {**table, "method": {**table.get("method", {}), **name}}


def means_of(folder: StudyFolder, metric: str) -> dict[str, Mapping[str, Any]]:
    """Arm → its summary, where it has a number."""
    found = folder.found["metrics"].get(metric, {}).get("arms", {})
    return {arm: s for arm in folder.arms if (s := found.get(arm)) and s["mean"] is not None}


def untrained(folder: StudyFolder, arm: str) -> dict[str, tuple[float, float]]:
    """Seed → kNN of the encoder before its training, with its error where that was measured."""
    found = {}
    for run in folder.runs(arm):
        seed = run.path.name.removeprefix("seed-")
        result = run.results().get(f"{KNN}_untrained")
        start = [line[KNN] for line in run.metrics() if line.get("step") == 0 and KNN in line]
        if result is not None:
            found[seed] = (float(result["value"]), float(result["stderr"] or 0.0))
        elif start:
            found[seed] = (float(start[0]), 0.0)
    return {seed: floor for seed, floor in found.items() if all(map(math.isfinite, floor))}


def rises(folder: StudyFolder, arm: str, floors: Mapping[str, tuple[float, float]]) -> bool | None:
    """Whether every seed ends above its untrained encoder by more than its errors; none where no floor is known."""
    values = folder.found["metrics"][KNN]["arms"][arm]["values"]
    results = {run.path.name: run.results().get(KNN, {}) for run in folder.runs(arm)}
    paired = [seed for seed in values if seed in floors]
    margins = []
    for seed in paired:
        floor, error = floors[seed]
        own = results.get(f"seed-{seed}", {}).get("stderr") or 0.0
        margins.append(values[seed] - floor - ERRORS * math.hypot(error, own))
    return min(margins) > 0 if margins else None


def listed(arms: Sequence[str], shown: Mapping[str, str]) -> str:
    """Arms with their numbers, as a sentence lists them.

    Example:
        >>> listed(["a", "b"], {"a": "1 %", "b": "2 %"})
        'a (1 %) and b (2 %)'
    """
    return both([f"{arm} ({shown[arm]})" for arm in arms])


def order(
    named: Mapping[str, str | None], means: Mapping[str, Mapping[str, Any]]
) -> tuple[Agreement, str]:
    """Whether two arms stand the other way round than in the reference, by more than their errors."""
    known = {arm: reference.final(KNN, name) for arm, name in named.items() if name}
    turned = [
        f"{below} stands above {above}"
        for above, below in permutations(known, 2)
        if known[above] > known[below] and surely_above(means[below], means[above])
    ]
    if turned:
        return "disagrees", f"another order of the arms: {'; '.join(turned)}"
    return "agrees", "the order of the arms is the same, as far as their errors tell"


def surely_above(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> bool:
    """By more than the errors of the means, and with every seed: two seeds have no good error."""
    slack = ERRORS * math.hypot(upper["stderr"] or 0.0, lower["stderr"] or 0.0)
    apart = min(upper["values"].values()) > max(lower["values"].values())
    return bool(apart and upper["mean"] - lower["mean"] > slack)
