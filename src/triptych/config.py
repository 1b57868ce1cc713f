"""Strict configs: frozen dataclasses, loaded from TOML, where an unknown key is an error.

Durations carry their unit, so that ``20 epochs`` can never be mistaken for 20 steps.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from triptych.errors import TriptychError, shown, unknown
from triptych.records import toml

__all__ = [
    "LONGEST",
    "THREADS",
    "WIDEST",
    "DeviceName",
    "Duration",
    "OptimizerConfig",
    "ViewsConfig",
    "dump",
    "limited",
    "merge",
    "read_toml",
    "to_dict",
]

T = TypeVar("T")

LONGEST = 10**12
"""Epochs or steps of a duration, and whatever else is counted in them, at most."""

WIDEST = 1_000_000
"""Units, channels or coordinates of a layer at most: the largest that no product of two overflows."""

THREADS = 1024
"""Threads at most: a system that has no room for so many ends the process without a word."""

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Duration:
    """A length of training: an amount and its unit.

    Example:
        >>> Duration.parse("20 epochs").steps(per_epoch=781)
        15620
        >>> str(Duration.parse("50_000 steps"))
        '50000 steps'
    """

    amount: float
    unit: Literal["epochs", "steps"]

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``20 epochs`` or ``50_000 steps``; anything else is a `TriptychError`."""
        words = text.split() if text.isascii() else []
        try:
            amount = float(words[0].replace("_", ""))
            unit = {"epoch": "epochs", "step": "steps"}.get(words[1], words[1])
        except (IndexError, ValueError):
            amount, unit = -1.0, ""
        if len(words) != 2 or unit not in ("epochs", "steps") or not 0 < amount < inf:
            raise TriptychError(
                f"{shown(text)} is not a duration; write a positive number and a unit, "
                "such as '20 epochs' or '50_000 steps'"
            )
        return cls(amount, unit)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        """Refuse what no training lasts."""
        whole = self.unit != "steps" or float(self.amount).is_integer()
        if not 0 < self.amount <= LONGEST or not whole:
            raise TriptychError(
                f"'{self}' is not a duration; write a positive number up to {LONGEST:,}, of steps a whole one"
            )

    def steps(self, per_epoch: float) -> int:
        """The same length in steps, at least one."""
        amount = self.amount * per_epoch if self.unit == "epochs" else self.amount
        return max(1, round(amount))

    def __str__(self) -> str:
        return f"{self.amount:.12g} {self.unit}"


@dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer and how its learning rate moves over the training."""

    name: Literal["adam", "sgd"] = "adam"
    """Which algorithm."""
    lr: float = 3e-4
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's two decay rates."""
    momentum: float = 0.9
    """SGD's momentum."""
    weight_decay: float = 0.0
    """L2 penalty on the weights."""
    schedule: Literal["constant", "cosine"] = "constant"
    """After the warm-up: stay, or follow half a cosine down to zero."""
    warmup: float = 0.0
    """Share of the training during which the rate rises linearly from zero."""

    def __post_init__(self) -> None:
        """Refuse numbers that no optimizer takes."""
        shares = {"beta": self.betas[0], "second beta": self.betas[1], "momentum": self.momentum}
        shares["warmup"] = self.warmup
        for name, value in shares.items():
            if not 0 <= value < 1:
                raise TriptychError(f"an optimizer's {name} lies in [0, 1), not {value}")
        if not 0 < self.lr < inf or not 0 <= self.weight_decay < inf:
            raise TriptychError(
                f"an optimizer needs a learning rate above 0 and a weight decay of 0 or more, "
                f"not {self.lr} and {self.weight_decay}"
            )


@dataclass(frozen=True)
class ViewsConfig:
    """How two looks at one image differ. The defaults are those of Chen and He (2021, appendix A)."""

    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the image's area that a crop shows; it is resized to the whole."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest width of a crop relative to its height."""
    flip: float | None = None
    """Probability of a mirror image; without one it is 0.5, or 0 for named data of digits."""
    jitter: float = 0.8
    """Probability that brightness, contrast, saturation and hue change, in a random order."""
    brightness: float = 0.4
    """Largest relative change of the brightness."""
    contrast: float = 0.4
    """Largest relative change of the contrast."""
    saturation: float = 0.4
    """Largest relative change of the saturation."""
    hue: float = 0.1
    """Largest turn of the hue, in turns of the colour circle; at most one half."""
    grey: float = 0.2
    """Probability that a colour image loses its colours."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for name in ("flip", "jitter", "grey"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise TriptychError(f"a view's {name} {value} is no probability")
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) <= 1:
                raise TriptychError(f"a view's {name} {getattr(self, name)} lies outside of [0, 1]")
        if not 0 <= self.hue <= 0.5:
            raise TriptychError(f"a view's hue {self.hue} lies outside of [0, 0.5]")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise TriptychError(f"a view's crop scale {low} to {high} is no range within (0, 1]")
        low, high = self.crop_ratio
        if not 1 / WIDEST <= low <= high <= WIDEST:
            raise TriptychError(f"a view's crop ratio {low} to {high} is no range above 0")


def limited(option: str, value: float, least: float, most: float) -> None:
    """Refuse a number outside of its range, one that is none included; a `TriptychError` that names the option.

    Example:
        >>> limited("--threads", 3, 0, 1024)
        >>> limited("--threads", -1, 0, 1024)
        Traceback (most recent call last):
        triptych.errors.TriptychError: --threads -1 is too small; give 0 or more
    """
    if not isinstance(value, Real):
        raise TriptychError(f"{option} cannot be {shown(value)}; it takes a number")
    if least <= value <= most:
        return
    if value < least:
        raise TriptychError(f"{option} {shown(value)} is too small; give {least:,} or more")
    if value > most:
        raise TriptychError(f"{option} {shown(value)} is too large; give {most:,} at most")
    raise TriptychError(f"{option} {value} is no number")


def merge(default: T, values: Mapping[str, Any], where: str = "") -> T:
    """``default`` with some fields replaced, checked against their types; nested tables merge.

    Raises `TriptychError` for an unknown key (with the nearest name) or a value of the wrong type.

    Example:
        >>> merge(OptimizerConfig(), {"lr": 0.1}).lr
        0.1
    """
    hints = get_type_hints(type(default))
    names = [f.name for f in dataclasses.fields(default)]  # type: ignore[arg-type]
    changes = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in names:
            raise unknown("option", f"{where}{key}", [f"{where}{n}" for n in names])
        current = getattr(default, name)
        if dataclasses.is_dataclass(current) and not isinstance(current, Duration):
            if not isinstance(value, Mapping):
                raise TriptychError(
                    f"option '{where}{name}' cannot be {shown(value)}; it takes a table of options"
                )
            changes[name] = merge(current, value, f"{where}{name}.")
        else:
            changes[name] = _convert(hints[name], value, f"{where}{name}")
    return dataclasses.replace(default, **changes)  # type: ignore[type-var]


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if isinstance(value, Real) and not isinstance(value, bool):
        # A number of NumPy, as whoever walks along an array has it.
        value = int(value) if isinstance(value, Integral) else float(value)
    if origin is Union or isinstance(hint, types.UnionType):
        inner = [a for a in args if a is not type(None)]
        if value is None and len(inner) < len(args):
            return None
        # Of several kinds the one that the value has; what has none of them is told of the first.
        kind = next((a for a in inner if type(value) is a), inner[0])
        return _convert(kind, value, where)
    if hint is Duration:
        return Duration.parse(str(value))
    if origin is Literal and value in args:
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = args[:1] * len(value) if args[-1] is Ellipsis else args
        if len(kinds) == len(value):
            return tuple(_convert(k, v, where) for k, v in zip(kinds, value, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (
        isinstance(hint, type)
        and type(value) is hint
        and value not in (inf, -inf)
        and value == value
    ):
        return value
    wanted = f"one of {', '.join(map(repr, args))}" if origin is Literal else _name(hint)
    raise TriptychError(f"option '{where}' cannot be {shown(value)}; it takes {wanted}")


def _name(hint: Any) -> str:
    if dataclasses.is_dataclass(hint):
        return "a table of options"
    if hint is float:
        return "a finite number"
    return getattr(hint, "__name__", str(hint)) if get_origin(hint) is None else str(hint)


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain tables that TOML can hold; fields that are none are left out."""
    table: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if value is None:
            continue
        if isinstance(value, Duration):
            value = str(value)
        elif dataclasses.is_dataclass(value):
            value = to_dict(value)
        table[f.name] = list(value) if isinstance(value, tuple) else value
    return table


def dump(table: Mapping[str, Any]) -> str:
    """TOML text of plain tables."""
    import tomli_w

    return tomli_w.dumps(table)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; a `TriptychError` that names the file where it cannot be read."""
    try:
        return toml(path)
    except FileNotFoundError:
        raise TriptychError(f"there is no file '{path}'") from None
