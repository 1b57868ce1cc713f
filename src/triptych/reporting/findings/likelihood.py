"""What a likelihood found: its bound, the log-likelihood of images, the latent coordinates that it uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.reporting.findings.finding import Finding
from triptych.reporting.words import in_colour, rounded, signed, with_error
from triptych.runs import Run

__all__ = ["bounds", "coordinates_in_use", "elbo", "log_likelihood"]

Results = Mapping[str, Any]


def elbo(run: Run, results: Results) -> Finding | None:
    """The validation ELBO over the training."""
    epochs, values = bounds(run)
    if not values:
        return None
    measured = results.get("valid/elbo", {})
    stderr = measured.get("stderr")
    course = _course(epochs, values, stderr, in_colour(measured.get("protocol", {})))
    if not math.isfinite(run.curve("valid/elbo")[1][-1]):
        course += " After that it was no finite number."
    return Finding(
        "ELBO",
        course,
        shows=("elbo",),
    )


def bounds(run: Run) -> tuple[list[float], list[float]]:
    """Epochs and values of the validation ELBO where it is a number."""
    points = [p for p in zip(*run.curve("valid/elbo"), strict=True) if math.isfinite(p[1])]
    return [p[0] for p in points], [p[1] for p in points]


def _course(epochs: list[float], values: list[float], stderr: float | None, pixels: int) -> str:
    """Where the bound began and ended: in bits per dimension where images are in colour, else in nats an image."""

    def said(value: float) -> str:
        if pixels:
            return signed(-value / (pixels * math.log(2)))
        return rounded(value, stderr)

    first, last, best = values[0], values[-1], max(values)
    name, unit = "validation ELBO", "nats an image"
    meaning = "it is a lower bound on log p(x), so more is better"
    if pixels:
        name, unit = "negative validation ELBO", "bits per dimension"
        meaning = "it is an upper bound on what an image takes, so less is better"
    if len(values) == 1:
        after = f"{round(epochs[-1], 2):g} epoch{'s' * (epochs[-1] != 1)}"
        return f"The {name} is {said(last)} {unit} after {after}: {meaning}."
    rises, falls = ("fell", "rose") if pixels else ("rose", "fell")
    way = rises if last > first else falls if last < first else "did not change"
    course = (
        f"The {name} {way} from {said(first)} to {said(last)} {unit} between epochs "
        f"{round(epochs[0], 2):g} and {round(epochs[-1], 2):g}: {meaning}"
    )
    if said(best) != said(last):
        course += f". It was best, {said(best)}, at epoch {round(epochs[values.index(best)], 2):g}"
    return course + "."


def log_likelihood(run: Run, results: Results) -> Finding | None:
    """The log-likelihood of test images by importance sampling: of images in colour in bits per dimension."""
    found, bits = results.get("test/log_likelihood"), results.get("test/bits_per_dimension")
    if found is None or not math.isfinite(found["value"]):
        return None
    samples = found["protocol"].get("K")
    by = f"with {samples} importance samples for each of " if samples else "over "
    by += f"{found['n']:,} images"
    if bits is not None and in_colour(bits["protocol"]):
        sentence = (
            f"On average a test image takes {with_error(bits['value'], bits['stderr'])} bits per dimension, fewer being "
            f"better: an upper bound, {by}."
        )
    else:
        sentence = (
            f"On average a test image has a log-likelihood of {with_error(found['value'], found['stderr'])} nats, more "
            f"being better: a lower bound, {by}."
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
    how = (
        "" if least is None else f" (the variance of their mean over the images exceeds {least:g})"
    )
    if used == size:
        said = f"The encoder uses all {size} latent coordinates{how}."
    else:
        of = f" of {size}" if size else ""
        said = (
            f"The encoder uses {used:g}{of} latent coordinates{how}; the mean of the others hardly "
            "differs from image to image, and they tell hardly anything of the picture."
        )
    return Finding("Latent coordinates", said, shows=("kl-per-dimension", "traversal"))
