"""Options from dataclasses, by tyro, with mistakes as one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_type_hints

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from triptych.config import Duration
from triptych.errors import LONG, TriptychError, printable, unknown

__all__ = ["Flat", "parse", "take"]

T = TypeVar("T")

Flat = tyro.conf.arg(name="")
"""Marks a nested config whose options stand without a prefix: ``--seed``, not ``--train.seed``."""

REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def _duration(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Duration] | None:
    if info.type is not Duration:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="'N epochs'|'N steps'",
        instance_from_str=lambda words: Duration.parse(words[0]),
        is_instance=lambda value: isinstance(value, Duration),
        str_from_instance=lambda value: [str(value)],
    )


@REGISTRY.primitive_rule
def _boolean(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[bool] | None:
    if info.type is not bool:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="true|false",
        choices=("true", "false"),
        instance_from_str=lambda words: words[0] == "true",
        is_instance=lambda value: isinstance(value, bool),
        str_from_instance=lambda value: [str(value).lower()],
    )


def take(words: list[str], option: str) -> str | None:
    """Remove ``--option value`` or ``--option=value`` from the words and return the value, if it is there."""
    for i, word in enumerate(words):
        if word == option:
            if i + 1 == len(words):
                raise TriptychError(f"the option {option} needs a value")
            value = words[i + 1]
            del words[i : i + 2]
            return value
        if word.startswith(f"{option}="):
            del words[i]
            return word.split("=", 1)[1]
    return None


def parse(
    default: T, words: Sequence[str], prog: str, description: str, also: Sequence[str] = ()
) -> T:
    """``default`` with the options that the words give; prints help and exits 0 for ``--help``.

    ``also`` are options that the caller has taken out of the words already.

    Raises `TriptychError` for an unknown option, with the nearest one, and for a value that does not fit.
    """
    known = {f"--{name}" for name in _names(default)} | {"--help", *also}
    for word in words:
        option = word.split("=", 1)[0].replace("_", "-")
        if option.startswith("--") and option not in known:
            raise unknown("option", option, known)
    captured = io.StringIO()
    # tyro draws a box around a mistake; what is wrong stands in its first lines.
    asked = any(w in ("-h", "--help") for w in words)
    with contextlib.nullcontext() if asked else contextlib.redirect_stderr(captured):
        try:
            return tyro.cli(
                type(default),
                default=default,
                args=list(words),
                prog=prog,
                description=description,
                registry=REGISTRY,
                # Values, not flag pairs: overrides read like --method.stop-gradient false.
                config=(tyro.conf.FlagConversionOff,),
            )
        except SystemExit as stop:
            if stop.code in (0, None):
                raise
    lines = [line.strip("│╭╮╰╯─ ") for line in captured.getvalue().splitlines()]
    text = " ".join(line for line in lines[1:] if line).split(" Argument helptext:")[0]
    wrong = printable(re.split(r" For full helptext", text)[0])
    raise TriptychError(f"{wrong if len(wrong) <= LONG else wrong[:LONG] + '…'}; see {prog} --help")


def _names(config: Any, prefix: str = "") -> Iterator[str]:
    """The long options that tyro makes of a config."""
    hints = _annotations(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = hints.get(field.name, field.name.replace("_", "-"))
        full = f"{prefix}{name}"
        if dataclasses.is_dataclass(value) and not isinstance(value, Duration):
            yield from _names(value, f"{full}." if full else "")
        else:
            yield full


def _annotations(cls: type) -> dict[str, str]:
    """Names that differ from their field's."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        name: mark.name
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if getattr(mark, "name", None) is not None
    }
