"""Every metric that Triptych logs or measures: its title, unit, direction, and the scale on which it is read.

One table for charts, figures, tables and terminals. A metric that nobody declared, of a method of somebody
else's say, is shown as it is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

__all__ = ["OF_MODEL", "SPLITS", "Metric", "estimated", "label", "metric", "of_objective"]

Direction = Literal["higher", "lower", ""]

SPLITS: Mapping[str, str] = {"train": "training", "valid": "validation", "test": "test"}
"""Split, as names of metrics begin with it, and the word for it."""


class Metric(NamedTuple):
    """How a metric is called and read.

    Example:
        >>> Metric("kNN top-1", "%", "higher", 100.0).points
        'points'
    """

    title: str
    """Without the split, with no capital that the middle of a sentence would not have."""
    unit: str = ""
    """Of the value times ``scale``; empty where it has none."""
    better: Direction = ""
    """Empty where neither more nor less is better."""
    scale: float = 1.0
    """By what a stored value is multiplied to be read: shares are stored as such and read in per cent."""
    own: bool = False
    """Whether it is in units of what each method minimises, as a loss is: of two objectives it is two quantities."""

    @property
    def points(self) -> str:
        """The unit of a difference: per cents differ by points."""
        return "points" if self.unit == "%" else self.unit

    @property
    def heading(self) -> str:
        """Title and unit, as they stand above an axis.

        Example:
            >>> Metric("ELBO", "nats an image").heading, Metric("loss").heading
            ('ELBO, nats an image', 'loss')
        """
        return ", ".join(part for part in (self.title, self.unit) if part)


NATS = "nats an image"


def _share(title: str) -> Metric:
    """Of images that are right, say."""
    return Metric(title, "%", "higher", 100.0)


RECONSTRUCTION = Metric("reconstruction term", NATS, "higher")
KL = Metric("KL of q(z|x) from the prior", NATS)

DECLARED: Mapping[str, Metric] = {
    "seconds": Metric("training time", "minutes", "lower", 1 / 60),
    "loss": Metric("loss", own=True),
    # A likelihood.
    "elbo": Metric("ELBO", NATS, "higher"),
    # What a method logs by these names in training is its own; measured is a likelihood's.
    "valid/reconstruction": RECONSTRUCTION,
    "test/reconstruction": RECONSTRUCTION,
    "valid/kl": KL,
    "test/kl": KL,
    "importance_bound": Metric("importance-weighted bound", NATS, "higher"),
    "kl_upper": Metric("KL of the upper level", NATS),
    "kl_lower": Metric("KL of the lower level", NATS),
    "log_likelihood": Metric("log-likelihood", NATS, "higher"),
    "bits_per_dimension": Metric("bits per dimension", better="lower"),
    "importance_bias": Metric("bias of the log-likelihood", NATS),
    "log_likelihood_curve": Metric("log-likelihood by the number of samples", NATS, "higher"),
    "effective_sample_size": Metric("effective sample size", better="higher"),
    "latent/active_units": Metric("latent coordinates in use"),
    "latent/kl_per_dimension": Metric("KL of each latent coordinate", "nats"),
    # A game, and whatever else draws samples.
    "critic_gap": Metric("critic gap", own=True),
    "critic_memory": Metric("critic gap between training and validation images", own=True),
    "penalty": Metric("penalty", own=True),
    "gradient_norm": Metric("gradient norm of the critic", own=True),
    "critic/gradient_norm": Metric("steepness of the critic", own=True),
    "generator_score": Metric("score that the critic gives to samples", own=True),
    # What each of two players minimises is no measure of the samples: neither more nor less is better.
    "critic_loss": Metric("loss of the critic", own=True),
    "generator_loss": Metric("loss of the generator", own=True),
    "real_score": Metric("critic's score of images", own=True),
    "fake_score": Metric("critic's score of samples", own=True),
    "r1": Metric("squared slope of the critic at images", own=True),
    "r2": Metric("squared slope of the critic at samples", own=True),
    "samples/diversity": Metric("diversity of the samples"),
    "samples/healthy_step": Metric("last step with diverse samples"),
    "frechet": Metric("Fréchet distance", better="lower"),
    "frechet_untrained": Metric("Fréchet distance over random features", better="lower"),
    "kid": Metric("kernel distance", better="lower"),
    "precision": Metric("precision", better="higher"),
    "recall": Metric("recall", better="higher"),
    "density": Metric("density", better="higher"),
    "coverage": Metric("coverage", better="higher"),
    "samples/class_histogram": Metric("classes of the samples"),
    "latent/effective_dimension": Metric("effective latent dimension"),
    "latent/principal_spectrum": Metric("spectrum of the latent directions"),
    "latent/coordinates": Metric("latent coordinates against random directions"),
    "interpolation/scorecard": Metric("interpolation in latent and in pixel space"),
    "interpolation/control": Metric("distance of overlays to training images"),
    "interpolation/entropy": Metric("entropy of a classifier between two samples", "nats"),
    "interpolation/latent_vs_pixel": Metric(
        "distance to training images, latent − pixel interpolates", better="lower"
    ),
    # A representation.
    "knn_top1": _share("kNN top-1"),
    "knn_balanced": _share("kNN, mean over the classes"),
    "linear_top1": _share("linear probe top-1"),
    "logistic_top1": _share("logistic probe top-1"),
    "floor/pixels_knn_top1": _share("test kNN top-1 of raw pixels"),
    "cosine": Metric("mean cosine of two looks at an image"),
    "invariance": Metric("difference of two looks at an image", better="lower", own=True),
    "redundancy": Metric("squared correlations of different dimensions", better="lower", own=True),
    "variance": Metric("lack of spread in each dimension", better="lower", own=True),
    "covariance": Metric("squared covariances of different dimensions", better="lower", own=True),
    "regulariser": Metric("distance from a normal distribution", better="lower", own=True),
    "features/std": Metric("spread of the projections"),
    "features/effective_rank": Metric("effective rank of the projections"),
    "features/backbone_rank": Metric("effective rank of the backbone's features"),
    "features/alignment": Metric("alignment", better="lower"),
    "features/uniformity": Metric("uniformity", better="lower"),
    "features/retrieval": _share("retrieval of the other view"),
    "feature-map": Metric("map of the features"),
    "verdict": Metric("verdict"),
}
"""By the full name, or by what follows the split."""

BASELINES: Mapping[str, str] = {
    "_untrained": "the untrained encoder",
    "_pixels": "raw pixels",
    "_floor": "real images",
    "_last": "the last weights",
}
"""How the name of a metric's baseline ends, and what it is measured on; and that of the weights of the end beside the best."""


OF_MODEL = ("method", "prior")
"""Fields of a protocol that say whose number it is, and not how it was measured: two models, or two priors of one, are there to be compared."""

ELBO = re.compile(r"^ELBO, .* KL, ")


def estimated(value: Any) -> Any:
    """A field of a protocol, of an ELBO without how its divergence was computed: each way is unbiased for the same number.

    Example:
        >>> estimated("ELBO, Monte-Carlo KL, 1 sample"), estimated(200)
        ('ELBO, 1 sample', 200)
    """
    return ELBO.sub("ELBO, ", value) if isinstance(value, str) else value


def metric(name: str) -> Metric:
    """What is declared of a logged or measured name; one that nobody declared has its own name as title.

    Example:
        >>> metric("test/knn_top1").heading, metric("train/two_views").title
        ('kNN top-1, %', 'two views')
        >>> metric("test/frechet_floor").title
        'Fréchet distance of real images'
        >>> metric("samples/class_histogram.p").title
        'classes of the samples: p'
    """
    whole, dot, field = name.partition(".")
    if dot and field:
        # A number within a result that is a table has its own unit and direction.
        table, words = metric(whole), field.replace(".", ", ").replace("_", " ")
        return Metric(f"{table.title}: {words}", own=table.own)
    plain = _without_split(name)
    for key in (name, plain):
        if key in DECLARED:
            return DECLARED[key]
    for end, of in BASELINES.items():
        known = DECLARED.get(plain.removesuffix(end))
        if plain.endswith(end) and known is not None:
            return known._replace(title=f"{known.title} of {of}")
    return Metric(plain.replace("_", " "))


def label(name: str) -> str:
    """The title with the split.

    Example:
        >>> label("train/loss"), label("valid/elbo"), label("features/std")
        ('training loss', 'validation ELBO', 'spread of the projections')
    """
    split, title = name.partition("/")[0], metric(name).title
    return f"{SPLITS[split]} {title}" if split in SPLITS else title


def of_objective(name: str) -> bool:
    """Whether a logged name is a term of what its method minimises, or in units of it: of two objectives it is two quantities.

    Example:
        >>> of_objective("train/anything"), of_objective("valid/critic_gap"), of_objective("test/knn_top1")
        (True, True, False)
    """
    return name.startswith("train/") or metric(name).own


def _without_split(name: str) -> str:
    split, _, plain = name.partition("/")
    return plain if split in SPLITS and plain else name
