"""The numbers of a study's runs: values with how they were measured, and whether two of them are of one quantity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from triptych.errors import TriptychError
from triptych.metrics import OF_MODEL, estimated
from triptych.runs import Run
from triptych.studies.plan import Cell, Study
from triptych.weights import OF_WEIGHTS

__all__ = [
    "Number",
    "Values",
    "grouped",
    "measured_alike",
    "number_of",
    "objectives",
    "one_protocol",
]


class Number(NamedTuple):
    """A run's value of one metric, and how it was measured, field by field."""

    value: float
    protocol: Mapping[str, Any]
    precision: str | None = None
    """What the training's ``auto`` came to on its machine; none where the study says the precision."""


Values: TypeAlias = Mapping[str, Mapping[int, Number]]
"""Arm → seed → number."""


def number_of(run: Run, metric: str) -> Number | None:
    """What was measured after the training, else what was logged last in it."""
    result, field = _result(run, metric)
    if result is not None:
        value, protocol = _within(result["value"], field), result["protocol"]
    else:
        logged = [line for line in run.metrics() if metric in line]
        value = logged[-1][metric] if logged else None
        protocol = {"source": "the last line of metrics.jsonl that has it", **_where(run, metric)}
    # A truth value is an int to Python, and no number.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return Number(float(value), protocol)


def _result(run: Run, metric: str) -> tuple[Mapping[str, Any] | None, str]:
    """The result of that name, or the one before the first dot, and what follows that."""
    results = run.results()
    name, _, field = metric.partition(".")
    return (
        (results[metric], "")
        if metric in results
        else (results.get(name) if field else None, field)
    )


def _within(value: Any, field: str) -> Any:
    """A number within a result that is a table.

    Example:
        >>> _within({"test": {"mean": 0.5}}, "test.mean"), _within(0.5, ""), _within(0.5, "mean")
        (0.5, 0.5, None)
    """
    for key in field.split(".") if field else ():
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _where(run: Run, metric: str) -> dict[str, Any]:
    """What the log itself does not say: on which machine the time was taken, or on which images anything else."""
    told = run.environment()
    if metric == "seconds":
        return {name: told[name] for name in ("device", "threads") if name in told}
    data, binarize = told.get("data", {}), run.config.get("data", {}).get("binarize")
    found = {"fingerprint": data.get("fingerprint"), "binarize": binarize}
    return {name: value for name, value in found.items() if value is not None} if data else {}


def one_protocol(values: Values) -> dict[str, Any]:
    """The protocol that all numbers share; of several methods, or priors, it names none, since they are what is compared.

    Raises:
        TriptychError: two numbers were measured differently, or their machines chose another precision for the
            training; it names the first such field.

    Example:
        >>> one_protocol({"a": {0: Number(0.5, {"k": 200})}, "b": {0: Number(0.6, {"k": 20})}})
        Traceback (most recent call last):
        triptych.errors.TriptychError: 'k' is 200 for a, seed 0, but 20 for b, seed 0
    """
    every = [(Cell(a, s), n) for a, of in values.items() for s, n in of.items()]
    if not every:
        return {}
    (first, shared), *others = [(cell, number.protocol) for cell, number in every]
    how = _how(shared)
    for cell, protocol in others:
        other = _how(protocol)
        for field in dict.fromkeys((*how, *other)):
            if how.get(field) != other.get(field):
                raise TriptychError(
                    f"'{field}' is {how.get(field)} for {first}, but {other.get(field)} for {cell}"
                )
    chosen = [(cell, number.precision) for cell, number in every if number.precision]
    for cell, precision in chosen[1:]:
        before, known = chosen[0]
        if precision != known:
            raise TriptychError(
                f"'train.dtype', left to the machine, is {known} for {before}, but {precision} for {cell}"
            )
    alike = {f for f, value in shared.items() if all(p.get(f) == value for _, p in others)}
    return {
        field: value if field in alike else how[field]
        for field, value in shared.items()
        if field not in OF_WEIGHTS and (field in alike or field in how)
    }


def _how(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a protocol that say how something was measured, and not what: every run has weights of its own.

    Example:
        >>> _how({"estimator": "ELBO, Monte-Carlo KL, 1 sample", "prior": "VampPrior", "split": "test"})
        {'estimator': 'ELBO, 1 sample', 'split': 'test'}
    """
    return {f: estimated(v) for f, v in protocol.items() if f not in (*OF_WEIGHTS, *OF_MODEL)}


def measured_alike(
    values: Values, control: str
) -> tuple[dict[str, Mapping[int, Number]], dict[str, str]]:
    """The arms that were made and measured as the control was, or as the first where that has no number; and why not, of the others.

    Raises `TriptychError` where no two arms can be compared so.

    Example:
        >>> one, other = {0: Number(0.5, {"k": 200})}, {0: Number(0.6, {"k": 20})}
        >>> alike, others = measured_alike({"a": one, "b": one, "c": other}, "a")
        >>> list(alike), others
        (['a', 'b'], {'c': "'k' is 200 for a, seed 0, but 20 for c, seed 0"})
    """
    first = control if values.get(control) else next((a for a, of in values.items() if of), control)
    one_protocol({first: values.get(first, {})})
    so_far: dict[str, Mapping[int, Number]] = {first: values.get(first, {})}
    others: dict[str, str] = {}
    for arm, of in values.items():
        try:
            # With all of them: where the first says its precision, two others may have chosen unlike ones.
            one_protocol({**so_far, arm: of})
        except TriptychError as error:
            others[arm] = str(error)
        else:
            so_far[arm] = of
    alike = {arm: of for arm, of in values.items() if arm not in others}
    if others and sum(map(bool, alike.values())) < 2:
        raise TriptychError(next(iter(others.values())))
    return alike, others


def objectives(study: Study, folder: Path, metric: str) -> dict[str, str]:
    """What each arm minimises, so far as a number in units of that is concerned: arms with one text have one quantity.

    That is the method with its formula, as its runs say it. A term that the method declares as its `cosine` is
    that, whatever the config.
    """
    found = {}
    for arm, config in study.arms.items():
        cosine = (config.kind.cosine or "").removeprefix("-")
        facts = [
            run.method().formula
            for seed in study.config.seeds
            if (run := Run(Cell(arm, seed).path(folder))).path.joinpath("config.toml").exists()
        ]
        formula = facts[0] if facts and metric != f"train/{cosine}" else ""
        found[arm] = f"{config.method_name} {formula}".strip()
    return found


def grouped(of: Mapping[str, str], arms: Iterable[str]) -> list[list[str]]:
    """The arms that share what they are mapped to, together.

    Example:
        >>> grouped({"a": "vae", "b": "wgan", "c": "vae"}, "abc")
        [['a', 'c'], ['b']]
    """
    groups: dict[str, list[str]] = {}
    for arm in arms:
        groups.setdefault(of[arm], []).append(arm)
    return list(groups.values())
