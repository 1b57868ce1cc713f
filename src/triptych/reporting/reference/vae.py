"""What the reference report says of its VAE, and whether a run follows its protocol.

Source: IFT6135 Representation Learning, assignment 3, practical part (April 2022):
a VAE on statically binarized MNIST, trained for 20 epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triptych.reporting.reference.protocol import differing

__all__ = [
    "CAVEAT",
    "ELBO_CURVE",
    "FINAL_ELBO",
    "LOG_LIKELIHOOD",
    "PROTOCOL",
    "SAMPLES",
    "differences",
    "measured_otherwise",
]

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

PROTOCOL: Mapping[str, tuple[Any, ...]] = {
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
    "method.optimizer.name": ("adam",),
    "method.optimizer.lr": (3e-4,),
    "method.optimizer.betas": ([0.9, 0.999],),
    "method.optimizer.weight_decay": (0.0,),
    "method.optimizer.schedule": ("constant",),
    "method.optimizer.warmup": (0.0,),
    "train.batch_size": (64,),
    # Other precision is other arithmetic, not another protocol; figures name it.
    "train.dtype": ("fp32", "bf16"),
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
