"""The numbers of a study as tables: arms × metrics, and differences from the control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.reporting.parts.tables import Table, latex_table, scale, value_with_error, written
from triptych.reporting.words import signed

__all__ = ["study_csv", "study_latex", "study_tables"]

Study = Mapping[str, Any]


def study_tables(study: Study) -> list[Table]:
    """Means of every arm, and every arm's paired difference from the control."""
    metrics = {m: about for m, about in study["metrics"].items() if about["arms"]}
    if not metrics:
        return []
    means = [[arm, _verdicts(study, arm), *_means(metrics, arm)] for arm in study["arms"]]
    others = [arm for arm in study["arms"] if arm != study["control"]]
    between = [
        [f"{arm}: {metric}", *_difference(metric, about["differences"][arm])]
        for metric, about in metrics.items()
        for arm in others
        if arm in about["differences"]
    ]
    tables = [
        Table(
            "Arms",
            "Means with their standard error over seeds.",
            ["arm", "verdict", *metrics],
            means,
        )
    ]
    if between:
        said = (
            f"Arm − {study['control']}, runs of one seed; Student's 95 % interval of the mean, "
            "p after Holm's correction over the arms."
        )
        head = ["difference", "mean", "95 % interval", "p", "seeds"]
        tables.append(Table(f"Differences from {study['control']}", said, head, between))
    return tables


def _means(metrics: Mapping[str, Any], arm: str) -> list[str]:
    summaries = [(m, about["arms"].get(arm)) for m, about in metrics.items()]
    return [
        value_with_error(m, s["mean"], s["stderr"]) if s and s["mean"] is not None else "none"
        for m, s in summaries
    ]


def _verdicts(study: Study, arm: str) -> str:
    about = study["arms"][arm]
    said = [f"{verdict} {n}/{len(about['runs'])}" for verdict, n in about["verdicts"].items()]
    return ", ".join(said) or "none"


def _difference(metric: str, found: Mapping[str, Any]) -> list[str]:
    if found["mean"] is None:
        return ["none", "", "", str(found["n"])]
    times, unit = scale(metric)
    digits = 1 if unit else 3
    if found["stderr"]:
        # Two figures of an error that is small.
        digits = max(digits, 1 - math.floor(math.log10(times * found["stderr"])))
    mean = f"{signed(times * found['mean'], digits)}{unit}"
    if found["low"] is None or found["high"] is None:
        return [mean, "one seed: none", "", str(found["n"])]
    if found["low"] == found["high"]:
        return [mean, "the same for each seed", "", str(found["n"])]
    low, high = (signed(times * found[end], digits) for end in ("low", "high"))
    p = found["holm"]
    said = "" if p is None else "< 0.001" if p < 0.001 else f"{p:.2g}"
    return [mean, f"{low} to {high}", said, str(found["n"])]


def study_csv(study: Study) -> str:
    """Every number unrounded, a line for each arm and metric."""
    head = ["metric", "arm", "seeds", "mean", "stderr", "difference", "low", "high", "p_holm"]
    lines: list[Sequence[Any]] = [head]
    for metric, about in study["metrics"].items():
        for arm, summary in about["arms"].items():
            between = about["differences"].get(arm, {})
            numbers = [summary["n"], summary["mean"], summary["stderr"]]
            numbers += [between.get(name) for name in ("mean", "low", "high", "holm")]
            lines.append([metric, arm, *numbers])
    return written(lines)


def study_latex(study: Study) -> str:
    """The page's tables, one ``tabular`` after the other."""
    return "\n".join(latex_table(table.head, table.rows) for table in study_tables(study))
