"""What a VAE found: its bound, its likelihood, the coordinates that it uses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from triptych.report import reference
from triptych.report.page.finding import ERRORS, Finding, differs, measured_against
from triptych.report.words import signed, with_error
from triptych.runs import Run

__all__ = ["SAYINGS"]

Results = Mapping[str, Any]


def the_elbo(run: Run, results: Results) -> Finding | None:
    """The validation ELBO over the training, Figure 1."""
    epochs, values = _bounds(run)
    if not values:
        return None
    ends = reference.ELBO_CURVE[-1], reference.FINAL_ELBO
    given = f"{signed(reference.FINAL_ELBO)} (its figure ends at {signed(ends[0], 1)})"
    changed = _changed(run)
    told = ("ELBO (Figure 1)", _course(epochs, values), given)
    where: Any = {"figures": (1,), "shows": ("elbo", "elbo-curve")}
    if changed:
        return Finding(*told, "not comparable", differs(changed), **where)
    standing = measured_against(values[-1], None, ends)
    return Finding(*told, standing, "within is between the reference's two values", **where)


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
        return f"The validation ELBO is {signed(last)} nats an image after {epochs[-1]:g} epochs."
    way = "rose" if last > first else "fell" if last < first else "did not change"
    said = f"The validation ELBO {way} from {signed(first)} to {signed(last)} nats an image over {epochs[-1]:g} epochs"
    if signed(best) != signed(last):
        said += f"; it was highest, {signed(best)}, at epoch {epochs[values.index(best)]:g}"
    return said + "."


def the_likelihood(run: Run, results: Results) -> Finding | None:
    """The test log-likelihood by importance sampling."""
    found = results.get("test/log_likelihood")
    if found is None or not math.isfinite(found["value"]):
        return None
    samples = found["protocol"].get("K")
    sentence = (
        f"The log-likelihood of {found['n']:,} test images is {with_error(found['value'], found['stderr'])} nats an image"
        f"{f' with {samples} importance samples' if samples else ''}."
    )
    changed = _changed(run)
    if samples != reference.SAMPLES:
        changed = [*changed, "K"]
    told = ("Log-likelihood", sentence, signed(reference.LOG_LIKELIHOOD))
    if changed:
        return Finding(*told, "not comparable", differs(changed), shows=("k-curve",))
    known = reference.LOG_LIKELIHOOD, reference.LOG_LIKELIHOOD
    standing = measured_against(found["value"], found["stderr"], known)
    rule = f"within is less than {ERRORS:g} standard errors apart"
    return Finding(*told, standing, rule, shows=("k-curve",))


def the_coordinates_in_use(run: Run, results: Results) -> Finding | None:
    """How many coordinates the encoder uses."""
    active = results.get("latent/active_units")
    if active is None or isinstance(active["value"], Mapping):
        return None
    size = run.config.get("method", {}).get("latent")
    used = active["value"]
    if used == size:
        said = f"All {size} latent coordinates are used by the encoder."
    else:
        of = f" of {size}" if size else ""
        said = f"{used:g}{of} latent coordinates are used by the encoder; the others stay at the prior."
    return Finding("Latent coordinates", said, shows=("kl-per-dimension", "traversal"))


SAYINGS = (the_elbo, the_likelihood, the_coordinates_in_use)
