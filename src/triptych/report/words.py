"""What figures say about a run in words: on what data, in what setting, and numbers in type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triptych.runs import Run

__all__ = ["joined", "look", "setting", "signed"]

_BINARIZED = {"dynamic": "dynamically binarized", "threshold": "binarized at one half"}
_LIKELIHOODS = {
    "bernoulli": "Bernoulli",
    "gaussian": "Gaussian over 256 levels",
    "logistic": "logistic over 256 levels",
}


def signed(value: float, digits: int = 2) -> str:
    """A number with a true minus sign, thousands grouped.

    Example:
        >>> signed(-15842.354)
        '−15,842.35'
    """
    return f"{value:,.{digits}f}".replace("-", "−")


def joined(*parts: str | None) -> str:
    """The parts that are there, with dots between."""
    return " · ".join(part for part in parts if part)


def setting(run: Run, split: str = "", weights: str = "") -> str:
    """Data, binarization, split, likelihood and weights, as far as they apply to the run."""
    config = run.config
    data = config.get("data", {})
    likelihood = config.get("method", {}).get("likelihood")
    return joined(
        _title(run, data),
        _BINARIZED.get(data.get("binarize", "none")),
        f"{split} split" if split else None,
        f"{_LIKELIHOODS.get(likelihood, likelihood)} likelihood" if likelihood else None,
        f"{weights} weights" if weights else None,
    )


def _title(run: Run, data: Mapping[str, Any]) -> str:
    """The data's title, which an evaluation knows; before one, its name."""
    for result in run.results().values():
        if title := result["protocol"].get("data"):
            return str(title)
    return Path(str(data.get("name", ""))).name


def look(run: Run) -> tuple[str, str]:
    """Split and weights of the evaluation whose pictures the run keeps, or two empty strings."""
    protocol = run.results().get("latent/kl_per_dimension", {}).get("protocol", {})
    return protocol.get("split", ""), protocol.get("checkpoint", "")
