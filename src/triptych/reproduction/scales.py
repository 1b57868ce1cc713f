"""The scales of a reproduction: how large each panel is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SCALES", "Scale"]


@dataclass(frozen=True)
class Scale:
    """A preset of each panel, by name."""

    about: str
    """What it is for, in a line."""
    vae: str
    """The preset of the VAE."""
    wgan: str
    """The preset of the WGAN."""
    study: str
    """The packaged study of SimSiam."""
    coordinates: tuple[int, ...] = ()
    """Latent coordinates of the WGAN to show shifted: those of the reference report's figures."""


SCALES: Mapping[str, Scale] = {
    "demo": Scale(
        "the embedded digits, minutes on two cores", "demo", "demo", "simsiam-ablation-demo"
    ),
    "small": Scale(
        "thin networks on the reference's data, an hour or two on two cores",
        "reference",
        "small",
        "simsiam-ablation",
        (6, 25, 58),
    ),
    "reference": Scale(
        "the reference report's protocol, for a GPU",
        "reference",
        "reference",
        "simsiam-ablation-reference",
        (6, 25, 58),
    ),
}
