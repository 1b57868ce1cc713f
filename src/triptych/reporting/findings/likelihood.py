"""What a VAE found: its bound, its likelihood, the coordinates that it uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.reporting.findings.finding import (
    APART,
    ERRORS,
    Finding,
    Standing,
    differs,
    measured_against,
)
from triptych.reporting.reference import vae as reference
from triptych.reporting.reference.protocol import other_data, scope
from triptych.reporting.words import signed, with_error
from triptych.runs import Run

__all__ = ["SAYINGS"]

Results = Mapping[str, Any]


def the_elbo(run: Run, results: Results, asked: bool) -> Finding | None:
    """The validation ELBO over the training; of the reference's VAE, Figure 1."""
    epochs, values = _bounds(run)
    if not values:
        return None
    told = Finding("ELBO", _course(epochs, values), shows=("elbo", "elbo-curve"))
    ends = reference.ELBO_CURVE[-1], reference.FINAL_ELBO
    given = f"{signed(reference.FINAL_ELBO)} (its figure ends at {signed(ends[0], 1)})"
    rule = f"within is between the reference's two values or less than {ERRORS:g} standard errors outside"
    standing = measured_against(values[-1], _error(run, results), ends)
    found = _beside(run, told, given, _changed(run), (standing, rule), asked)
    return found._replace(title="ELBO (Figure 1)", figures=(1,)) if found.reference else found


def _beside(
    run: Run,
    told: Finding,
    given: str,
    changed: Sequence[str],
    standing: tuple[Standing, str],
    asked: bool,
) -> Finding:
    """A number beside the reference's, where that holds for the run."""
    of = scope(reference.PROTOCOL, run.config, asked)
    if not of:
        return told
    stands: tuple[Standing, str] = standing
    if of == "other data":
        stands = "not comparable", other_data(run.config)
    elif changed:
        stands = "not comparable", differs(changed)
    return told._replace(reference=given, standing=stands[0], why=stands[1])


def _error(run: Run, results: Results) -> float | None:
    """The standard error of the validation ELBO over images, where an evaluation has it."""
    found = results.get("valid/elbo")
    return found["stderr"] if found is not None else None


def _bounds(run: Run) -> tuple[list[float], list[float]]:
    """The validation ELBO where it is a number."""
    points = [p for p in zip(*run.curve("valid/elbo"), strict=True) if math.isfinite(p[1])]
    return [p[0] for p in points], [p[1] for p in points]


def _changed(run: Run) -> list[str]:
    """The fields in which a run leaves the reference's protocol, its length among them."""
    epochs, _ = _bounds(run)
    whole = bool(epochs) and epochs[-1] == len(reference.ELBO_CURVE)
    return [*reference.differences(run.config), *([] if whole else ["train.duration"])]


def _course(epochs: list[float], values: list[float]) -> str:
    first, last, best = values[0], values[-1], max(values)
    if len(values) == 1:
        after = f"{epochs[-1]:g} epoch{'s' * (epochs[-1] != 1)}"
        return f"The validation ELBO is {signed(last)} nats an image after {after}."
    way = "rose" if last > first else "fell" if last < first else "did not change"
    said = f"The validation ELBO {way} from {signed(first)} to {signed(last)} nats an image over {epochs[-1]:g} epochs"
    if signed(best) != signed(last):
        said += f"; it was highest, {signed(best)}, at epoch {epochs[values.index(best)]:g}"
    return said + "."


def the_likelihood(run: Run, results: Results, asked: bool) -> Finding | None:
    """The test log-likelihood by importance sampling."""
    found = results.get("test/log_likelihood")
    if found is None or not math.isfinite(found["value"]):
        return None
    samples = found["protocol"].get("K")
    sentence = (
        f"The log-likelihood of {found['n']:,} test images is {with_error(found['value'], found['stderr'])} nats an image"
        f"{f' with {samples} importance samples' if samples else ''}."
    )
    told = Finding("Log-likelihood", sentence, shows=("k-curve",))
    changed = [*_changed(run), *reference.measured_otherwise(found["protocol"])]
    known = reference.LOG_LIKELIHOOD, reference.LOG_LIKELIHOOD
    standing = measured_against(found["value"], found["stderr"], known)
    rule = f"within is less than {ERRORS:g} standard errors apart, undecided less than {APART:g}"
    given = signed(reference.LOG_LIKELIHOOD)
    return _beside(run, told, given, changed, (standing, rule), asked)


def the_coordinates_in_use(run: Run, results: Results, asked: bool) -> Finding | None:
    """How many coordinates the encoder uses."""
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


SAYINGS = (the_elbo, the_likelihood, the_coordinates_in_use)
