"""Whether a representation that was learned by comparing views is healthy, and if not, why.

Collapse is a shortcut: the objective is met and the features hold nothing. That
the features look narrow does not show it. On CIFAR-10 a thin network behind a fixed
random predictor varies in 2 of 512 directions, hardly more than one that collapsed
(1.4), but predictions and targets agree to a cosine of 0.3 and not of 0.97: it does not
learn, which Chen and He (2021, arXiv 2011.10566, section 4.2) tell apart from collapse.

How far two looks at an image agree is known only of a method that declares which of its
logged terms says so (`Method.cosine`); of any other, spread, rank and what the features are
good for decide alone. Where agreement is only a part of what is optimised (`Method.only_agrees`
is false) it is no failure that it is low; that it is high still tells a collapse from features that are
narrow for another reason.

Every threshold is a `Band`: between its ends a number says neither yes nor no, and a verdict
that hangs on it is *undecided*. So no verdict turns into its opposite by a hair.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from scipy.special import ndtri

from triptych.evaluation.looks import TWICE, counts_from

__all__ = ["Band", "Evidence", "Gain", "Name", "Verdict", "evidence", "judge", "sure"]

Name = Literal[
    "healthy", "complete collapse", "dimensional collapse", "not learning", "undecided", "diverged"
]

Truth = Literal["yes", "no", "undecided", "unknown"]


class Band(NamedTuple):
    """A threshold with a margin: whoever lies between its ends is on neither side."""

    low: float
    high: float

    def below(self, value: float) -> Truth:
        """Whether a number lies below the band.

        Example:
            >>> [Band(2.0, 2.5).below(rank) for rank in (1.9, 2.2, 2.6)]
            ['yes', 'undecided', 'no']
        """
        return "yes" if value < self.low else "no" if value >= self.high else "undecided"

    def above(self, value: float) -> Truth:
        """Whether it lies above the band."""
        turned: dict[Truth, Truth] = {"yes": "no", "no": "yes"}
        below = self.below(value)
        return turned.get(below, below)


MET = Band(0.52, 0.6)
"""Mean cosine of predictions and targets from which narrow projections are a collapse; those of fixed
predictors reached 0.51, and in collapsed runs it was 0.63 and more once past their beginning."""

APART = Band(0.35, 0.45)
"""Mean cosine below which the objective is not met, whatever else was learned on the way. In the tuning runs fixed
predictors ended at 0.28 to 0.42, and default arms at 0.53 and more."""

FLAT = Band(0.1, 0.13)
"""Spread of the projections below which they are all the same; untrained networks have 0.15 and more."""

SETTLED = 100
"""Steps before which spread is not asked: batch norms have not yet the statistics of their layers, and where lengths count a
network that then was healthy had a spread of 0.006 at first, of 0.06 after ten steps and of 0.18 after twenty."""

NARROW = Band(2.0, 2.5)
"""Directions below which projections lie along a line; untrained networks have 5 and more, healthy ones 3."""

SHRUNK = Band(0.45, 0.55)
"""Share of the untrained network's directions below which one that learned nothing has lost its dimensions."""

WORTH = 0.08
"""A gain over the untrained network that is smaller than that of any tuning run that learned (8.5 points)."""

SURE = 3.0
"""Standard errors from which a gain is one; at two, one look in forty would have one by chance."""

FEW = 1000
"""Steps before which a network that has learned nothing has had too little time."""

LATE = 0.5
"""Share of the training from which on a network that has learned nothing will not."""

Z = float(ndtri(0.975))

LR = "a smaller learning rate is the first thing to try"
SHORT = (
    "agreement alone is met by saying nothing, so see {guarded}, then try a smaller learning rate"
)
"""Of a collapse: what keeps images apart, as the method says of itself (`Method.guard`)."""
UNSAID = "what in the objective keeps images apart"
"""Of a method of which nobody knows how it avoids a collapse."""
UNMET = "see that the predictor learns, that the learning rate is not far off, and train for longer"
EARLY = "so few steps teach little: train for longer"
AGAIN = "train for longer, or look at more images"
WEAK = (
    "the views may agree by what is not content (colour, position), which stronger augmentation "
    "takes away, or the learning rate may be too small"
)


class Gain(NamedTuple):
    """Share of n images that come out right, and the same by the untrained network.

    ``better`` and ``worse`` count the images that only the one and only the other
    has right; with both the comparison is paired, and sharper.
    """

    share: float
    baseline: float
    n: int
    better: int | None = None
    worse: int | None = None

    def interval(self) -> tuple[float, float]:
        """95 % interval of share − baseline (Agresti and Min 2005, or Agresti and Caffo 2000 if not paired).

        Both are Wald's after a few imagined images, without which it is too short for few.

        Example:
            >>> low, high = Gain(0.6, 0.5, 100, better=20, worse=10).interval()
            >>> round(low, 3), round(high, 3)
            (-0.007, 0.203)
        """
        mean, error = self._estimated()
        return mean - Z * error, mean + Z * error

    def gained(self) -> Truth:
        """Whether the trained network is better: by `SURE` errors, or by less than `WORTH`, or undecided.

        Example:
            >>> [Gain(share, 0.3, 1000).gained() for share in (0.4, 0.31)], Gain(0.5, 0.3, 20).gained()
            (['yes', 'no'], 'undecided')
        """
        mean, error = self._estimated()
        low, high = self.interval()
        if mean > SURE * error:
            return "yes"
        return "no" if low <= 0 and high < WORTH else "undecided"

    def _estimated(self) -> tuple[float, float]:
        """The difference and its standard error, with the imagined images."""
        n = self.n + 2
        if self.better is not None and self.worse is not None:
            gained, lost = self.better + 0.5, self.worse + 0.5
            mean = (gained - lost) / n
            variance = ((gained + lost) / n - mean**2) / n
        else:
            p, q = ((share * self.n + 1) / n for share in (self.share, self.baseline))
            mean, variance = p - q, (p * (1 - p) + q * (1 - q)) / n
        return mean, math.sqrt(variance)


@dataclass(frozen=True)
class Evidence:
    """The numbers behind a verdict; those that are not known are none."""

    std: float
    """`representation.unit_std` of the projections, or `representation.mean_std` where their lengths count."""
    rank: float
    """`representation.effective_rank` of the projections."""
    dimension: int
    """Their dimensions."""
    images: int
    """How many images both were measured on."""
    step: int
    """Steps trained."""
    cosine: float | None = None
    """Mean cosine of predictions and targets in training, of a method that declares it."""
    only_agrees: bool = True
    """Whether that is all that is optimised."""
    guard: str = ""
    """What keeps the looks at all images from becoming one, in words; empty where nobody says."""
    untrained_rank: float | None = None
    """``rank`` of the untrained network."""
    backbone_rank: float | None = None
    """`representation.effective_rank` of the backbone's features."""
    backbone_dimension: int | None = None
    """Their dimensions."""
    knn: Gain | None = None
    """Images whose class their neighbours know; none without labels."""
    retrieval: Gain | None = None
    """`representation.retrieval`, which is asked where there are no labels."""
    finite: bool = True
    """Whether every loss was."""


def evidence(
    lines: Sequence[Mapping[str, Any]],
    dimensions: tuple[int, int],
    images: int,
    queries: int,
    cosine: str | None = None,
    *,
    only_agrees: bool = True,
    guard: str = "",
) -> Evidence:
    """What a run's log says at its last look, with its first one, before any training, as the baseline.

    Args:
        lines: of metrics.jsonl, in order; one or more with ``features/std``.
        dimensions: of the projections, and of the backbone's features.
        images: how many the features were measured on.
        queries: how many validation images ``valid/knn_top1`` is a share of.
        cosine: the logged term that is the mean cosine of predictions and targets, as `Method.cosine` declares it.
        only_agrees: whether it is all that is optimised, as `Method.only_agrees` says.
        guard: what keeps the method from collapsing, as `Method.guard` says.
    """
    looks = [line for line in lines if "features/std" in line]
    losses = [v for line in lines for k, v in line.items() if k.startswith("train/")]
    first, last = looks[0], looks[-1]

    def gain(name: str, n: int) -> Gain | None:
        return Gain(last[name], first[name], n) if name in last and name in first else None

    return Evidence(
        std=last["features/std"],
        rank=last["features/effective_rank"],
        dimension=dimensions[0],
        images=images,
        step=last["step"],
        cosine=_logged_cosine(lines, cosine),
        only_agrees=only_agrees,
        guard=guard,
        untrained_rank=first["features/effective_rank"],
        backbone_rank=last["features/backbone_rank"],
        backbone_dimension=dimensions[1],
        knn=gain("valid/knn_top1", queries),
        retrieval=gain("features/retrieval", images),
        finite=all(math.isfinite(loss) for loss in losses if isinstance(loss, (int, float))),
    )


def _logged_cosine(lines: Sequence[Mapping[str, Any]], cosine: str | None) -> float | None:
    """The declared cosine where it was last logged; none where no term is declared."""
    if cosine is None:
        return None
    name = f"train/{cosine.removeprefix('-')}"
    logged = [float(line[name]) for line in lines if name in line]
    if not logged:
        return None
    return -logged[-1] if cosine.startswith("-") else logged[-1]


class Verdict(NamedTuple):
    """What became of a representation, and one sentence that says by what numbers and why."""

    name: Name
    sentence: str


def judge(e: Evidence) -> Verdict:
    """Diverged, collapsed (and how), not learning, undecided or healthy: the first that the evidence shows.

    A collapse is spread or rank with the cosine, where that is known. Where it is not, or is low in a method that optimises
    more than it, projections along few directions are one only if the features are no better than untrained ones.

    Example:
        >>> judge(Evidence(std=0.99, rank=1.02, dimension=512, images=2000, step=5000)).name
        'dimensional collapse'
    """
    if not (e.finite and math.isfinite(e.std) and math.isfinite(e.rank)):
        return _said("diverged", e, "the loss or the features are no finite numbers any more", LR)
    gain = e.knn if e.knn is not None else e.retrieval
    gained: Truth = "unknown" if gain is None else gain.gained()
    met: Truth = "unknown" if e.cosine is None else MET.above(e.cosine)
    apart: Truth = "unknown" if e.cosine is None or not e.only_agrees else APART.below(e.cosine)
    if not e.only_agrees and met != "yes":
        met = "unknown"
    flat: Truth = FLAT.below(e.std) if e.step >= SETTLED else "no"
    narrow = NARROW.below(e.rank)
    few = _any(flat, narrow, _shrunk(e, met) if gained == "no" else "no")
    short = SHORT.format(guarded=f"that {e.guard}" if e.guard else UNSAID)
    collapse = met == "yes" or (met == "unknown" and gained in ("no", "unknown"))
    if e.rank < 1 or (collapse and flat == "yes"):
        return _said("complete collapse", e, "every image has nearly the same projection", short)
    if collapse and few == "yes":
        return _said("dimensional collapse", e, "the projections keep only few directions", short)
    if apart == "yes" or (met == "no" and few == "yes"):
        what = "no collapse, as predictions do not meet their targets"
        if gained == "yes":
            what += ", though the features are better than untrained ones"
        cause = EARLY if few == "no" and e.step < FEW else UNMET
        return _said("not learning", e, what, cause)
    if few != "no" and (met != "no" or gained != "no"):
        unmet = "and the method does not say how far predictions and targets agree"
        if e.cosine is not None:
            unmet = "and two looks at an image do not agree closely"
        return _said("undecided", e, _why(few, met, gained, unmet), AGAIN)
    if gained == "no":
        cause = EARLY if e.step < FEW else WEAK
        return _said("not learning", e, "no collapse, but no better than untrained", cause)
    if apart == "undecided":
        what = "no collapse, but predictions are only on the way to their targets"
        return _said("undecided", e, what, AGAIN)
    if gained == "undecided":
        what = "no collapse, but whether it is better than untrained these images do not tell"
        return _said("undecided", e, what, AGAIN)
    return _said("healthy", e, "the projections are spread out", "")


def _any(*facts: Truth) -> Truth:
    """Whether one of several facts holds."""
    return "yes" if "yes" in facts else "undecided" if "undecided" in facts else "no"


def _shrunk(e: Evidence, met: Truth) -> Truth:
    """Whether a network that learned nothing has fewer directions than before; by its rank only if the cosine is known."""
    narrow = NARROW.below(e.backbone_rank) if e.backbone_rank is not None else "no"
    if e.untrained_rank is None or met == "unknown":
        return narrow
    return _any(narrow, SHRUNK.below(e.rank / e.untrained_rank) if e.untrained_rank > 0 else "no")


def _why(few: Truth, met: Truth, gained: Truth, unmet: str) -> str:
    """What keeps projections along few directions from being called a collapse."""
    if few == "undecided":
        return "projections that are near to having too little spread or too few directions"
    if met == "undecided":
        return "too little spread or too few directions, but predictions are only on the way to their targets"
    better = "are" if gained == "yes" else "may be"
    return (
        f"too little spread or too few directions, but the features {better} better than untrained ones, "
        f"{unmet}"
    )


def _said(name: Name, e: Evidence, what: str, cause: str) -> Verdict:
    """The verdict with its numbers in words."""
    if name == "diverged":
        return Verdict(name, f"Diverged by step {e.step:,}: {what}; {cause}.")
    numbers = [
        f"spread {e.std:.2g}, where an even one has 1",
        f"{_figures(e.rank)} of {e.dimension} directions{_before(e.untrained_rank)}",
    ]
    if e.backbone_rank is not None and e.backbone_dimension is not None:
        numbers.append(f"{_figures(e.backbone_rank)} of {e.backbone_dimension} in the backbone")
    if e.cosine is not None:
        who = "predictions meet their targets" if e.only_agrees else "two looks at an image agree"
        numbers.append(f"{who} with a cosine of {_signed(e.cosine)}")
    if e.knn is not None:
        numbers.append("the nearest neighbours are right for " + _compared(e.knn))
    elif e.retrieval is not None:
        numbers.append("the same image found again in another view for " + _compared(e.retrieval))
    sentence = (
        f"{name.capitalize()}: {what} ({'; '.join(numbers)}; {e.images:,} images, step {e.step:,})"
    )
    return Verdict(name, sentence + (f"; {cause}." if cause else "."))


def _signed(value: float) -> str:
    """Two digits with a true minus, and no minus before nought."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _figures(rank: float) -> str:
    """Three figures, and all before the point: 2,048 is no 2.05e+03."""
    return f"{rank:.3g}" if rank < 1000 else f"{rank:,.0f}"


def _before(untrained_rank: float | None) -> str:
    return "" if untrained_rank is None else f", {_figures(untrained_rank)} before the training"


def _compared(gain: Gain) -> str:
    low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in gain.interval())
    return (
        f"{100 * gain.share:.1f} % against {100 * gain.baseline:.1f} % before the training, "
        f"{low} to {high} points at 95 % confidence"
    )


def sure(looks: Sequence[tuple[int, Name]], total: int) -> int | None:
    """The step from which on training has failed for sure at the end of ``looks``, or none.

    Divergence is sure at once. A collapse, of either kind, is after two looks in a
    row past the first fifth (200 to 2,000 steps), in which networks look odd;
    that nothing is learned, after two looks in the second half and past 1,000 steps.

    Args:
        looks: step and name of the verdict there, in order.
        total: steps of the whole training.

    Example:
        >>> sure([(500, "healthy"), (1500, "not learning"), (2000, "not learning")], total=3000)
        1500
        >>> sure([(1500, "not learning"), (2000, "healthy")], total=3000) is None
        True
    """
    if not looks:
        return None
    last = _kind(looks[-1][1])
    if last == "diverged":
        return looks[-1][0]
    begin = {"collapse": counts_from(total), "not learning": max(LATE * total, FEW)}.get(
        last, math.inf
    )
    found: list[int] = []
    for step, name in reversed(looks):
        if _kind(name) != last or step < begin:
            break
        found.append(step)
    return found[-1] if len(found) >= TWICE else None


def _kind(name: Name) -> str:
    """Both kinds of collapse are one failure: a network may pass from one to the other."""
    return "collapse" if name.endswith("collapse") else name
