"""The numbers of a study as tables: for the page, as CSV and LaTeX for a paper, and as Markdown for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.metrics import label, metric
from triptych.reporting.parts.tables import Table, latex_table, value_with_error, written
from triptych.reporting.words import signed

__all__ = ["study_csv", "study_latex", "study_markdown", "study_tables"]

Study = Mapping[str, Any]


def study_tables(study: Study) -> list[Table]:
    """Means of every arm, and every arm's paired difference from the control."""
    metrics = {m: about for m, about in study["metrics"].items() if about["arms"]}
    if not metrics:
        return []
    means = [[arm, _verdicts(study, arm), *_means(metrics, arm)] for arm in study["arms"]]
    others = [arm for arm in study["arms"] if arm != study["control"]]
    differences = [
        [f"{arm}: {label(name)}", *_difference(name, about["differences"][arm])]
        for name, about in metrics.items()
        for arm in others
        if arm in about["differences"]
    ]
    tables = [
        Table(
            "Arms",
            "Means with their standard error over seeds.",
            ["arm", "verdict", *map(label, metrics)],
            means,
        )
    ]
    if differences:
        said = (
            f"Arm − {study['control']}, runs of one seed; Student's 95 % interval of the mean, "
            "p after Holm's correction over the arms."
        )
        head = ["difference", "mean", "95 % interval", "p", "seeds"]
        tables.append(Table(f"Differences from {study['control']}", said, head, differences))
    return tables


def _means(metrics: Mapping[str, Any], arm: str) -> list[str]:
    summaries = [(m, about["arms"].get(arm)) for m, about in metrics.items()]
    return [
        value_with_error(m, s["mean"], s["stderr"]) if s and s["mean"] is not None else "none"
        for m, s in summaries
    ]


def _verdicts(study: Study, arm: str) -> str:
    about = study["arms"][arm]
    return _shares(about["verdicts"], len(about["runs"])) or "none"


def _shares(counted: Mapping[str, int], of: int) -> str:
    return ", ".join(f"{word} {n}/{of}" for word, n in counted.items())


def _difference(name: str, found: Mapping[str, Any]) -> list[str]:
    if found["mean"] is None:
        return ["none", "", "", str(found["n"])]
    declared = metric(name)
    times, unit = declared.scale, f" {declared.points}" * (declared.scale != 1)
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
    for name, about in study["metrics"].items():
        for arm, summary in about["arms"].items():
            differences = about["differences"].get(arm, {})
            numbers = [summary["n"], summary["mean"], summary["stderr"]]
            numbers += [differences.get(name) for name in ("mean", "low", "high", "holm")]
            lines.append([name, arm, *numbers])
    return written(lines)


def study_latex(study: Study) -> str:
    """The page's tables, one ``tabular`` after the other."""
    return "\n".join(latex_table(table.head, table.rows) for table in study_tables(study))


def study_markdown(study: Mapping[str, Any]) -> str:
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
    for name, found in study["metrics"].items():
        unit = f", {metric(name).unit}" if metric(name).unit else ""
        # As study.toml, results.json and study.csv have it, the name stands beside the title.
        lines += ["", f"## {label(name)}{unit} (`{name}`)", ""]
        lines += _numbers(found, control, metric(name).scale) if found["arms"] else []
        lines += [f"- {sentence}" for sentence in found["findings"]]
    return "\n".join(lines) + "\n"


def _endings(arms: Mapping[str, Any]) -> list[str]:
    """How the runs of each arm ended, their verdicts and alarms; reasons of failures below."""
    rows = [
        [
            name,
            _counted([r["state"] for r in arm["runs"].values()]),
            _shares(arm["verdicts"], len(arm["runs"])),
            _alarms(arm),
        ]
        for name, arm in arms.items()
    ]
    why = [
        f"- {name}, seed {seed}: {sentence}"
        for name, arm in arms.items()
        for seed, run in arm["runs"].items()
        if (sentence := _why(run))
    ]
    return [*_markdown(["arm", "runs", "verdict", "alarms"], rows), *([""] if why else []), *why]


def _why(run: Mapping[str, Any]) -> str:
    """What led to the end or the verdict of a run; nothing where there is nothing to tell."""
    if run["state"] == "failed":
        return f"failed: {run['reason']}"
    return str(run.get("evidence", ""))


def _counted(words: Sequence[str]) -> str:
    return _shares(Counter(words), len(words))


def _alarms(arm: Mapping[str, Any]) -> str:
    alarmed = [run for run in arm["runs"].values() if run.get("alarms")]
    return f"{len(alarmed)}/{len(arm['runs'])}" if alarmed else ""


def _numbers(found: Mapping[str, Any], control: str, times: float) -> list[str]:
    """Means and differences of every arm of one metric, in the unit in which it is read."""
    head = ["arm", "mean ± SE", "seeds", f"arm − {control}", "95 % interval", "p (Holm)"]
    rows = []
    for arm, summary in found["arms"].items():
        difference = found["differences"].get(arm)
        cells = _cells(_read(difference, times)) if difference else ["", "", ""]
        rows.append([arm, _mean(_read(summary, times)), str(summary["n"]), *cells])
    return [*_markdown(head, rows), ""]


def _read(numbers: Mapping[str, Any], times: float) -> Mapping[str, Any]:
    """The same in another unit, but for what has none."""
    scaled = {k: v * times for k in ("mean", "stderr", "low", "high") if (v := numbers.get(k))}
    return {**numbers, **scaled}


def _mean(summary: Mapping[str, Any]) -> str:
    if summary["mean"] is None:
        return "none"
    digits = _digits(summary["stderr"], summary["mean"])
    mean = signed(summary["mean"], digits)
    return mean if summary["stderr"] is None else f"{mean} ± {summary['stderr']:.{digits}f}"


def _cells(difference: Mapping[str, Any]) -> list[str]:
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


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    return [line(head), line(["-" * width for width in widths]), *map(line, rows)]
