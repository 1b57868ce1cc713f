"""Results as lines of text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triptych.runs import Run

__all__ = ["headline", "result_lines"]

HEADLINES = ("test/log_likelihood", "test/elbo", "valid/elbo", "test/knn_top1")
"""In this order, the first that a run has is what the table of runs shows."""


def _number(value: float, stderr: float | None) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if stderr is None else f"{value:.3f} ± {stderr:.3f}"


def result_lines(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line a result that is a number, with standard error, count and protocol."""
    lines = []
    width = max((len(name) for name in results), default=0)
    for name, result in results.items():
        value = result["value"]
        if isinstance(value, dict):
            value_text = ", ".join(
                f"{k} {v:.1f}" for k, v in value.items() if isinstance(v, float)
            )
        elif isinstance(value, (int, float)):
            value_text = _number(value, result["stderr"])
        else:
            value_text = ""
        if value_text:
            said = ", ".join(
                f"{k} {v}" for k, v in result["protocol"].items() if k not in ("split", "images")
            )
            lines.append(f"{name:<{width}}  {value_text:<18}  n={result['n']}  {said}")
    return lines


def headline(run: Run) -> str:
    """The number that says most about a run: measured if it was, else the last validation; or why it failed."""
    if run.status() == "failed":
        return run.reason()
    results = run.results()
    for name in HEADLINES:
        if name in results:
            return f"{name} {_number(results[name]['value'], results[name]['stderr'])}"
        _, values = run.curve(name)
        if values:
            return f"{name} {values[-1]:.2f} (in training)"
    return ""
