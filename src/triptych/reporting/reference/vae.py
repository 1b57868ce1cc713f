"""What the reference report says of its VAE, and whether a run follows its protocol.

Source: IFT6135 Representation Learning, assignment 3, practical part (April 2022):
a VAE on statically binarized MNIST, trained for 20 epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from triptych.reporting.figures.likelihood import Overlay, elbo_curve, k_curve
from triptych.reporting.figures.panels import Line
from triptych.reporting.findings.finding import APART, ERRORS, Finding
from triptych.reporting.findings.likelihood import bounds
from triptych.reporting.looks import OVERLAID
from triptych.reporting.reference.protocol import (
    Allowed,
    Reference,
    Results,
    differing,
    measured_against,
    number_against,
)
from triptych.reporting.words import signed
from triptych.runs import Run

__all__ = ["ELBO_CURVE", "FINAL_ELBO", "LOG_LIKELIHOOD", "REFERENCE", "SAMPLES", "differences"]

ELBO_CURVE = (
    *(-168.7, -143.5, -130.3, -122.2, -117.5, -113.4, -111.0, -109.7, -108.2, -107.2),
    *(-106.2, -105.6, -104.8, -104.1, -103.7, -103.1, -102.6, -102.2, -101.8, -101.5),
)
"""Validation ELBO after epochs 1 to 20, nats an image, its Figure 1; see `CAVEAT`."""

CAVEAT = "values read off its Figure 1, so approximate"
"""What must stand wherever `ELBO_CURVE` is shown."""

FINAL_ELBO = -100.49
"""The final validation ELBO that its text gives, a nat above the end of its own figure."""

LOG_LIKELIHOOD = -95.75
"""Test log-likelihood that its text gives, nats an image, by importance sampling from q(z|x)."""

SAMPLES = 200
"""Importance samples behind `LOG_LIKELIHOOD`."""

MEASURED: Mapping[str, Any] = {
    "K": SAMPLES,
    "estimator": "importance sampling, q(z|x) as proposal",
    "likelihood": "bernoulli",
}
"""How `LOG_LIKELIHOOD` was measured, as the protocol of a result has it."""

PROTOCOL: Allowed = {
    "method.name": ("vae",),
    "data.name": ("binarized-mnist",),
    "data.image_size": (None, 28),
    "data.skip_broken": (False, None),
    "data.binarize": ("none",),
    "method.latent": (100,),
    "method.net": ("mlp",),
    "method.hidden": ([300, 300],),
    "method.likelihood": ("bernoulli",),
    "method.logit_offset": (-5.0,),
    "method.kl": ("analytic",),
    "method.kl_warmup": (0.0,),
    # None: of before there was a choice.
    "method.beta": (1.0, None),
    "method.free_bits": (0.0, None),
    "method.samples": (1, None),
    "method.gradient": ("standard", None),
    "method.prior": ("standard", None),
    "method.optimizer.name": ("adam",),
    "method.optimizer.lr": (3e-4,),
    "method.optimizer.betas": ([0.9, 0.999],),
    "method.optimizer.weight_decay": (0.0,),
    "method.optimizer.schedule": ("constant",),
    "method.optimizer.warmup": (0.0,),
    "train.batch_size": (64,),
    # Other precision is other arithmetic, not another protocol; figures name it.
    "train.dtype": ("fp32", "bf16"),
    "train.tf32": (True, False, None),
}
"""The fields of a run's config that make the reference's protocol, and the values they may have.

The length is not among them: at a constant learning rate a shorter run is the beginning of a longer one.
"""


def differences(config: Mapping[str, Any]) -> list[str]:
    """The fields in which a run's config leaves the reference's protocol: none where it may be compared.

    Example:
        >>> differences({"method": {"latent": 2}})[:2]
        ['method.name', 'data.name']
    """
    return differing(PROTOCOL, config)


def measured_otherwise(protocol: Mapping[str, Any]) -> list[str]:
    """The fields in which a log-likelihood was measured otherwise than the reference's.

    Example:
        >>> measured_otherwise({"K": 200, "estimator": "forward pass"}), measured_otherwise({})
        (['estimator'], ['K'])
    """
    said = {"K": None, **{f: v for f, v in MEASURED.items() if f != "K"}, **protocol}
    return [field for field, value in MEASURED.items() if said[field] != value]


def _changed(run: Run) -> list[str]:
    """The fields in which a run leaves the protocol, its length among them."""
    epochs, _ = bounds(run)
    whole = bool(epochs) and epochs[-1] == len(ELBO_CURVE)
    return [*differences(run.config), *([] if whole else ["train.duration"])]


def _elbo(run: Run, results: Results, found: Finding) -> Finding:
    """Its Figure 1."""
    ends = ELBO_CURVE[-1], FINAL_ELBO
    given = f"{signed(FINAL_ELBO)} (its figure ends at {signed(ends[0], 1)})"
    rule = f"within is between the reference's two values or less than {ERRORS:g} standard errors outside"
    # The error is that over images, where an evaluation has it.
    stderr = results["valid/elbo"]["stderr"] if "valid/elbo" in results else None
    standing = measured_against(bounds(run)[1][-1], stderr, ends)
    found = found._replace(title="ELBO (Figure 1)", figures=(1,))
    return number_against(found, given, (), (standing, rule))


def _log_likelihood(run: Run, results: Results, found: Finding) -> Finding:
    """The number of its text."""
    result = results["test/log_likelihood"]
    otherwise = measured_otherwise(result["protocol"])
    known = LOG_LIKELIHOOD, LOG_LIKELIHOOD
    standing = measured_against(result["value"], result["stderr"], known)
    rule = f"within is less than {ERRORS:g} standard errors apart, undecided less than {APART:g}"
    return number_against(found, signed(LOG_LIKELIHOOD), otherwise, (standing, rule))


_EPOCHS = [float(epoch + 1) for epoch in range(len(ELBO_CURVE))]


def _elbo_curve(run: Run) -> Figure | None:
    said = f"Reference: {CAVEAT}; its text ends at {signed(FINAL_ELBO)}."
    train = run.config["train"]
    if train["dtype"] != "fp32":
        said += " This run multiplies matrices in bf16."
    elif train.get("device") == "cuda" and train.get("tf32"):
        said += " This run rounds to TF32 what it multiplies."
    return elbo_curve(run, Overlay("reference report", (_EPOCHS, list(ELBO_CURVE)), said))


def _k_curve(run: Run) -> Figure | None:
    name = f"reference report, K = {SAMPLES}: {signed(LOG_LIKELIHOOD)}"
    return k_curve(run, Overlay(name, ([], [LOG_LIKELIHOOD]), "Reference: after 20 epochs."))


REFERENCE = Reference(
    PROTOCOL,
    _changed,
    {"elbo": _elbo, "log_likelihood": _log_likelihood},
    {"elbo-curve": _elbo_curve, "k-curve": _k_curve},
    {"elbo": Line(f"reference report ({CAVEAT})", _EPOCHS, list(ELBO_CURVE), OVERLAID, over=True)},
)
