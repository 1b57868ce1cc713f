"""What the reference report says of its WGAN, in words, and how a run leaves its protocol.

Source: IFT6135 Representation Learning, assignment 3, practical part (April 2022), Figures 2 to 7:
a WGAN with a one-sided penalty on SVHN, 50,000 updates of the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triptych.reporting.reference.protocol import differing

__all__ = ["CONVERGED", "FREQUENT", "LEAST", "PROTOCOL", "RARE", "UPDATES", "differences"]

FREQUENT, RARE = ("5", "2"), ("1", "7", "9")
"""Classes that predominate among its samples at the end, and those that are rare."""

CONVERGED = ((6, "5"), (25, "8"), (58, "2"))
"""Coordinates of its Figures 3 to 5, and the digit to which all samples converge at a large shift."""

UPDATES, LEAST = 50_000, 5_000
"""Updates of its generator, and the fewest after which its words on samples are held against another's:
those of the small scale, whose samples were looked at and are digits."""

_ADAM: Mapping[str, tuple[Any, ...]] = {
    "name": ("adam",),
    "lr": (1e-4,),
    "betas": ([0.5, 0.9],),
    "weight_decay": (0.0,),
    "schedule": ("constant",),
    "warmup": (0.0,),
}

PROTOCOL: Mapping[str, tuple[Any, ...]] = {
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
    **{f"method.critic_optimizer.{name}": allowed for name, allowed in _ADAM.items()},
    **{f"method.generator_optimizer.{name}": allowed for name, allowed in _ADAM.items()},
    "train.batch_size": (64,),
    "train.duration": ("50000 steps",),
    # Other precision is other arithmetic, not another protocol; figures name it.
    "train.dtype": ("fp32", "bf16"),
}
"""The fields of a run's config that make the reference's protocol, and the values they may have."""


def differences(config: Mapping[str, Any]) -> list[str]:
    """The fields in which a run's config leaves the reference's protocol.

    Example:
        >>> differences({"data": {"name": "svhn"}, "method": {"latent": 32}})[1:3]
        ['data.colour', 'data.binarize']
    """
    return differing(PROTOCOL, config)
