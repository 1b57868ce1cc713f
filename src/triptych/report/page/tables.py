"""Tables of results, for the page and as CSV and LaTeX for a paper."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, NamedTuple

from triptych.report.words import with_error

__all__ = ["Row", "as_csv", "as_latex", "rows", "value_with_error"]


class Row(NamedTuple):
    """A number with all that is needed to believe it."""

    name: str
    value: str
    n: str
    protocol: str
    note: str


def rows(results: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Every result that is one number."""
    found = []
    for name, result in results.items():
        value, stderr = result["value"], result["stderr"]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        protocol = "; ".join(
            f"{k} {v}" for k, v in result["protocol"].items() if k not in ("fingerprint", "data")
        )
        shown = value_with_error(name, value, stderr)
        found.append(Row(name, shown, f"{result['n']:,}", protocol, result.get("note", "")))
    return found


def value_with_error(name: str, value: float, stderr: float | None) -> str:
    """A result as it is read: accuracies in per cent, small numbers in four digits.

    Example:
        >>> value_with_error("test/knn_top1", 0.425, 0.005), value_with_error("features/std", 0.9959, None)
        ('42.50 ± 0.50 %', '0.9959')
    """
    if "_top1" in name:
        return f"{with_error(100 * value, None if stderr is None else 100 * stderr)} %"
    if abs(value) >= 1:
        return with_error(value, stderr)
    said = f"{value:.4g}" if stderr is None else f"{value:.4f} ± {stderr:.4f}"
    return said.replace("-", "−")


def as_csv(results: Mapping[str, Mapping[str, Any]]) -> str:
    """All numbers unrounded: name, value, stderr, n, protocol, note.

    Example:
        >>> result = {"value": -95.5, "stderr": 0.25, "n": 10, "protocol": {"K": 200}, "note": ""}
        >>> as_csv({"test/log_likelihood": result}).splitlines()[1]
        'test/log_likelihood,-95.5,0.25,10,K 200,'
    """
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "value", "stderr", "n", "protocol", "note"])
    for name, result in results.items():
        if isinstance(result["value"], (int, float)):
            protocol = "; ".join(f"{k} {v}" for k, v in result["protocol"].items())
            stderr = "" if result["stderr"] is None else result["stderr"]
            note = result.get("note", "")
            writer.writerow([name, result["value"], stderr, result["n"], protocol, note])
    return out.getvalue()


_ESCAPES = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": "$-$",
        "±": r"$\pm$",
        "×": r"$\times$",
    }
)


def as_latex(table: Sequence[Row]) -> str:
    r"""A ``tabular`` with the numbers as the page shows them.

    Example:
        >>> print(as_latex([Row("test/elbo", "−100.5 ± 0.3", "10,000", "", "")]))
        \begin{tabular}{lrr}
        \hline
        result & value & n \\
        \hline
        test/elbo & $-$100.5 $\pm$ 0.3 & 10,000 \\
        \hline
        \end{tabular}
        <BLANKLINE>
    """
    lines = [" & ".join(cell.translate(_ESCAPES) for cell in row[:3]) + r" \\" for row in table]
    head = ["\\begin{tabular}{lrr}", "\\hline", "result & value & n \\\\", "\\hline"]
    return "\n".join([*head, *lines, "\\hline", "\\end{tabular}", ""])
