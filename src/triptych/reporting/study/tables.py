"""The numbers of a study as tables: for the page, as CSV and LaTeX for a paper, and as Markdown for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.metrics import label, metric
from triptych.reporting.parts.tables import Table, latex_table, written
from triptych.reporting.words import signed, value_with_error

__all__ = ["study_csv", "study_latex", "study_markdown", "study_tables"]

Study = Mapping[str, Any]

SHARED = (
    "The arms are of several methods. Those of one seed share the order of the images, the draws of views and noise, and the "
    "first weights of layers of one name and shape; what a method draws besides is its own."
)


def study_tables(study: Study) -> list[Table]:
    """Means of every arm, arms beside their variants, paired differences, and what is certain of every two arms."""
    metrics = {m: about for m, about in study["metrics"].items() if about["arms"]}
    alarms = ["alarms"] if any(map(_alarms, study["arms"].values())) else []
    head = ["arm", *(["method"] if _several(study) else []), "verdict", *alarms]
    means = [
        [
            arm,
            *_about(study, arm),
            *(_alarms(about) or "none" for _ in alarms),
            *_means(metrics, arm),
        ]
        for arm, about in study["arms"].items()
    ]
    said = "Means with their standard error over seeds." + _apart(study)
    found = [Table("Arms", said, [*head, *map(label, metrics)], means)] if metrics else []
    return [*found, *_variants(study), *_differences(study, metrics), *_rankings(metrics)]


def _several(study: Study) -> bool:
    """Whether the arms have several methods."""
    return any("method" in arm for arm in study["arms"].values())


def _about(study: Study, arm: str) -> list[str]:
    method = [study["arms"][arm].get("method", "")] if _several(study) else []
    return [*method, _verdicts(study, arm)]


def _apart(study: Study) -> str:
    """Which columns are of several quantities."""
    names = [label(m) for m in study.get("apart", {}) if m in study["metrics"]]
    if not names:
        return ""
    return f" In units of what each arm minimises, and compared only where that is the same: {', '.join(names)}."


def _variants(study: Study) -> list[Table]:
    """Every arm that has variants: its verdicts, and theirs."""
    of = {arm: about["of"] for arm, about in study["arms"].items() if "of" in about}
    if not of:
        return []
    rows = [
        [base, _verdicts(study, base), arm, _verdicts(study, arm)]
        for base in study["arms"]
        for arm, its in of.items()
        if its == base
    ]
    variant = study.get("variant", "changed")
    said = f"What became of every arm, and of the same {variant}: its verdicts, and how many runs of how many had each."
    return [
        Table(
            f"Each arm, and the same {variant}",
            said,
            ["arm", "verdict", f"arm {variant}", "its verdict"],
            rows,
        )
    ]


def _differences(study: Study, metrics: Mapping[str, Any]) -> list[Table]:
    control = study["control"]
    rows = [
        [f"{_pair(arm, of)}: {label(name)}", *_difference(name, of)]
        for name, about in metrics.items()
        for arm in study["arms"]
        if (of := about["differences"].get(arm)) and of["n"]
    ]
    if not rows:
        return []
    of_variants = any("of" in about for about in study["arms"].values())
    whose = f"Arm − {control}" + ", of a variant − the arm that it is of" * of_variants
    said = f"{whose}, runs of one seed; Student's 95 % interval of the mean, p after Holm's correction over the arms."
    head = ["difference", "mean", "95 % interval", "p", "seeds"]
    return [Table(f"Differences from {control}", said, head, rows)]


def _pair(arm: str, difference: Mapping[str, Any]) -> str:
    return f"{arm} − {difference['from']}" if "from" in difference else arm


def _rankings(metrics: Mapping[str, Any]) -> list[Table]:
    """For each metric with a direction the arms in the order of their means, and between which two it is certain."""
    rows = []
    for name, about in metrics.items():
        ranking = about.get("ranking")
        if ranking is None:
            continue
        sure = [f"{p['first']} before {p['second']}" for p in ranking["pairs"] if p["certain"]]
        open_ = len(ranking["pairs"]) - len(sure)
        said = ", ".join(sure) or "none"
        rows.append([label(name), ", ".join(ranking["order"]), said, str(open_)])
    if not rows:
        return []
    said = (
        "Arms by their means, the best first. A pair is certain where Student's interval of its paired difference excludes 0 "
        "and p is below 0.05 after Holm's correction over all pairs; of the others it is undecided which is better."
    )
    return [
        Table("Ranking", said, ["metric", "order of the means", "certain", "undecided pairs"], rows)
    ]


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
    variants = any("of" in about for about in study["arms"].values())
    head = ["metric", "arm", "seeds", "mean", "stderr", "difference", "low", "high", "p_holm"]
    lines: list[Sequence[Any]] = [[*head, *(["from"] if variants else [])]]
    for name, about in study["metrics"].items():
        for arm, summary in about["arms"].items():
            differences = about["differences"].get(arm, {})
            numbers = [summary["n"], summary["mean"], summary["stderr"]]
            numbers += [differences.get(name) for name in ("mean", "low", "high", "holm")]
            base = differences and differences.get("from", study["control"])
            numbers += [base or None] if variants else []
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
        *([""] if _several(study) else []),
        *([SHARED] if _several(study) else []),
        "",
        *_endings(study),
    ]
    for table in _variants(study):
        lines += [
            "",
            f"## {table.title}",
            "",
            table.caption,
            "",
            *_markdown(table.head, table.rows),
        ]
    for name, found in study["metrics"].items():
        unit = f", {metric(name).unit}" if metric(name).unit else ""
        # As study.toml, results.json and study.csv have it, the name stands beside the title.
        lines += ["", f"## {label(name)}{unit} (`{name}`)", ""]
        lines += _numbers(found, control, metric(name).scale) if found["arms"] else []
        lines += [f"- {sentence}" for sentence in found["findings"]]
    return "\n".join(lines) + "\n"


def _endings(study: Study) -> list[str]:
    """How the runs of each arm ended, their verdicts and alarms; reasons of failures below."""
    arms, several = study["arms"], _several(study)
    rows = [
        [
            name,
            *([arm.get("method", "")] if several else []),
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
    head = ["arm", *(["method"] if several else []), "runs", "verdict", "alarms"]
    return [*_markdown(head, rows), *([""] if why else []), *why]


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
    variants = any("from" in of for of in found["differences"].values())
    minus = "difference" if variants else f"arm − {control}"
    head = ["arm", "mean ± SE", "seeds", minus, "95 % interval", "p (Holm)"]
    rows = []
    for arm, summary in found["arms"].items():
        difference = found["differences"].get(arm)
        cells = _cells(_read(difference, times)) if difference else ["", "", ""]
        if variants and difference and difference["mean"] is not None:
            cells[0] += f" from {difference.get('from', control)}"
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
