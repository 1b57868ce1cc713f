"""Results as lines of text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.reporting.words import number, signed
from triptych.runs import Run

__all__ = ["at_the_weights", "headline", "result_lines"]

HEADLINES = (
    "test/log_likelihood",
    "test/elbo",
    "test/frechet",
    "valid/elbo",
    "samples/diversity",
    "test/knn_top1",
)
"""In this order, the first that a run has is what the table of runs shows."""

SAID = ("unit", "estimator", "K", "features")
"""The fields of a protocol that a line of the terminal has room for; results.json has all."""


def _number(value: float, stderr: float | None) -> str:
    if stderr is None:
        return number(value)
    digits = 3 if not stderr else max(3, 1 - math.floor(math.log10(stderr)))
    return f"{signed(value, digits)} ± {stderr:,.{digits}f}"


def result_lines(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What all results share of their protocols, then one line a result that is a number."""
    protocols = [result["protocol"] for result in results.values()]
    shared = (
        {k: v for k, v in protocols[0].items() if all(p.get(k) == v for p in protocols)}
        if protocols
        else {}
    )
    lines = [", ".join(f"{k} {v}" for k, v in shared.items() if k != "fingerprint")]
    told = {
        p["step"]: f"{p.get('checkpoint')} weights, step {p['step']:,}"
        for p in protocols
        if "step" in p
    }
    several = len(told) > 1
    width = max((len(name) for name in results), default=0)
    for name, result in results.items():
        value = _value(result)
        if value:
            kept = {k: v for k, v in result["protocol"].items() if k in SAID}
            said = ", ".join(f"K={v}" if k == "K" else str(v) for k, v in kept.items())
            whose = (
                f"; {told[step]}"
                if several and (step := result["protocol"].get("step")) in told
                else ""
            )
            lines.append(f"{name:<{width}}  {value:<20}  n={result['n']:<6}  {said}{whose}")
        step = result["protocol"].get("step")
        at = f"at step {step:,}: " if several and step in told else ""
        lines += [f"{name:<{width}}  {at}{sentence}" for sentence in _sentences(result)]
    return lines


def _value(result: Mapping[str, Any]) -> str:
    value = result["value"]
    if isinstance(value, dict) and not _sentences(result):
        return ", ".join(f"{k} {signed(v, 1)}" for k, v in value.items() if isinstance(v, float))
    if isinstance(value, (int, float)):
        return _number(value, result["stderr"])
    return ""


def _sentences(result: Mapping[str, Any]) -> list[str]:
    """What a result that is a word, or a table of results, says in words."""
    value = result["value"]
    if isinstance(value, str):
        return [result["note"] or value]
    if not isinstance(value, Mapping):
        return []
    sentences = value.get("sentences")
    said = [value["verdict"]] if "verdict" in value else sentences
    said = [s for s in said if isinstance(s, str)] if isinstance(said, list) else []
    shares = {
        kind: row["share above 1"]
        for kind, row in value.items()
        if isinstance(row, Mapping) and isinstance(row.get("share above 1"), (int, float))
    }
    if shares:
        said.append("above 1: " + ", ".join(f"{v:.1%} of {kind}" for kind, v in shares.items()))
    return said


def headline(run: Run) -> str:
    """The number that says most about a run: measured if it was, else the last validation; or why it failed."""
    if run.status() == "failed":
        return run.reason()
    results = run.results()
    for name in HEADLINES:
        result = results.get(name, {})
        value, protocol = result.get("value"), result.get("protocol", {})
        if isinstance(value, (int, float)):
            said = f"{name} {_number(value, result['stderr'])}"
            return f"{said} ({aside})" if (aside := _aside(run, protocol)) else said
        if (logged := at_the_weights(run, name)) is not None:
            return f"{name} {number(logged[1])} (in training, step {logged[0]:,})"
    return ""


def _aside(run: Run, protocol: Mapping[str, Any]) -> str:
    """What keeps a number from being one of the weights and images that the run is known by."""
    weights, other = run.chosen(), protocol.get("step")
    said = [f"of step {other:,}"] if weights and other not in (None, weights.step) else []
    return ", ".join(
        [*said, *(["on other images than trained on"] if "trained_on" in protocol else [])]
    )


def at_the_weights(run: Run, name: str) -> tuple[int, float] | None:
    """Step and value of a logged metric at the run's weights, or where it was not looked at there, at its last look."""
    looks = [(e["step"], e[name]) for e in run.metrics() if name in e]
    weights = run.chosen()
    there = [look for look in looks if weights is not None and look[0] == weights.step]
    found = (there or looks)[-1:]
    return found[0] if found else None
