"""What a study found: arms averaged over seeds, differences from the control seed by seed, and a sentence for each."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from triptych import files
from triptych.errors import TriptychError
from triptych.evaluation.statistics import Paired, holm, paired_t
from triptych.metrics import label
from triptych.metrics import metric as declared
from triptych.reporting.words import signed
from triptych.runs import Run
from triptych.studies.plan import Cell, Study
from triptych.weights import OF_WEIGHTS

__all__ = [
    "Number",
    "Values",
    "compare",
    "compare_metric",
    "finding",
    "lone_finding",
    "one_protocol",
    "write",
]

ONE_SEED = "one seed, so no interval: another may say otherwise; add seeds"

LEVEL = 0.05
"""Adjusted p-values below it are called a difference."""


class Number(NamedTuple):
    """A run's value of one metric, and how it was measured, field by field."""

    value: float
    protocol: Mapping[str, Any]


Values: TypeAlias = Mapping[str, Mapping[int, Number]]
"""Arm → seed → number."""


def compare(study: Study, folder: Path) -> dict[str, Any]:
    """Everything that study.json holds, from the run folders alone.

    Runs that failed or are not done have no final values: they are counted and left
    out of the means. Nothing in it depends on when or in how many pieces the runs were made.
    """
    arms = {
        arm: _arm([(s, Run(Cell(arm, s).path(folder))) for s in study.config.seeds])
        for arm in study.arms
    }
    metrics = {}
    for name in study.config.metrics:
        values = {arm: _numbers(study, folder, arm, name) for arm in study.arms}
        metrics[name] = compare_metric(name, values, study.config.control)
    return {
        "study": study.config.name,
        "control": study.config.control,
        "seeds": list(study.config.seeds),
        "curves": list(study.config.curves),
        "arms": arms,
        "metrics": metrics,
    }


def write(study: Study, folder: Path) -> dict[str, Any]:
    """Compare and keep it as study.json; returns what that holds."""
    found = compare(study, folder)
    files.write(folder / "study.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    return found


def _arm(runs: Sequence[tuple[int, Run]]) -> dict[str, Any]:
    """How the runs of an arm ended, by seed, and how often each verdict was given."""
    ended = {str(seed): _ended(run) for seed, run in runs}
    verdicts = Counter(run["verdict"] for run in ended.values() if "verdict" in run)
    return {"runs": ended, "verdicts": dict(sorted(verdicts.items()))}


def _ended(run: Run) -> dict[str, Any]:
    state = "failed" if (run.path / "FAILED").exists() else "done"
    if state == "done" and not (run.path / "DONE").exists():
        return {"state": "not done"}
    ended: dict[str, Any] = {"state": state}
    if state == "failed":
        # The folder is named in an error; where the study lies is no finding.
        # A process on another machine knows the folder by its whole name.
        whole = run.reason().replace(str(run.path.absolute()), run.path.name)
        ended["reason"] = whole.replace(str(run.path), run.path.name)
    kept = run.chosen()
    if kept is not None:
        ended["weights"] = kept.digest
    verdict = run.results().get("verdict")
    if verdict is not None:
        ended |= {"verdict": verdict["value"], "evidence": verdict["note"]}
    if run.alarms():
        ended["alarms"] = [{"step": step, "alarm": said} for step, said in run.alarms()]
    return ended


def _numbers(study: Study, folder: Path, arm: str, metric: str) -> dict[int, Number]:
    found = {}
    for seed in study.config.seeds:
        run = Run(Cell(arm, seed).path(folder))
        number = _number(run, metric) if (run.path / "DONE").exists() else None
        if number is not None:
            found[seed] = number
    return found


def _number(run: Run, metric: str) -> Number | None:
    """What was measured after the training, else what was logged last in it."""
    result = run.results().get(metric)
    if result is not None:
        value, protocol = result["value"], result["protocol"]
    else:
        logged = [line for line in run.metrics() if metric in line]
        value = logged[-1][metric] if logged else None
        protocol = {"source": "the last line of metrics.jsonl that has it"}
    # A truth value is an int to Python, and no number.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return Number(float(value), protocol)


def one_protocol(values: Values) -> dict[str, Any]:
    """The protocol that all numbers share.

    Raises:
        TriptychError: two numbers were measured differently; it names the first such field.

    Example:
        >>> one_protocol({"a": {0: Number(0.5, {"k": 200})}, "b": {0: Number(0.6, {"k": 20})}})
        Traceback (most recent call last):
        triptych.errors.TriptychError: 'k' is 200 for a, seed 0, but 20 for b, seed 0
    """
    every = [(Cell(a, s), n.protocol) for a, of in values.items() for s, n in of.items()]
    if not every:
        return {}
    first, shared = every[0]
    for cell, protocol in every[1:]:
        # Every run of a study has weights of its own.
        for field in (f for f in dict.fromkeys((*shared, *protocol)) if f not in OF_WEIGHTS):
            if shared.get(field) != protocol.get(field):
                raise TriptychError(
                    f"'{field}' is {shared.get(field)} for {first}, "
                    f"but {protocol.get(field)} for {cell}"
                )
    return {field: value for field, value in shared.items() if field not in OF_WEIGHTS}


def compare_metric(metric: str, values: Values, control: str) -> dict[str, Any]:
    """Means with standard errors, paired differences from the control, and a sentence for each arm.

    The difference of an arm is over the seeds for which both it and the control have a
    number; Holm's correction is over the arms. Numbers of different protocols are not compared.

    Example:
        >>> values = {
        ...     "default": {s: Number(v, {}) for s, v in enumerate([0.40, 0.41, 0.42])},
        ...     "other": {s: Number(v, {}) for s, v in enumerate([0.20, 0.22, 0.21])},
        ... }
        >>> found = compare_metric("test/knn_top1", values, "default")
        >>> round(found["arms"]["other"]["mean"], 3), found["differences"]["other"]["n"]
        (0.21, 3)
        >>> found["findings"][0][:64]
        'test kNN top-1 is lower in other than in default, by 20.0 points'
    """
    name, about = label(metric), declared(metric)
    unit = f" {about.points}" if about.points else ""
    try:
        protocol = one_protocol(values)
    except TriptychError as error:
        return _silent(f"{name} is not compared, as it was not measured in one way: {error}.")
    if not any(values.values()):
        return _silent(f"{name} was measured in no run.")
    paired = {a: _differences(values[a], values[control]) for a in values if a != control}
    tests = {arm: paired_t(d) for arm, d in paired.items() if len(d) > 1}
    adjusted = dict(zip(tests, holm([t.p for t in tests.values()]), strict=True))
    findings = []
    for arm, d in paired.items():
        if arm in tests:
            read = _scaled(tests[arm], about.scale)
            said = finding(name, arm, control, read, adjusted[arm], len(tests), unit)
        else:
            said = lone_finding(name, arm, control, [about.scale * each for each in d], unit)
        findings.append(said)
    return {
        "protocol": protocol,
        "arms": {a: _summary({s: n.value for s, n in of.items()}) for a, of in values.items()},
        "differences": {
            arm: _difference(d, tests.get(arm), adjusted.get(arm)) for arm, d in paired.items()
        },
        "findings": findings,
    }


def _scaled(test: Paired, times: float) -> Paired:
    """The difference in the unit in which it is read."""
    mean, stderr, low, high = (times * x for x in (test.mean, test.stderr, test.low, test.high))
    return test._replace(mean=mean, stderr=stderr, low=low, high=high)


def _silent(why: str) -> dict[str, Any]:
    return {"protocol": None, "arms": {}, "differences": {}, "findings": [why]}


def _differences(arm: Mapping[int, Number], control: Mapping[int, Number]) -> list[float]:
    return [arm[seed].value - control[seed].value for seed in control if seed in arm]


def _summary(values: Mapping[int, float]) -> dict[str, Any]:
    """Mean, its standard error over seeds where there are two or more, and the value of each seed."""
    n, stderr = len(values), None
    mean = math.fsum(values.values()) / n if n else None
    if mean is not None and n > 1:
        stderr = math.sqrt(math.fsum((v - mean) ** 2 for v in values.values()) / (n - 1) / n)
    by_seed = {str(seed): value for seed, value in values.items()}
    return {"n": n, "mean": mean, "stderr": stderr, "values": by_seed}


def _difference(
    differences: Sequence[float], test: Paired | None, adjusted: float | None
) -> dict[str, Any]:
    if test is not None:
        return {**test._asdict(), "holm": adjusted}
    mean = differences[0] if differences else None
    unknown = dict.fromkeys(("stderr", "low", "high", "p", "holm"))
    return {"n": len(differences), "mean": mean, **unknown}


def finding(
    name: str,
    arm: str,
    control: str,
    test: Paired,
    adjusted: float,
    comparisons: int,
    unit: str = "",
) -> str:
    """Higher, lower, or undecided, with the interval of the mean of arm − control; ``name`` is the metric's title.

    ``adjusted`` is the p-value after Holm's correction for ``comparisons`` arms. An interval that has
    0 in it decides nothing: it says how large a difference may be. One
    without 0 whose adjusted p is above the level is told apart from both.

    Example:
        >>> finding("loss", "a", "b", Paired(3, 0.2, 0.01, 0.157, 0.243, 0.0025), 0.005, 2)
        'loss is higher in a than in b, by 0.200 (95 % interval of a − b: 0.157 to 0.243, 3 seeds;
        p = 0.005 adjusted for 2 comparisons).'
    """
    digits = _digits(test.high - test.low, test.mean)
    low, high = signed(test.low, digits), signed(test.high, digits)
    evidence = (
        f"(95 % interval of {arm} − {control}: {low} to {high}, {test.n} seeds; {_p(adjusted)}"
        f"{f' adjusted for {comparisons} comparisons' if comparisons > 1 else ''})"
    )
    # Differences that are all the same but for rounding.
    if test.stderr <= 1e-9 * abs(test.mean):
        return _constant(name, arm, control, test, unit)
    side = f"{'higher' if test.mean > 0 else 'lower'} in {arm} than in {control}"
    size = f"{signed(abs(test.mean), digits)}{unit}"
    if test.low <= 0 <= test.high:
        mean = f"{'+' if test.mean > 0 else ''}{signed(test.mean, digits)}{unit}"
        return f"{name}: undecided between {arm} and {control}: {mean} {evidence}; add seeds."
    if adjusted >= LEVEL:
        return f"{name} may be {side}, by {size}, but with so many comparisons it is not sure {evidence}; add seeds."
    return f"{name} is {side}, by {size} {evidence}."


def _constant(name: str, arm: str, control: str, test: Paired, unit: str) -> str:
    """Differences without any spread, of counts say, to which Student's interval does not apply."""
    if test.mean == 0:
        return f"{name} is the same in {arm} and {control} with each of {test.n} seeds."
    side = "higher" if test.mean > 0 else "lower"
    size = f"{signed(abs(test.mean), _digits(0.0, test.mean))}{unit}"
    return f"{name} is {size} {side} in {arm} than in {control} with each of {test.n} seeds."


def lone_finding(
    name: str, arm: str, control: str, differences: Sequence[float], unit: str = ""
) -> str:
    """What can be said without two pairs: one difference and no interval, or nothing.

    Example:
        >>> lone_finding("loss", "a", "b", [-0.25])
        'loss: undecided between a and b: −0.25 (one seed, so no interval: another may say otherwise; add seeds).'
    """
    if not differences:
        return f"{name}: no seed gave both {arm} and {control} a value."
    (difference,) = differences
    said = signed(difference, _digits(difference, difference)) if difference else "0"
    plus = "+" if difference > 0 else ""
    return f"{name}: undecided between {arm} and {control}: {plus}{said}{unit} ({ONE_SEED})."


def _digits(width: float, mean: float) -> int:
    """Decimals that show the width of an interval, or a lone number, to two figures or so."""
    scale = abs(width) or abs(mean) or 1.0
    return min(6, max(0, 1 - math.floor(math.log10(scale))))


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
