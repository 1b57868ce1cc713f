"""Two runs or studies side by side, number by number, where both were measured in the same way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from triptych.errors import TriptychError
from triptych.metrics import OF_MODEL, estimated, label, metric
from triptych.reporting.fields import field_words
from triptych.reporting.study.folder import read_study
from triptych.reporting.words import called, value_with_error, with_error
from triptych.runs import Run
from triptych.weights import OF_WEIGHTS

__all__ = ["Compared", "Comparison", "compare"]

Results = Mapping[str, Mapping[str, Any]]


LOGGED = "numbers that were logged in training do not say on which data they were measured"
"""Why there is no difference of such numbers: within a study the data are the same, across folders nobody knows."""


OWN = ("elbo", "reconstruction", "kl")
"""Terms of a method's own objective: of another method they are other numbers, whatever both are called."""

NOT_PAIRED = "at most, not paired"
"""Of an error: what each image gave is not kept, and what is hard for one is likely hard for the other."""

SAME = "0 (the same measurement)"

OF_DATA = ("_pixels", "_floor")
"""Ends of the names of baselines that are measured without the run's weights."""


class Compared(NamedTuple):
    """One number of both, and the second minus the first; or ``refusal``, why there is no difference."""

    name: str
    first: str
    second: str
    difference: str
    refusal: str = ""

    @property
    def title(self) -> str:
        """What the number is, for a reader; of a study's with its arm.

        Example:
            >>> Compared("test/knn_top1, no predictor", "", "", "").title
            'test kNN top-1, no predictor'
        """
        of, comma, arm = self.name.partition(", ")
        return f"{label(of)}{comma}{arm}"


class Comparison(NamedTuple):
    """What two folders have in common."""

    first: str
    second: str
    rows: list[Compared]


def compare(first: Path, second: Path) -> Comparison:
    """All numbers that both have; those of different protocols are refused, with the fields that differ.

    What each image gave is not kept, so two runs' numbers are not paired: the standard error of a
    difference is √(a² + b²), as if the two were independent, which on the same test images errs to
    the large side, and is said to. Two results that are one measurement, made twice, differ by 0 and not by an error.
    The arms of two studies are paired seed by seed.

    Raises `TriptychError` where nothing can be compared.
    """
    ours, theirs = _results(first), _results(second)
    rows = [_compared(name, ours[name], theirs[name]) for name in ours if name in theirs]
    if not rows:
        raise TriptychError(
            f"'{first}' and '{second}' have no number in common: they are of different "
            "methods, or one was not evaluated yet"
        )
    if all(row.refusal for row in rows):
        raise TriptychError(
            f"'{first}' and '{second}' were measured by different protocols: "
            f"{rows[0].name}: {rows[0].refusal}"
        )
    return Comparison(called(first), called(second), rows)


def _results(path: Path) -> Results:
    """Every number of a run, or the mean of every arm of a study."""
    if not (path / "study.json").is_file():
        run = Run.open(path)
        method = {"method": run.config.get("method", {}).get("name")}
        return {
            name: {**result, "protocol": {**result["protocol"], **method}}
            if name.rpartition("/")[2] in OWN
            else result
            for name, result in run.results().items()
            if isinstance(result["value"], (int, float)) and not isinstance(result["value"], bool)
        }
    study = read_study(path / "study.json")
    return {
        f"{name}, {arm}": {
            "value": numbers["mean"],
            "stderr": numbers["stderr"],
            "n": numbers["n"],
            "seeds": numbers["values"],
            "protocol": {**(about["protocol"] or {}), "seeds": numbers["n"]},
        }
        for name, about in study["metrics"].items()
        for arm, numbers in about["arms"].items()
        if numbers["n"]
    }


def _compared(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Compared:
    of = name.partition(", ")[0]
    first, second = (value_with_error(of, r["value"], r["stderr"]) for r in (a, b))
    fields = {*a["protocol"], *b["protocol"]} - {*OF_WEIGHTS}
    fields -= {*OF_MODEL} - ({"method"} if of.rpartition("/")[2] in OWN else set())
    fields -= {"checkpoint"} if name.endswith(OF_DATA) else set()
    # Images are known by their content, whatever their folder is called.
    known = a["protocol"].get("fingerprint"), b["protocol"].get("fingerprint")
    fields -= {"data"} if known[0] is not None and known[0] == known[1] else set()
    if "source" in a["protocol"] or "source" in b["protocol"]:
        return Compared(name, first, second, "", LOGGED)
    differing = sorted(
        f for f in fields if estimated(a["protocol"].get(f)) != estimated(b["protocol"].get(f))
    )
    if differing:
        said = "; ".join(
            f"{field_words(f)} is {a['protocol'].get(f, 'not said')} in one and {b['protocol'].get(f, 'not said')} in the other"
            for f in differing
        )
        return Compared(name, first, second, "", said)
    return Compared(name, first, second, _second_minus_first(name, a, b))


def _second_minus_first(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """The difference of two numbers of one protocol, in words."""
    if "seeds" in a and "seeds" in b:
        return _by_seed(name, a["seeds"], b["seeds"]) or _unpaired(name, a, b)
    return SAME if _one_measurement(name, a, b) else _unpaired(name, a, b)


def _one_measurement(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two results are one: the same number of the same images, by the same weights or by none.

    Two networks that happen to be right equally often have different digests.
    """
    alike = all(a.get(part) == b.get(part) for part in ("value", "stderr", "n"))
    digest = a["protocol"].get("weights")
    known = name.endswith(OF_DATA) or (digest and digest == b["protocol"].get("weights"))
    return bool(alike and known)


def _by_seed(name: str, a: Mapping[str, float], b: Mapping[str, float]) -> str:
    """The mean over seeds that both studies have, with the error of the paired differences; nothing without two."""
    differences = [b[seed] - a[seed] for seed in a if seed in b]
    seeds = len(differences)
    if seeds < 2:
        return ""
    if min(differences) == max(differences):
        return f"{_difference(name, differences[0], None)} with each of {seeds} seeds"
    error = stdev(differences) / math.sqrt(seeds)
    return f"{_difference(name, fmean(differences), error)}, paired over {seeds} seeds"


def _unpaired(name: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    difference, errors = b["value"] - a["value"], (a["stderr"], b["stderr"])
    if None in errors:
        return _difference(name, difference, None)
    return f"{_difference(name, difference, math.hypot(*errors))} {NOT_PAIRED}"


def _difference(name: str, value: float, stderr: float | None) -> str:
    # Of a study the arm follows the metric's name.
    declared = metric(name.partition(", ")[0])
    if declared.unit != "%":
        return value_with_error(name, value, stderr)
    times = declared.scale
    said = with_error(times * value, None if stderr is None else times * stderr)
    return f"{said} {declared.points}"
