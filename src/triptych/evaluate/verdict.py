"""Whether a representation that was learned by comparing views is healthy, and if not, why.

Collapse is a shortcut: the objective is met and the features hold nothing. That
the features look narrow does not show it. On CIFAR-10 a thin network behind a fixed
random predictor varies in 2 of 512 directions, hardly more than one that collapsed
(1.4), but predictions and targets agree to a cosine of 0.3 and not of 0.97: it does not
learn, which Chen and He (2021, arXiv 2011.10566, section 4.2) tell apart from collapse.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from scipy.special import ndtri

from triptych.evaluate.collapse import TWICE, counts_from

__all__ = ["Evidence", "Gain", "Name", "Verdict", "evidence", "judge", "sure"]

Name = Literal["healthy", "complete collapse", "dimensional collapse", "not learning", "diverged"]

MET = 0.6
"""Mean cosine of predictions and targets from which narrow projections are a collapse; those of fixed
predictors reached 0.51, and in collapsed runs it was 0.63 and more once past their beginning."""

APART = 0.4
"""Mean cosine below which the objective is not met, whatever else was learned on the way."""

FLAT = 0.1
"""Spread of the projections below which they are all the same; untrained networks have 0.25 and more."""

NARROW = 2
"""Directions below which projections lie along a line; untrained networks have 5 and more, healthy ones 3."""

SHRUNK = 0.5
"""Share of the untrained network's directions below which one that learned nothing has lost its dimensions."""

FEW = 1000
"""Steps before which a network that has learned nothing has had too little time."""

LATE = 0.5
"""Share of the training from which on a network that has learned nothing will not."""

Z = float(ndtri(0.975))

LR = "a smaller learning rate is the first thing to try"
SHORT = (
    "agreement alone is met by saying nothing, so see that the gradient stops at the targets "
    "and that a predictor learns between the views, then try a smaller learning rate"
)
UNMET = "see that the predictor learns, that the learning rate is not far off, and train for longer"
EARLY = "so few steps teach little: train for longer"
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
    floor: float
    n: int
    better: int | None = None
    worse: int | None = None

    def interval(self) -> tuple[float, float]:
        """95 % interval of share − floor (Agresti and Min 2005, or Agresti and Caffo 2000 if not paired).

        Both are Wald's after a few imagined images, without which it is too short for few.

        Example:
            >>> low, high = Gain(0.6, 0.5, 100, better=20, worse=10).interval()
            >>> round(low, 3), round(high, 3)
            (-0.007, 0.203)
        """
        n = self.n + 2
        if self.better is not None and self.worse is not None:
            gained, lost = self.better + 0.5, self.worse + 0.5
            mean = (gained - lost) / n
            variance = ((gained + lost) / n - mean**2) / n
        else:
            p, q = ((share * self.n + 1) / n for share in (self.share, self.floor))
            mean, variance = p - q, (p * (1 - p) + q * (1 - q)) / n
        half = Z * math.sqrt(variance)
        return mean - half, mean + half


@dataclass(frozen=True)
class Evidence:
    """The numbers behind a verdict; those that are not known are none."""

    std: float
    """`representation.unit_std` of the projections."""
    rank: float
    """`representation.effective_rank` of the projections."""
    dimension: int
    """Their dimensions."""
    images: int
    """How many images both were measured on."""
    step: int
    """Steps trained."""
    agreement: float | None = None
    """Mean cosine of predictions and targets in training, −loss of SimSiam; without it narrow counts as collapsed."""
    floor_rank: float | None = None
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
    lines: Sequence[Mapping[str, Any]], dimensions: tuple[int, int], images: int, queries: int
) -> Evidence:
    """What a run's log says at its last look, with its first one, before any training, as the floor.

    Args:
        lines: of metrics.jsonl, in order; one or more with ``features/std``.
        dimensions: of the projections, and of the backbone's features.
        images: how many the features were measured on.
        queries: how many validation images ``valid/knn_top1`` is a share of.
    """
    looks = [line for line in lines if "features/std" in line]
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    first, last = looks[0], looks[-1]

    def gain(name: str, n: int) -> Gain | None:
        return Gain(last[name], first[name], n) if name in last and name in first else None

    return Evidence(
        std=last["features/std"],
        rank=last["features/effective_rank"],
        dimension=dimensions[0],
        images=images,
        step=last["step"],
        agreement=-losses[-1] if losses else None,
        floor_rank=first["features/effective_rank"],
        backbone_rank=last["features/backbone_rank"],
        backbone_dimension=dimensions[1],
        knn=gain("valid/knn_top1", queries),
        retrieval=gain("features/retrieval", images),
        finite=all(map(math.isfinite, losses)),
    )


class Verdict(NamedTuple):
    """What became of a representation, and one sentence that says by what numbers and why."""

    name: Name
    sentence: str


def judge(e: Evidence) -> Verdict:
    """Diverged, collapsed (and how), not learning, or healthy: the first that the evidence shows.

    Example:
        >>> judge(Evidence(std=0.99, rank=1.02, dimension=512, images=2000, step=5000)).name
        'dimensional collapse'
    """
    if not (e.finite and math.isfinite(e.std) and math.isfinite(e.rank)):
        return _said("diverged", e, "the loss or the features are no finite numbers any more", LR)
    gain = e.knn if e.knn is not None else e.retrieval
    idle = gain is not None and gain.interval()[0] <= 0
    met = e.agreement is None or e.agreement >= MET
    narrow = e.rank < NARROW or (idle and _shrunk(e))
    if e.rank < 1 or (met and e.std < FLAT):
        return _said("complete collapse", e, "every image has nearly the same projection", SHORT)
    if met and narrow:
        return _said("dimensional collapse", e, "the projections keep only few directions", SHORT)
    if narrow or e.std < FLAT or (e.agreement is not None and e.agreement < APART):
        what = "no collapse, as predictions do not meet their targets"
        if gain is not None and not idle:
            what += ", though the features are better than untrained ones"
        return _said("not learning", e, what, UNMET)
    if idle:
        cause = EARLY if e.step < FEW else WEAK
        return _said("not learning", e, "no collapse, but no better than untrained", cause)
    return _said("healthy", e, "spread out", "")


def _shrunk(e: Evidence) -> bool:
    """Whether a network that learned nothing has fewer directions than before."""
    if e.backbone_rank is not None and e.backbone_rank < NARROW:
        return True
    return e.floor_rank is not None and e.rank < SHRUNK * e.floor_rank


def _said(name: Name, e: Evidence, what: str, cause: str) -> Verdict:
    """The verdict with its numbers in words."""
    if name == "diverged":
        return Verdict(name, f"Diverged by step {e.step:,}: {what}; {cause}.")
    numbers = [
        f"spread {e.std:.2g} where an even one has 1",
        f"{e.rank:.3g} of {e.dimension} directions{_before(e.floor_rank)}",
    ]
    if e.backbone_rank is not None and e.backbone_dimension is not None:
        numbers.append(f"{e.backbone_rank:.3g} of {e.backbone_dimension} in the backbone")
    if e.agreement is not None:
        numbers.append(f"predictions and targets agree to a cosine of {e.agreement:.2f}")
    if e.knn is not None:
        numbers.append("kNN " + _compared(e.knn))
    elif e.retrieval is not None:
        numbers.append("the same image found again in another view for " + _compared(e.retrieval))
    sentence = f"{name.capitalize()}: {what} ({'; '.join(numbers)}; {e.images:,} images)"
    return Verdict(name, sentence + (f"; {cause}." if cause else "."))


def _before(floor_rank: float | None) -> str:
    return "" if floor_rank is None else f", untrained {floor_rank:.3g}"


def _compared(gain: Gain) -> str:
    low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in gain.interval())
    return (
        f"{100 * gain.share:.1f} % against {100 * gain.floor:.1f} % untrained, "
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
