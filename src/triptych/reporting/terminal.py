"""Results, and a run in one number, as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.reporting.families import headline
from triptych.reporting.words import number, signed
from triptych.runs import Run

__all__ = ["headline_words", "result_lines"]

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


def headline_words(run: Run) -> str:
    """The number that says most about a run, and what it is of; or why it failed."""
    if run.status() == "failed":
        return run.reason()
    found = headline(run)
    if found is None:
        return ""
    if isinstance(found.value, str):
        said = f"{found.value} ({found.because})" if found.because else found.value
        return f"{said}, in training, step {found.logged:,}" if found.logged is not None else said
    if found.logged is not None:
        return f"{found.name} {number(found.value)} (in training, step {found.logged:,})"
    said = f"{found.name} {_number(found.value, found.stderr)}"
    return f"{said} ({found.aside})" if found.aside else said
