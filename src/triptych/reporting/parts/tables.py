"""Tables of results, for the page and as CSV and LaTeX for a paper."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any, NamedTuple

from triptych.metrics import label, metric
from triptych.reporting.words import signed, with_error

__all__ = [
    "Row",
    "Table",
    "as_csv",
    "as_latex",
    "latex_table",
    "rows",
    "value_with_error",
    "written",
]


class Row(NamedTuple):
    """A number with all that is needed to believe it."""

    title: str
    value: str
    n: str
    protocol: str
    note: str
    name: str = ""
    """As results.json has it."""


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
        note = result.get("note", "")
        found.append(Row(label(name), shown, f"{result['n']:,}", protocol, note, name))
    return found


def value_with_error(name: str, value: float, stderr: float | None) -> str:
    """A result as it is read: accuracies in per cent, small numbers in four digits.

    Example:
        >>> value_with_error("test/knn_top1", 0.425, 0.005), value_with_error("features/std", 0.9959, None)
        ('42.50 ± 0.50 %', '0.9959')
    """
    declared = metric(name)
    if declared.unit == "%":
        times = declared.scale
        return f"{with_error(times * value, None if stderr is None else times * stderr)} %"
    if abs(value) >= 1:
        return with_error(value, stderr)
    if stderr is None or 0 < stderr < 1e-4:
        return with_error(value, stderr)
    return f"{signed(value, 4)} ± {stderr:.4f}"


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is a formula to a spreadsheet."""


def as_csv(results: Mapping[str, Mapping[str, Any]]) -> str:
    """All numbers unrounded: name, value, stderr, n, protocol, note.

    Example:
        >>> result = {"value": -95.5, "stderr": 0.25, "n": 10, "protocol": {"K": 200}, "note": ""}
        >>> as_csv({"test/log_likelihood": result}).splitlines()[1]
        'test/log_likelihood,-95.5,0.25,10,K 200,'
    """
    lines: list[Sequence[Any]] = [["name", "value", "stderr", "n", "protocol", "note"]]
    for name, result in results.items():
        if isinstance(result["value"], (int, float)):
            protocol = "; ".join(f"{k} {v}" for k, v in result["protocol"].items())
            numbers = [result["value"], result["stderr"], result["n"]]
            lines.append([name, *numbers, protocol, result.get("note", "")])
    return written(lines)


def written(lines: Iterable[Sequence[Any]]) -> str:
    r"""Lines as CSV, in which no text can be a formula; numbers stay as they are, none is empty.

    Example:
        >>> written([["=HYPERLINK(1)", -95.5, None]])
        "'=HYPERLINK(1),-95.5,\n"
    """
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for line in lines:
        writer.writerow([_inert(cell) for cell in line])
    return out.getvalue()


def _inert(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


_ESCAPES = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "−": "$-$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "|": "$|$",
        "<": "$<$",
        ">": "$>$",
    }
)


def as_latex(table: Sequence[Row]) -> str:
    r"""A ``tabular`` with the numbers as the page shows them.

    Example:
        >>> print(as_latex([Row("test ELBO", "−100.5 ± 0.3", "10,000", "", "")]))
        \begin{tabular}{lrr}
        \hline
        result & value & n \\
        \hline
        test ELBO & $-$100.5 $\pm$ 0.3 & 10,000 \\
        \hline
        \end{tabular}
        <BLANKLINE>
    """
    return latex_table(["result", "value", "n"], [row[:3] for row in table])


def latex_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A ``tabular``: the first column to the left, the others to the right."""
    lines = [" & ".join(cell.translate(_ESCAPES) for cell in row) + r" \\" for row in [head, *rows]]
    columns = "l" + "r" * (len(head) - 1)
    begin = [f"\\begin{{tabular}}{{{columns}}}", "\\hline", lines[0], "\\hline"]
    return "\n".join([*begin, *lines[1:], "\\hline", "\\end{tabular}", ""])


class Table(NamedTuple):
    """A table as the page shows it: the first cell of a row names it."""

    title: str
    caption: str
    head: list[str]
    rows: list[list[str]]
