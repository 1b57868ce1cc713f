"""What the reference report says of its WGAN, in words, and how a run leaves its protocol.

Source: IFT6135 Representation Learning, assignment 3, practical part (April 2022), Figures 2 to 7:
a WGAN with a one-sided penalty on SVHN, 50,000 updates of the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triptych.reporting.findings.finding import Claim, Finding, both
from triptych.reporting.reference.protocol import (
    Allowed,
    Reference,
    Results,
    agreeing,
    differing,
)
from triptych.runs import Run

__all__ = ["CONVERGED", "FREQUENT", "RARE", "REFERENCE", "differences"]

FREQUENT, RARE = ("5", "2"), ("1", "7", "9")
"""Classes that predominate among its samples at the end, and those that are rare."""

CONVERGED = ((6, "5"), (25, "8"), (58, "2"))
"""Coordinates of its Figures 3 to 5, and the digit to which all samples converge at a large shift."""

_ADAM: Mapping[str, tuple[Any, ...]] = {
    "name": ("adam",),
    "lr": (1e-4,),
    "betas": ([0.5, 0.9],),
    "weight_decay": (0.0,),
    "schedule": ("constant",),
    "warmup": (0.0,),
}

PROTOCOL: Allowed = {
    "method.name": ("wgan",),
    "data.name": ("svhn",),
    "data.image_size": (None, 32),
    "data.skip_broken": (False, None),
    "data.colour": ("auto", "colour"),
    "data.binarize": ("none",),
    "data.holdout": (None,),
    "method.latent": (100,),
    "method.width": (64,),
    "method.critic_steps": (5,),
    "method.penalty": ("one-sided",),
    "method.penalty_weight": (10.0,),
    "method.ema": (0.0,),
    # None: of before there was a choice.
    "method.batch_norm": ("joint", None),
    **{f"method.critic_optimizer.{name}": allowed for name, allowed in _ADAM.items()},
    **{f"method.generator_optimizer.{name}": allowed for name, allowed in _ADAM.items()},
    "train.batch_size": (64,),
    "train.duration": ("50000 steps",),
    # Other precision is other arithmetic, not another protocol; figures name it.
    "train.dtype": ("fp32", "bf16"),
    # None: of before there was a choice.
    "train.tf32": (True, False, None),
}
"""The fields of a run's config that make the reference's protocol, and the values they may have."""


def differences(config: Mapping[str, Any]) -> list[str]:
    """The fields in which a run's config leaves the reference's protocol.

    Example:
        >>> differences({"data": {"name": "svhn"}, "method": {"latent": 32}})[1:3]
        ['data.colour', 'data.binarize']
    """
    return differing(PROTOCOL, config)


def _classes(run: Run, results: Results, found: Finding) -> Finding:
    given = f"at the end {both(FREQUENT)} predominate; {both(RARE)} are rare"
    claim = _same_classes(results["samples/class_histogram"]["value"])
    return _said(found, given, claim, "Figure 2", (2,))


def _same_classes(value: Mapping[str, Any]) -> Claim:
    """Whether the classes that the reference names are off in the direction that it says.

    One that is off in the other direction contradicts it; of one that is not marked nothing is known.
    """
    marks = dict(zip(value["classes"], value["mark"], strict=True))
    more = {c: marks.get(c) for c in FREQUENT}
    less = {c: marks.get(c) for c in RARE}
    turned = [c for c, mark in more.items() if mark in ("under", "missing")]
    turned += [c for c, mark in less.items() if mark == "over"]
    if turned:
        return Claim("no", f"the other way round here: {', '.join(turned)}")
    unknown = [c for c, mark in {**more, **less}.items() if not mark]
    if unknown:
        return Claim("undecided", f"not shown to differ here: {', '.join(unknown)}")
    return Claim("yes", f"{both(FREQUENT)} are over-represented, {both(RARE)} under-represented")


def _shifted(run: Run, results: Results, found: Finding) -> Finding:
    where = ", ".join(f"{c} to the digit {digit}" for c, digit in CONVERGED)
    given = f"at large ε all samples converge: coordinate {where}"
    return _said(found, given, found.claim, "Figures 3 to 5", (3, 4, 5))


def _latent(run: Run, results: Results, found: Finding) -> Finding:
    given = "interpolated in latent space, pictures stay on valid digits"
    return _said(found, given, found.claim, "Figure 6", (6,))


def _pixel(run: Run, results: Results, found: Finding) -> Finding:
    given = "mixed in pixel space, they are a blurry overlay at 0.4 to 0.6"
    return _said(found, given, found.claim, "Figure 7", (7,))


def _said(
    found: Finding, given: str, claim: Claim | None, label: str, figures: tuple[int, ...]
) -> Finding:
    """A finding with the reference's words, and whether the run's claim is theirs."""
    if claim is None:
        return found
    found = found._replace(title=f"{found.title} ({label})", reference=given, figures=figures)
    return agreeing(found, claim)


def _changed(run: Run) -> list[str]:
    """The fields in which a run leaves the protocol, its length among them."""
    changed = differences(run.config)
    cut = run.status() != "done" and "train.duration" not in changed
    return [*changed, *(["train.duration"] if cut else [])]


REFERENCE = Reference(
    PROTOCOL,
    _changed,
    {
        "classes": _classes,
        "shifted_coordinates": _shifted,
        "latent_interpolation": _latent,
        "pixel_interpolation": _pixel,
    },
)
