"""What a likelihood found: its bound, the log-likelihood of images, the latent coordinates that it uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.reporting.findings.finding import Finding
from triptych.reporting.words import signed, with_error
from triptych.runs import Run

__all__ = ["bounds", "coordinates_in_use", "elbo", "log_likelihood"]

Results = Mapping[str, Any]


def elbo(run: Run, results: Results) -> Finding | None:
    """The validation ELBO over the training."""
    epochs, values = bounds(run)
    if not values:
        return None
    return Finding("ELBO", _course(epochs, values), shows=("elbo", "elbo-curve"))


def bounds(run: Run) -> tuple[list[float], list[float]]:
    """Epochs and values of the validation ELBO where it is a number."""
    points = [p for p in zip(*run.curve("valid/elbo"), strict=True) if math.isfinite(p[1])]
    return [p[0] for p in points], [p[1] for p in points]


def _course(epochs: list[float], values: list[float]) -> str:
    first, last, best = values[0], values[-1], max(values)
    if len(values) == 1:
        after = f"{round(epochs[-1], 2):g} epoch{'s' * (epochs[-1] != 1)}"
        return f"The validation ELBO is {signed(last)} nats an image after {after}."
    way = "rose" if last > first else "fell" if last < first else "did not change"
    said = f"The validation ELBO {way} from {signed(first)} to {signed(last)} nats an image from epoch {round(epochs[0], 2):g} to {round(epochs[-1], 2):g}"
    if signed(best) != signed(last):
        said += (
            f"; it was highest, {signed(best)}, at epoch {round(epochs[values.index(best)], 2):g}"
        )
    return said + "."


def log_likelihood(run: Run, results: Results) -> Finding | None:
    """The log-likelihood of test images by importance sampling."""
    found = results.get("test/log_likelihood")
    if found is None or not math.isfinite(found["value"]):
        return None
    samples = found["protocol"].get("K")
    sentence = (
        f"The log-likelihood of {found['n']:,} test images is {with_error(found['value'], found['stderr'])} nats an image"
        f"{f' with {samples} importance samples' if samples else ''}."
    )
    return Finding("Log-likelihood", sentence, shows=("k-curve",))


def coordinates_in_use(run: Run, results: Results) -> Finding | None:
    """How many latent coordinates the encoder uses."""
    active = results.get("latent/active_units")
    if active is None or isinstance(active["value"], Mapping):
        return None
    size = run.config.get("method", {}).get("latent")
    used = active["value"]
    least = active["protocol"].get("threshold")
    how = f" (the variance of E[z|x] exceeds {least:g})" if least is not None else ""
    if used == size:
        said = f"All {size} latent coordinates are used by the encoder{how}."
    else:
        of = f" of {size}" if size else ""
        said = f"{used:g}{of} latent coordinates are used by the encoder{how}; the others hardly leave the prior."
    return Finding("Latent coordinates", said, shows=("kl-per-dimension", "traversal"))
