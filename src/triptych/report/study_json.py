"""Reading study.json, which may be a stranger's: its names become paths, its numbers sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triptych.errors import TriptychError

__all__ = ["read_study"]

SEED = re.compile(r"-?\d{1,20}")

Shape = Any
"""A type, a tuple of them, a list of one shape, or a table: its keys, or under ``...`` that of every value."""

NUMBER = (int, float, type(None))

RUN = {"state": str, "verdict?": str, "evidence?": str, "reason?": str, "alarms?": [{"alarm": str}]}
SUMMARY = {"n": int, "mean": NUMBER, "stderr": NUMBER, "values": {...: (int, float)}}
DIFFERENCE = {"n": int, **dict.fromkeys(("mean", "stderr", "low", "high", "holm"), NUMBER)}

STUDY: Shape = {
    "study": str,
    "control": str,
    "seeds": [int],
    "curves": [str],
    "arms": {...: {"runs": {...: RUN}, "verdicts": {...: int}}},
    "metrics": {
        ...: {
            "protocol": (dict, type(None)),
            "arms": {...: SUMMARY},
            "differences": {...: DIFFERENCE},
            "findings": [str],
        }
    },
}


def read_study(path: Path) -> dict[str, Any]:
    """What study.json holds, if it is what a study writes and nothing in it leads out of the study's folder.

    Raises `TriptychError` that says what is wrong.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        _fit(found, STUDY, "it")
        _names(found, path.parent)
    except (ValueError, RecursionError) as error:
        raise TriptychError(
            f"'{path}' is no study of Triptych's: {error}; run triptych study again"
        ) from None
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _fit(value: Any, shape: Shape, name: str) -> None:
    """Raise a `ValueError` that names the first part of another shape."""
    if isinstance(shape, list):
        _need(isinstance(value, list), name)
        for item in value:
            _fit(item, shape[0], f"{name}, an item")
    elif isinstance(shape, Mapping):
        _need(isinstance(value, dict), name)
        _fit_table(value, shape, name)
    else:
        # A truth value is an int to Python.
        _need(isinstance(value, shape) and not isinstance(value, bool), name)


def _fit_table(value: Mapping[str, Any], shape: Mapping[Any, Shape], name: str) -> None:
    if ... in shape:
        for key, item in value.items():
            _fit(item, shape[...], f"{name}: {key[:40]}")
        return
    for key, inner in shape.items():
        plain = key.removesuffix("?")
        if plain in value:
            _fit(value[plain], inner, plain)
        else:
            _need(key.endswith("?"), plain)


def _need(right: bool, name: str) -> None:
    if not right:
        raise ValueError(f"{name} is missing or of another kind")


def _names(found: Mapping[str, Any], folder: Path) -> None:
    """Arms and seeds are parts of paths, and every table speaks of the same arms."""
    arms, root = found["arms"], folder.resolve()
    for arm, about in arms.items():
        for seed in about["runs"]:
            path = (root / arm / f"seed-{seed}").resolve()
            if not SEED.fullmatch(seed) or arm in ("", ".", "..") or path.parent.parent != root:
                raise ValueError(f"arm {arm[:40]!r}, seed {seed[:40]!r} is no folder in it")
    if found["control"] not in arms:
        raise ValueError("its control is none of its arms")
    known: Callable[[str], bool] = arms.__contains__
    for about in found["metrics"].values():
        if not all(map(known, (*about["arms"], *about["differences"]))):
            raise ValueError("it has numbers of an arm that it does not have")
