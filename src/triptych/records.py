"""What the text files of a run folder may hold: the one place that knows their shapes and limits.

A folder may be a stranger's, cut off by a full disk, or edited by hand. Whatever is not as Triptych writes it
is a `DamagedError` that names the file and what is wrong, once; what comes back has the shape that it says.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from triptych.errors import DamagedError
from triptych.files import TEXT, read_bytes, read_text

__all__ = [
    "METHOD",
    "NUMBER",
    "Shape",
    "about",
    "checked",
    "config",
    "entry",
    "environment",
    "fit",
    "flat",
    "metrics",
    "parsed",
    "results",
    "toml",
]

Shape = Any
"""A type, a tuple of them, a list of one shape, a test that says whether a value is right, or a table: its keys
(``key?`` may be missing), or under ``...`` the shape of every value whose key, as ``key?``, has none of its own."""

NUMBER = (int, float, type(None))
"""A number, or none."""

LOG = 1_000_000_000
"""Bytes of metrics.jsonl that are read at most: a line a step, for millions of steps."""

DEEP = 32
"""How far tables and lists may be nested; those of Triptych's are five deep at most."""

LARGEST = 2**63 - 1
"""No count, step or seed is larger."""


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _elapsed(value: object) -> bool:
    return _finite(value) and value >= 0  # type: ignore[operator]


def _error(value: object) -> bool:
    return value is None or _elapsed(value)


def _said(value: object) -> bool:
    """What a field of a protocol is: a word or a number."""
    return isinstance(value, (str, bool)) or _finite(value)


RESULTS: Shape = {
    ...: {
        "value": object,
        "stderr": _error,
        "n": _count,
        "protocol": {...: _said, "step?": _count},
        "note?": str,
    }
}

LINE: Shape = {"step": _count, "epoch?": _elapsed, "seconds?": _elapsed, "since?": _count}
"""Of metrics.jsonl, beside what was logged: numbers under names with a slash, words under others."""

ABOUT: Shape = {
    "step?": _count,
    "data?": str,
    "seconds?": _elapsed,
    **dict.fromkeys(("best?", "untrained?"), lambda value: value is None or _finite(value)),
    **dict.fromkeys(("spec?", "config?", "chosen?"), dict),
    "weights?": str,
    "terms?": {...: [str]},
    "devices?": lambda value: _count(value) and value > 0,
}
"""What a checkpoint says of itself; whoever writes it may say more."""

METHOD: Shape = {
    "name": str,
    "title": str,
    "about": str,
    "formula?": str,
    "can": [str],
    "cosine": (str, type(None)),
    "source": (dict, type(None)),
}
"""What environment.json says of the method."""

ENVIRONMENT: Shape = {
    "data?": {
        **dict.fromkeys(("title?", "fingerprint?", "decoded?"), str),
        "images?": {...: _count},
    }
}
"""What environment.json says of the images; of the method it need not say anything, and of the machine it is only shown."""

CONFIG: Shape = {"method?": dict, "data?": dict, "train?": dict}
"""The tables that everybody looks into; what is in them is checked against the configs by who trains or measures."""


def results(path: Path) -> dict[str, dict[str, Any]]:
    """What results.json holds, name → {value, stderr, n, protocol, note}; nothing where there is none.

    All numbers in it are finite. Raises `DamagedError`.

    Example:
        >>> file = tmp_path / "results.json"
        >>> _ = file.write_text('{"a": {"value": 1.5, "stderr": null, "n": 3, "protocol": {"K": 2}}}')
        >>> results(file)["a"]
        {'value': 1.5, 'stderr': None, 'n': 3, 'protocol': {'K': 2}, 'note': ''}
        >>> _ = file.write_text('{"a": 3}')
        >>> try:
        ...     results(file)
        ... except DamagedError as error:
        ...     print(str(error).partition("' ")[2])
        is damaged: a is missing or of another kind; delete it and evaluate the run again
    """
    remedy = "delete it and evaluate the run again"
    found: dict[str, dict[str, Any]] = parsed(path, RESULTS, remedy) or {}
    fields = ("value", "stderr", "n", "protocol")
    return {
        name: {**{field: result[field] for field in fields}, "note": result.get("note", "")}
        for name, result in found.items()
    }


def environment(path: Path) -> dict[str, Any]:
    """What environment.json holds; nothing where there is none. Raises `DamagedError`."""
    return parsed(path, ENVIRONMENT, "delete it") or {}


def parsed(
    path: Path, shape: Shape, remedy: str, state: str = "is damaged"
) -> dict[str, Any] | None:
    """The object in a JSON file, if it is of a shape; none where there is no file. Raises `DamagedError`."""
    try:
        text = read_text(path)
    except FileNotFoundError:
        return None
    return checked(text, shape, path, remedy, state)


def checked(
    text: str, shape: Shape, path: Path, remedy: str, state: str = "is damaged"
) -> dict[str, Any]:
    """The object that a JSON text is, if it is of a shape and its numbers are finite; ``path`` is where it stands."""
    try:
        found = json.loads(text, parse_constant=_refuse, parse_float=_real, parse_int=_whole)
        shallow(found)
        fit(found, shape if shape else dict, "it")
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, _why(error), remedy, state) from None
    whole: dict[str, Any] = found
    return whole


def metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl, without a last one that a kill cut off; none where there is no file.

    ``step`` is there in each, and every value under a name with a slash is a number, perhaps not a finite one.
    Raises `DamagedError` that names the line.
    """
    try:
        data = read_bytes(path, LOG)
    except FileNotFoundError:
        return []
    found = []
    # Line by line: a gigabyte of line ends would be a list of as many lines.
    for number, line in enumerate(BytesIO(data), 1):
        if line.endswith(b"\n") and line != b"\n":
            found.append(entry(line, path, f"line {number}"))
    return found


def entry(line: bytes, path: Path, where: str) -> dict[str, Any]:
    """One line of metrics.jsonl, as `metrics` gives it. Raises `DamagedError` that says ``where`` it is."""
    try:
        found: dict[str, Any] = json.loads(line.decode("utf-8"), parse_int=_whole)
        fit(found, LINE, "it")
        for name, value in found.items():
            wanted: Shape = (int, float) if "/" in name else (int, float, str)
            fit(value, wanted, name)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"{where}: {_why(error)}") from None
    return found


def about(text: str, path: Path) -> dict[str, Any]:
    """How a checkpoint at ``path`` describes itself. Raises `DamagedError`."""
    return checked(text, ABOUT, path, "train the run anew, or take another checkpoint")


def config(path: Path) -> dict[str, Any]:
    """The tables of a run's config.toml. Raises FileNotFoundError where there is none, and `DamagedError`."""
    tables = toml(path)
    try:
        fit(tables, CONFIG, "it")
    except ValueError as error:
        raise DamagedError(
            path, str(error), state="is damaged, so that nothing can be said of its run"
        ) from None
    return tables


def toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises FileNotFoundError where there is none, and `DamagedError`."""
    data = read_bytes(path, TEXT)
    try:
        tables = tomllib.loads(data.decode("utf-8"))
        shallow(tables)
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, _why(error), "", "is not valid TOML") from None
    return tables


def flat(tables: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested tables as one, by whole names.

    Example:
        >>> flat({"seed": 0, "train": {"batch_size": 64}})
        {'seed': 0, 'train.batch_size': 64}
    """
    found: dict[str, Any] = {}
    for name, value in tables.items():
        inner = isinstance(value, Mapping)
        found |= flat(value, f"{before}{name}.") if inner else {f"{before}{name}": value}
    return found


def shallow(value: object) -> None:
    """Raise a `ValueError` for numbers of more than 64 bits, and for nesting that a walk might not come back from."""
    level: list[object] = [value]
    for _ in range(DEEP):
        if any(isinstance(item, int) and abs(item) > LARGEST for item in level):
            raise ValueError("a number in it has more than 64 bits")
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEP} deep")


def fit(value: Any, shape: Shape, name: str) -> None:
    """Raise a `ValueError` that names the first part of another shape.

    Example:
        >>> fit({"runs": [1, "two"]}, {"runs": [int]}, "it")
        Traceback (most recent call last):
        ValueError: runs, an item, is missing or of another kind
    """
    if isinstance(shape, list):
        _need(isinstance(value, list), name)
        for item in value:
            fit(item, shape[0], f"{name}, an item,")
    elif isinstance(shape, Mapping):
        _need(isinstance(value, dict), name)
        _fit_table(value, shape, name)
    elif isinstance(shape, (type, tuple)):
        # A truth value is an int to Python.
        wanted = shape if isinstance(shape, tuple) else (shape,)
        right = isinstance(value, shape)
        _need(right and (not isinstance(value, bool) or bool in wanted or object in wanted), name)
    else:
        test: Callable[[object], bool] = shape
        _need(test(value), name)


def _fit_table(value: Mapping[str, Any], shape: Mapping[Any, Shape], name: str) -> None:
    if ... in shape:
        for key, item in value.items():
            inner = shape.get(f"{key}?", shape[...])
            fit(item, inner, key[:40] if name == "it" else f"{name}: {key[:40]}")
        return
    for key, inner in shape.items():
        plain = key.removesuffix("?")
        if plain in value:
            fit(value[plain], inner, plain if name == "it" else f"{name}: {plain}")
        else:
            _need(key.endswith("?"), plain if name == "it" else f"{name}: {plain}")


def _need(right: bool, name: str) -> None:
    if not right:
        raise ValueError(f"{name} is missing or of another kind")


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no number that fits in one")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or abs(value := int(text)) > LARGEST:
        raise ValueError(f"{text[:20]} is larger than any number that Triptych writes")
    return value


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested without end"
    if isinstance(error, UnicodeDecodeError):
        return f"it is no text in UTF-8 ({error.reason})"
    return str(error)
