"""Seconds of what no warm-up can measure, recorded on one machine beside the pace that it had.

Elsewhere they are longer or shorter as the steps are. The demo's are those of ``triptych demo --seed 0``,
read from its run folders, on 2 cores of an Intel Xeon without a GPU, with another program at work beside it;
those of ``small`` are from ``python benchmarks/reproduce_pace.py small --wgan-data svhn-10k`` on the same machine, and the
reference's are rough, from what the presets' heads say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ARM", "RECORDED", "REPORT", "Recorded"]

ARM = "arm"
"""What stands for every run of a study."""


@dataclass(frozen=True)
class Recorded:
    """Seconds of one run, there and then."""

    step: float
    """A training step, as a warm-up finds it: the measure of that machine's speed."""
    start: float
    """From the beginning of the training to its first look: data, networks, for a study's run its process."""
    measure: float
    """The evaluation of the trained run."""
    draw: float = 0.0
    """Figures and what a browser plays with; a study's runs have neither."""


RECORDED: Mapping[str, Mapping[str, Recorded]] = {
    "demo": {
        "vae": Recorded(0.0060, 1.0, 7.5, 6.7),
        "wgan": Recorded(0.1403, 1.0, 19.9, 10.4),
        ARM: Recorded(0.0575, 4.0, 10.0),
    },
    "small": {
        "vae": Recorded(0.0041, 0.2, 37.9, 6.2),
        # With a cold cache: 31 s where it has the classifier, which is not looked up beforehand.
        "wgan": Recorded(0.2276, 3.8, 71.2, 10.1),
        ARM: Recorded(0.1001, 23.6, 118.4),
    },
    "reference": {
        "vae": Recorded(0.0037, 2.0, 60.0, 5.0),
        "wgan": Recorded(0.8, 2.0, 120.0, 5.0),
        ARM: Recorded(3.0, 5.0, 120.0),
    },
}

REPORT: Mapping[str, float] = {"demo": 14.0, "small": 14.4, "reference": 20.0}
"""Seconds of the study's figures and the page; longer or shorter as the steps of all that is timed are, in the mean."""
