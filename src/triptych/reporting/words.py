"""What figures say about a run in words: on what data, in what setting, and numbers in type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych.metrics import metric
from triptych.runs import Run

__all__ = [
    "called",
    "in_colour",
    "joined",
    "look",
    "number",
    "offset",
    "plain",
    "rounded",
    "setting",
    "signed",
    "value_with_error",
    "with_error",
]

_BINARIZED = {"dynamic": "dynamically binarized", "threshold": "binarized at one half"}
_LIKELIHOODS = {
    "bernoulli": "Bernoulli likelihood",
    "gaussian": "Gaussian likelihood over 256 levels",
    "logistic": "logistic likelihood over 256 levels",
}
_TOGETHER = "\u00a0"
"""A space at which no line is broken."""


def called(folder: Path) -> str:
    """What a folder is called on a page: by its name, and a study's run by its arm as well.

    Example:
        >>> (tmp_path / "study.toml").touch()
        >>> called(tmp_path / "default" / "seed-0"), called(tmp_path / "runs" / "mine" / "digits")
        ('default, seed-0', 'digits')
    """
    path = folder.resolve()
    in_study = (path.parent.parent / "study.toml").is_file()
    return f"{path.parent.name}, {path.name}" if in_study else path.name


def signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, thousands grouped; what is none is said in words.

    Example:
        >>> signed(-15842.354), signed(math.inf)
        ('−15,842.35', 'not finite')
    """
    if not math.isfinite(value):
        return "not finite"
    return f"{value:,.{digits}f}".replace("-", "−")


def number(value: float) -> str:
    """A number without an error, in four figures and at least two decimals, so that two looks at one training differ.

    Powers of ten only where there would be more than twelve digits before the point, or five noughts after it.

    Example:
        >>> number(-16512.31), number(0.98765), number(0.0001234), number(3), number(-4.2e-9)
        ('−16,512.31', '0.9877', '0.0001234', '3', '−4.200e−09')
    """
    if isinstance(value, int):
        return signed(value, 0)
    size = abs(value)
    if size == 0 or not math.isfinite(size):
        return signed(value, 0) if size else "0"
    if not 1e-6 <= size < 1e12:
        return f"{value:.3e}".replace("-", "−")
    return signed(value, max(2, 3 - math.floor(math.log10(size))))


def plain(value: float, decimals: int = 10) -> str:
    """A round number, the tick of an axis say, with no more decimals than it has; never a power of ten.

    Example:
        >>> plain(-16512.5), plain(20000.0), plain(0.30000000000000004), plain(-0.0)
        ('−16,512.5', '20,000', '0.3', '0')
    """
    if not math.isfinite(value):
        return signed(value, 0)
    said = f"{round(value, decimals) + 0.0:,.{decimals}f}"
    return said.rstrip("0").rstrip(".").replace("-", "−") if decimals else said.replace("-", "−")


def with_error(value: float, stderr: float | None) -> str:
    """A number with its standard error, in as many digits as the error leaves it.

    Example:
        >>> with_error(-95.4812, 0.2431), with_error(-1678.11, 10.12), with_error(0.00312, 0.00041)
        ('−95.48 ± 0.24', '−1,678 ± 10', '0.00312 ± 0.00041')
    """
    if stderr is None:
        return signed(value) if abs(value) >= 1 and isinstance(value, float) else number(value)
    digits = _decimals(stderr)
    return f"{signed(value, digits)} ± {stderr:,.{digits}f}"


def _decimals(stderr: float) -> int:
    """Decimals that an error leaves a number."""
    if 0 < stderr < 0.01:
        # An error is never shown as 0.00: two figures of it.
        return 1 - math.floor(math.log10(stderr))
    return 2 - (stderr >= 1) - (stderr >= 10)


def rounded(value: float, stderr: float | None = None) -> str:
    """A number in a sentence, without its error: as many digits as the error leaves it, or four figures if none is known.

    Example:
        >>> rounded(-15842.354, 12.0), rounded(-103.551, 1.4), rounded(-15842.354), rounded(-103.551), rounded(1.2)
        ('−15,842', '−103.6', '−15,842', '−103.6', '1.20')
    """
    if stderr:
        return signed(value, _decimals(stderr))
    size = abs(value) if value and math.isfinite(value) else 1
    return signed(value, min(2, max(0, 3 - math.floor(math.log10(size)))))


def in_colour(protocol: Mapping[str, Any]) -> int:
    """Numbers of an image in colour, by the protocol of a result; 0 of one that is not, or of which that is not known.

    A likelihood of images in colour is read in bits for each of these numbers, as it is compared elsewhere.

    Example:
        >>> in_colour({"images": "3x32x32"}), in_colour({"images": "1x28x28"}), in_colour({})
        (3072, 0, 0)
    """
    shape = str(protocol.get("images", "")).split("x")
    if len(shape) != 3 or shape[0] != "3" or not all(side.isdecimal() for side in shape):
        return 0
    return math.prod(int(side) for side in shape)


def value_with_error(name: str, value: float, stderr: float | None) -> str:
    """A result as it is read: accuracies in per cent, times in minutes, small numbers in four digits.

    Example:
        >>> value_with_error("test/knn_top1", 0.425, 0.005), value_with_error("features/std", 0.9959, None)
        ('42.50 ± 0.50 %', '0.9959')
        >>> value_with_error("seconds", 750.0, None)
        '12.50 minutes'
    """
    declared = metric(name)
    if declared.scale != 1:
        times = declared.scale
        read = with_error(times * value, None if stderr is None else times * stderr)
        return f"{read} {declared.unit}"
    if abs(value) >= 1:
        return with_error(value, stderr)
    if stderr is None or 0 < stderr < 1e-4:
        return with_error(value, stderr)
    return f"{signed(value, 4)} ± {stderr:.4f}"


def joined(*parts: str | None) -> str:
    """The parts that are there, with dots between; lines break after a dot."""
    return f"{_TOGETHER}· ".join(part for part in parts if part)


def setting(run: Run, split: str = "", weights: str = "", seed: bool = False) -> str:
    """Data, binarization, split, likelihood and what else applies, as one line of protocol."""
    config = run.config
    data = config.get("data", {})
    likelihood = config.get("method", {}).get("likelihood", "")
    if not isinstance(likelihood, str):
        # A method of one's own may have a weight of that name.
        likelihood = ""
    parts = (
        _BINARIZED.get(data.get("binarize", "none"), ""),
        f"{split} split" if split else "",
        _LIKELIHOODS.get(likelihood, likelihood),
        _weights(run, weights),
        f"seed {config.get('seed', 'unknown')}" if seed else "",
    )
    return joined(_title(run, data), *(part.replace(" ", _TOGETHER) for part in parts))


def _weights(run: Run, which: str) -> str:
    """The checkpoint, and the step that it has now: what is shown is never of another."""
    there = run.weights(which) if which else None
    return f"{which} weights, step {there.step:,}" if there else f"{which} weights" if which else ""


def _title(run: Run, data: Mapping[str, Any]) -> str:
    """The data's title, which an evaluation knows; before one, its name."""
    for result in run.results().values():
        if title := result["protocol"].get("data"):
            return str(title)
    return Path(str(data.get("name", ""))).name


def look(run: Run) -> tuple[str, str]:
    """Split and weights of the evaluation whose pictures the run keeps, or two empty strings."""
    results = run.results()
    for name in ("latent/kl_per_dimension", "latent/active_units", "latent/effective_dimension"):
        if name in results:
            protocol = results[name]["protocol"]
            return protocol.get("split", ""), protocol.get("checkpoint", "")
    return "", ""


def offset(value: float, digits: int = 1) -> str:
    """A signed distance from 0.

    Example:
        >>> offset(2.0), offset(-1.5), offset(-1e-9), offset(3.0, 0)
        ('+2.0', '−1.5', '0', '+3')
    """
    # What is counted up from −3 passes through 0 only nearly, and −0.0 is no value to print.
    return "0" if abs(value) < 0.05 else ("+" if value > 0 else "") + signed(value, digits)
