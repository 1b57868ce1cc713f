"""The tables of a study and its findings, as text for a terminal that is Markdown as well."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.reporting.words import signed

__all__ = ["study_table"]


def study_table(study: Mapping[str, Any]) -> str:
    """What study.json holds, in words: how the runs ended, and a table and findings for each metric."""
    seeds = ", ".join(map(str, study["seeds"]))
    control = study["control"]
    lines = [
        f"# {study['study']}",
        "",
        f"{len(study['arms'])} arms × {len(study['seeds'])} seeds ({seeds}); the control is {control}. "
        "Means with their standard error over seeds; differences are of runs of one seed, their "
        "intervals Student's, p after Holm's correction over the arms.",
        "",
        *_endings(study["arms"]),
    ]
    for metric, found in study["metrics"].items():
        lines += ["", f"## {metric}", ""]
        lines += _numbers(found, control) if found["arms"] else []
        lines += [f"- {sentence}" for sentence in found["findings"]]
    return "\n".join(lines) + "\n"


def _endings(arms: Mapping[str, Any]) -> list[str]:
    """How the runs of each arm ended, their verdicts and alarms; reasons of failures below."""
    rows = [
        [name, _counted([r["state"] for r in arm["runs"].values()]), _verdicts(arm), _alarms(arm)]
        for name, arm in arms.items()
    ]
    why = [
        f"- {name}, seed {seed}: {sentence}"
        for name, arm in arms.items()
        for seed, run in arm["runs"].items()
        if (sentence := _why(run))
    ]
    return [*_table(["arm", "runs", "verdict", "alarms"], rows), *([""] if why else []), *why]


def _why(run: Mapping[str, Any]) -> str:
    """What led to the end or the verdict of a run; nothing where there is nothing to tell."""
    if run["state"] == "failed":
        return f"failed: {run['reason']}"
    return str(run.get("evidence", ""))


def _counted(words: Sequence[str]) -> str:
    return ", ".join(f"{word} {n}/{len(words)}" for word, n in Counter(words).items())


def _verdicts(arm: Mapping[str, Any]) -> str:
    return ", ".join(f"{said} {n}/{len(arm['runs'])}" for said, n in arm["verdicts"].items())


def _alarms(arm: Mapping[str, Any]) -> str:
    alarmed = [run for run in arm["runs"].values() if run.get("alarms")]
    return f"{len(alarmed)}/{len(arm['runs'])}" if alarmed else ""


def _numbers(found: Mapping[str, Any], control: str) -> list[str]:
    """Means and differences of every arm of one metric."""
    head = ["arm", "mean ± SE", "seeds", f"arm − {control}", "95 % interval", "p (Holm)"]
    rows = []
    for arm, summary in found["arms"].items():
        difference = found["differences"].get(arm)
        cells = _difference(difference) if difference else ["", "", ""]
        rows.append([arm, _mean(summary), str(summary["n"]), *cells])
    return [*_table(head, rows), ""]


def _mean(summary: Mapping[str, Any]) -> str:
    if summary["mean"] is None:
        return "none"
    digits = _digits(summary["stderr"], summary["mean"])
    mean = signed(summary["mean"], digits)
    return mean if summary["stderr"] is None else f"{mean} ± {summary['stderr']:.{digits}f}"


def _difference(difference: Mapping[str, Any]) -> list[str]:
    if difference["mean"] is None:
        return ["none", "", ""]
    digits = _digits(difference["stderr"], difference["mean"])
    mean = signed(difference["mean"], digits)
    if difference["low"] is None:
        return [mean, "one seed: none", ""]
    if difference["stderr"] <= 1e-9 * abs(difference["mean"]):
        return [mean, "the same for each seed", ""]
    interval = f"{signed(difference['low'], digits)} to {signed(difference['high'], digits)}"
    return [
        mean,
        interval,
        "< 0.001" if difference["holm"] < 0.001 else f"{difference['holm']:.2g}",
    ]


def _digits(stderr: float | None, mean: float) -> int:
    """Decimals that show an error to two figures; three figures of a number without one."""
    scale, figures = (stderr, 1) if stderr else (abs(mean), 2)
    return min(6, max(0, figures - math.floor(math.log10(scale)))) if scale else figures


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return [line(head), line(["-" * width for width in widths]), *map(line, rows)]
