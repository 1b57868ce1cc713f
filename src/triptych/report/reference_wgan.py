"""What the reference report says of its WGAN, in words, and how a run leaves its protocol.

Source: IFT6135 Representation Learning, assignment 3, practical part (April 2022), Figures 2 to 7:
a WGAN with a one-sided penalty on SVHN, 50,000 updates of the generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["CONVERGED", "FREQUENT", "RARE", "differences", "same_data"]

FREQUENT, RARE = ("5", "2"), ("1", "7", "9")
"""Classes that predominate among its samples at the end, and those that are rare."""

CONVERGED = ((6, "5"), (25, "8"), (58, "2"))
"""Coordinates of its Figures 3 to 5, and the digit to which all samples converge at a large shift."""

PROTOCOL: Mapping[str, tuple[Any, ...]] = {
    "data.name": ("svhn",),
    "method.latent": (100,),
    "method.width": (64,),
    "method.critic_steps": (5,),
    "method.penalty": ("one-sided",),
    "method.penalty_weight": (10.0,),
    "train.batch_size": (64,),
    "train.duration": ("50000 steps",),
}
"""The fields of a run's config that make the reference's protocol, and the values they may have."""


def same_data(config: Mapping[str, Any]) -> bool:
    """Whether the classes of a run's samples are those of the reference's.

    Example:
        >>> same_data({"data": {"name": "mnist-5k"}})
        False
    """
    return bool(_look_up(config, "data.name") == "svhn")


def differences(config: Mapping[str, Any]) -> list[str]:
    """The fields in which a run's config leaves the reference's protocol.

    Example:
        >>> differences({"data": {"name": "svhn"}, "method": {"latent": 32}})[:2]
        ['method.latent', 'method.width']
    """
    return [field for field, allowed in PROTOCOL.items() if _look_up(config, field) not in allowed]


def _look_up(config: Mapping[str, Any], field: str) -> Any:
    table, name = field.split(".")
    found = config.get(table)
    return found.get(name) if isinstance(found, Mapping) else None
