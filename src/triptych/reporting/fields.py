"""What the fields of a config are called in a sentence: `method.optimizer.lr` is the learning rate."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["field_words"]

FIELDS: Mapping[str, str] = {
    "data.name": "data",
    "data.image_size": "image size",
    "data.colour": "colour of the images",
    "data.binarize": "binarization",
    "data.holdout": "validation images",
    "data.skip_broken": "broken images",
    "method.name": "method",
    "method.latent": "latent coordinates",
    "method.net": "kind of network",
    "method.hidden": "widths of the layers",
    "method.logit_offset": "offset of the logits",
    "method.kl": "estimator of the KL",
    "method.kl_warmup": "warm-up of the KL",
    "method.loss": "loss of the game",
    "method.beta": "weight of the KL",
    "method.free_bits": "free bits",
    "method.samples": "samples of the bound",
    "method.gradient": "gradient of the bound",
    "method.components": "components of the prior",
    "method.upper": "coordinates of the upper level",
    "method.lower": "coordinates of the lower level",
    "method.layers": "kind of layer",
    "method.penalty_weight": "weight of the penalty",
    "method.r1": "penalty on the critic's slope at images",
    "method.r2": "penalty on the critic's slope at samples",
    "method.spectral": "spectral normalisation of the critic",
    "method.ema": "averaging of the generator",
    "method.batch_norm": "batch normalisation",
    "method.stop_gradient": "stop-gradient",
    "method.stem": "first layer",
    "method.projector": "widths of the projector",
    "method.predictor_width": "width of the predictor",
    "method.target": "target network",
    "method.momentum": "averaging of the target",
    "method.negatives": "negatives",
    "method.temperature": "temperature",
    "method.off_diagonal_weight": "weight of the decorrelation",
    "method.invariance_weight": "weight of the invariance",
    "method.variance_weight": "weight of the variance",
    "method.covariance_weight": "weight of the covariance",
    "method.regulariser_weight": "weight of the regulariser",
    "method.directions": "random directions",
    "method.optimizer.name": "optimizer",
    "method.views.jitter": "colour jitter of the views",
    "method.views.grey": "grey views",
    "train.batch_size": "batch size",
    "train.duration": "length of the training",
    "train.dtype": "precision",
    "train.tf32": "rounding to TF32",
    # Of the protocol of a measurement.
    "K": "number of importance samples",
    "k": "number of neighbours",
    "temperature": "temperature of the vote",
}
"""Field, by its whole name, and how a sentence calls it; of the others their own words do."""

ENDS: Mapping[str, str] = {
    "lr": "learning rate",
    "betas": "averaging of the gradients",
    "schedule": "schedule of the learning rate",
    "warmup": "warm-up of the learning rate",
}
"""The same by the last part of a name, of an optimizer's fields, whichever optimizer's."""


def field_words(field: str) -> str:
    """How a sentence calls a field of a config or of a protocol.

    Example:
        >>> field_words("method.optimizer.lr"), field_words("method.critic_optimizer.lr")
        ('learning rate', 'learning rate of the critic')
        >>> field_words("method.views.crop_scale"), field_words("estimator")
        ('crop scale of the views', 'estimator')
    """
    if field in FIELDS:
        return FIELDS[field]
    *tables, last = field.split(".")
    title = ENDS.get(last, last.replace("_", " "))
    owner = tables[-1].replace("_", " ").removesuffix("optimizer").strip() if tables[1:] else ""
    if last == "name":
        return f"optimizer of the {owner}"
    return f"{title} of the {owner}" if owner else title
