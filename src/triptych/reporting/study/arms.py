"""The arms of a study as findings need them: their configs, means and baselines, and what is sure of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from triptych.config import read_toml
from triptych.errors import TriptychError
from triptych.reporting.findings.finding import APART, ERRORS, both
from triptych.reporting.study.folder import StudyFolder
from triptych.runs import Run

__all__ = [
    "KNN",
    "LOSS",
    "PROBE",
    "Rise",
    "Summary",
    "collapsed",
    "config_of",
    "evaluated_again",
    "listed",
    "means_of",
    "noises",
    "rises",
    "surely_above",
    "untrained",
]

KNN, LOSS, PROBE = "test/knn_top1", "train/loss", "test/linear_top1"

ASSUMED = 0.016
"""Error of a share that no evaluation measured: the largest that one of a thousand images has."""

Rise = Literal["yes", "no", "undecided", "unknown"]
Summary: TypeAlias = Mapping[str, Any]


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
    return {**table, "method": {**name, **table.get("method", {})}}


def means_of(folder: StudyFolder, metric: str) -> dict[str, Mapping[str, Any]]:
    """Arm → its summary, where it has a number."""
    found = folder.found["metrics"].get(metric, {}).get("arms", {})
    return {arm: s for arm in folder.arms if (s := found.get(arm)) and s["mean"] is not None}


def untrained(folder: StudyFolder, arm: str) -> dict[str, tuple[float, float]]:
    """Seed → kNN of the encoder before its training, with its error where that was measured."""
    found = {}
    for run in folder.runs(arm):
        seed = run.path.name.removeprefix("seed-")
        result = _compared(folder, arm, run).get(f"{KNN}_untrained")
        start = [line[KNN] for line in run.metrics() if line.get("step") == 0 and KNN in line]
        if result is not None:
            found[seed] = (float(result["value"]), float(result["stderr"] or 0.0))
        elif start:
            found[seed] = (float(start[0]), 0.0)
    return {seed: start for seed, start in found.items() if all(map(math.isfinite, start))}


def _compared(folder: StudyFolder, arm: str, run: Run) -> Mapping[str, Any]:
    """The results of a run; none if it was evaluated again since the study was made, with other numbers."""
    return {} if evaluated_again(folder, arm, run) else run.results()


def evaluated_again(folder: StudyFolder, arm: str, run: Run) -> bool:
    """Whether a run has another number now than the study has of it."""
    results, seed = run.results(), run.path.name.removeprefix("seed-")
    for metric, found in folder.found["metrics"].items():
        then = found["arms"].get(arm, {}).get("values", {}).get(seed)
        now = results.get(metric, {}).get("value")
        if then is not None and now is not None and now != then:
            return True
    return False


def rises(folder: StudyFolder, arm: str, starts: Mapping[str, tuple[float, float]]) -> Rise:
    """Whether every seed ends above its untrained encoder by more than its errors; unknown where none was measured.

    Between two and three errors it is undecided, and where some seeds rise and others do not.
    """
    values = folder.found["metrics"][KNN]["arms"][arm]["values"]
    own = errors(folder, KNN, arm)
    paired = [seed for seed in values if seed in starts]
    risen = []
    for seed in paired:
        start, error = starts[seed]
        alone = own.get(seed, ASSUMED)
        gain, noise = values[seed] - start, math.hypot(alone, error or alone)
        risen.append("yes" if gain > APART * noise else "no" if gain <= ERRORS * noise else "")
    if not risen:
        return "unknown"
    return "yes" if set(risen) == {"yes"} else "no" if set(risen) == {"no"} else "undecided"


def errors(folder: StudyFolder, metric: str, arm: str) -> dict[str, float]:
    """Seed → standard error over images of a run's own number, where it has one."""
    found = {}
    for run in folder.runs(arm):
        stderr = _compared(folder, arm, run).get(metric, {}).get("stderr")
        if stderr is not None:
            found[run.path.name.removeprefix("seed-")] = float(stderr)
    return found


def collapsed(folder: StudyFolder, arm: str) -> Rise:
    """Whether the features of every seed collapsed, by the verdicts: spread and rank with the loss, never it alone."""
    runs = folder.found["arms"][arm]["runs"].values()
    said = [run["verdict"] for run in runs if run["state"] == "done" and "verdict" in run]
    fallen = [verdict.endswith("collapse") for verdict in said]
    if not said:
        return "unknown"
    if all(fallen):
        return "yes"
    return "undecided" if any(fallen) or not {*said} <= {"healthy", "not learning"} else "no"


def listed(arms: Sequence[str], shown: Mapping[str, str]) -> str:
    """Arms with their numbers, as a sentence lists them.

    Example:
        >>> listed(["a", "b"], {"a": "1 %", "b": "2 %"}), listed(["a"], {"a": ""})
        ('a (1 %) and b (2 %)', 'a')
    """
    return both([f"{arm} ({shown[arm]})" if shown[arm] else arm for arm in arms])


def noises(
    folder: StudyFolder, metric: str, means: Mapping[str, Summary]
) -> dict[str, float | None]:
    """Arm → the error of its mean: over seeds, and of one seed over its images; none where neither is known."""
    found: dict[str, float | None] = {}
    for arm, summary in means.items():
        own = list(errors(folder, metric, arm).values())
        alone = max(own) if own and summary["n"] == 1 else None
        found[arm] = summary["stderr"] if summary["stderr"] is not None else alone
    return found


def surely_above(
    upper: str, lower: str, means: Mapping[str, Summary], noise: Mapping[str, float | None]
) -> bool:
    """By more than the errors of the means, and with every seed: two seeds have no good error.

    Numbers whose error nobody knows are never surely apart.
    """
    a, b = noise[upper], noise[lower]
    if a is None or b is None:
        return False
    apart = min(means[upper]["values"].values()) > max(means[lower]["values"].values())
    return bool(apart and means[upper]["mean"] - means[lower]["mean"] > APART * math.hypot(a, b))
