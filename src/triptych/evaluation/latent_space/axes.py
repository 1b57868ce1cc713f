"""Are the coordinate axes of latent space special? Each held against random directions, in numbers and in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from triptych.evaluation.latent_space.shifts import ATTRIBUTES, Start, Survey, Values
from triptych.evaluation.statistics import holm

__all__ = [
    "COLLAPSED",
    "CONVERGED",
    "RANDOM",
    "Comparison",
    "Flags",
    "axes_sentence",
    "compare",
    "comparisons",
    "converged",
    "converged_sentence",
    "fisher",
    "least_share",
    "movement_sentence",
]

Flags = npt.NDArray[np.bool_]

RANDOM = 200
"""Random directions that the axes are held against."""

CONVERGED = 0.9
"""Share of samples in one class above which they have converged to it."""
COLLAPSED = 0.1
"""Share of the diversity left below which they have, where nobody can tell classes."""
ALPHA = 0.05

ROUNDING = 1e-6
"""Shares are computed in float32."""


class Comparison(NamedTuple):
    """One measure of the axes against the same of random directions.

    ``z`` is each axis in standard deviations of the random directions; ``p``, Holm-corrected
    over axes, belongs to one axis so far out; ``together`` to all of them being so far
    out; ``overall`` is the smaller of both kinds, doubled. ``outside`` counts the axes beyond
    the random directions' central 95 %.
    """

    z: Values
    p: Values
    together: float
    overall: float
    outside: int

    @property
    def special(self) -> list[int]:
        """Axes beyond chance, the farthest out first: none in a measure that as a whole is not."""
        order = np.argsort(-np.abs(self.z), kind="stable")
        return [int(i) for i in order if max(self.p[i], self.overall) < ALPHA]


def compare(axes: Values, random: Values) -> Comparison:
    """Do axes lie farther out than random directions: each one by their tail, all together by ranks?

    Together: the one-sided test of Mann and Whitney on distances from the median
    of all. Axes that are more alike than random directions, as at initialisation,
    are not special.

    Args:
        axes: one value an axis.
        random: values of 20 or more independent random unit directions.
    """
    # Here and not above: it would be a good part of the time that every training and every rank takes to begin.
    from scipy.stats import mannwhitneyu

    spread = float(random.std(ddof=1))
    z = (axes - random.mean()) / spread if spread > 0 else np.zeros_like(axes)
    raw = 2 * np.minimum(_tail(axes, random), _tail(-axes, -random))
    p = np.array(holm(np.minimum(raw, 1).tolist()))
    middle = np.median(np.concatenate([axes, random]))
    far = [np.abs(side - middle) for side in (axes, random)]
    together = float(mannwhitneyu(*far, alternative="greater").pvalue)
    low, high = np.quantile(random, [0.025, 0.975])
    outside = int(((axes < low) | (axes > high)).sum())
    return Comparison(z, p, together, min(1.0, 2 * min(together, float(p.min()))), outside)


def _tail(values: Values, random: Values) -> Values:
    """P(one more random direction ≥ value): by rank, and by an exponential tail in the highest tenth.

    With m random directions no rank is rarer than 1/(m + 1), too common to single
    out one axis of a hundred. With b the mean excess of the k highest over the next, u,

        P(X ≥ u + t) = (k + 1)/(m + 1) · (1 + t/(k b))^−k

    is exact where the tail is exponential (excesses over an order statistic are then
    independent of it, Rényi 1953) and too large where it is lighter, as a normal one is. Where it is
    heavier (lognormal, say) p is too small, and single axes are called too often.
    """
    m, k = len(random), len(random) // 10
    u, *highest = np.sort(random)[-k - 1 :]
    mean = max(float(np.mean(highest) - u), np.finfo(float).tiny)
    rank = (1 + (random >= values[:, None]).sum(1)) / (m + 1)
    excess = np.maximum(values - u, 0) / (k * mean)
    return np.asarray(np.where(values > u, (k + 1) / (m + 1) * (1 + excess) ** -k, rank))


def comparisons(axes: Survey, random: Survey) -> dict[str, Comparison]:
    """Movement at every ε and the change of every attribute; ``overall`` is Holm-corrected over them."""
    tested = [k for k in axes if k.split("@")[0] in ("movement", *ATTRIBUTES)]
    found = {k: compare(axes[k], random[k]) for k in tested}
    corrected = holm([c.overall for c in found.values()])
    return {k: c._replace(overall=p) for (k, c), p in zip(found.items(), corrected, strict=True)}


def axes_sentence(found: Mapping[str, Comparison], random: int = RANDOM) -> str:
    """Which axes are special in which of the `comparisons`, and on which side of random directions, in words.

    Example:
        >>> even = Comparison(np.zeros(3), np.ones(3), 0.5, 1.0, 0)
        >>> axes_sentence({"brightness": even})
        'The latent coordinates are not shown to be special: in none of 1 measures do the 3 of them, one by one or together, differ from 200 random directions by more than chance (smallest corrected p = 1).'
        >>> one = Comparison(np.array([0.1, -12.0, 0.2]), np.array([1, 1e-6, 1]), 0.5, 1e-6, 1)
        >>> axes_sentence({"brightness": one})
        '1 of 3 latent coordinates is special: it differs from 200 random directions by more than chance in 1 of 1 measures. Against those, the change of brightness is lower along coordinate 1 (corrected p < 0.001).'
    """
    smallest = min(c.overall for c in found.values())
    count = len(next(iter(found.values())).z)
    if smallest >= ALPHA:
        return (
            f"The latent coordinates are not shown to be special: in none of {len(found)} measures do the {count} of "
            f"them, one by one or together, differ from {random} random directions by more than chance "
            f"(smallest corrected p = {smallest:.2g})."
        )
    beyond = {name: c for name, c in found.items() if c.overall < ALPHA}
    said = [f"{_found(name, c)} (corrected p {_p(c.overall)})" for name, c in beyond.items()]
    return (
        f"{_subject({i for c in beyond.values() for i in c.special}, count)} from {random} random directions by more "
        f"than chance in {len(beyond)} of {len(found)} measures. Against those, {'; '.join(said)}."
    )


def _subject(special: Collection[int], count: int) -> str:
    """How many axes differ, each by itself; or that only all of them do."""
    if not special:
        return (
            f"The {count} latent coordinates are special together, and none by itself: they differ"
        )
    alone = len(special) == 1
    differs = "is special: it differs" if alone else "are special: they differ"
    return f"{len(special)} of {count} latent coordinates {differs}"


def _found(name: str, found: Comparison) -> str:
    """Along which axes a measure is higher and along which it is lower: the test is of both sides."""
    what, axes = _spelled(name), found.special
    if not axes:
        return (
            f"{what} is farther from the usual along the coordinates together, along no single one"
        )
    sides = {
        side: [i for i in axes if (found.z[i] > 0) == (side == "higher")]
        for side in ("higher", "lower")
    }
    told = [f"{side} along {_named(there)}" for side, there in sides.items() if there]
    return f"{what} is {' and '.join(told)}"


def _named(axes: list[int], most: int = 5) -> str:
    more = f" and {len(axes) - most} more" if len(axes) > most else ""
    return f"coordinate{'s' * (len(axes) > 1)} {', '.join(map(str, axes[:most]))}{more}"


def _spelled(measure: str) -> str:
    name, _, shift = measure.partition("@")
    return f"the {name} of the image at ε = {shift}" if shift else f"the change of {name}"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def movement_sentence(found: Comparison) -> str:
    """How many axes move the image more than chance at ε = 10, in words."""
    more, count = sum(bool(found.z[i] > 0) for i in found.special), len(found.z)
    return (
        f"{more} of {count} coordinates move the image more than chance at ε = 10 "
        f"(Holm-corrected; {found.outside} lie outside the central 95 % of random directions, "
        f"{0.05 * count:.0f} would by chance)."
    )


def converged(found: Survey, shift: float, start: Start) -> Flags:
    """Along which directions the samples have become one: one class, or without classes hardly any diversity.

    One class is more than there was at ε = 0, beyond chance: samples that were all of one class converge nowhere.
    """
    if f"share@{shift:g}" not in found:
        return np.asarray(found[f"diversity@{shift:g}"] < COLLAPSED)
    least, share = least_share(start), found[f"share@{shift:g}"]
    if least is None:
        return np.zeros(len(share), dtype=bool)
    return np.asarray((share > CONVERGED) & (share >= least - ROUNDING))


def least_share(start: Start) -> float | None:
    """The smallest share of samples in one class that beats that at ε = 0 by more than chance; none where not even all do.

    One-sided test of Fisher's at 5 %, on as many samples each.

    Example:
        >>> [least_share(Start(40, 1.0, 3, share)) for share in (0.2, 0.75, 0.95)]
        [0.4, 0.925, None]
    """
    from scipy.stats import fisher_exact

    n, before = start.n, round((start.share or 0.0) * start.n)
    for after in range(before, n + 1):
        table = [[after, n - after], [before, n - before]]
        if fisher_exact(table, alternative="greater").pvalue < ALPHA:
            return after / n
    return None


def fisher(axes: Flags, random: Flags) -> float:
    """Two-sided p of Fisher's exact test that as large a share of the axes has it as of random directions."""
    from scipy.stats import fisher_exact

    table = [[int(side.sum()), int((~side).sum())] for side in (axes, random)]
    return float(fisher_exact(table).pvalue)


def converged_sentence(axes: Flags, random: Flags, what: str, start: Start) -> str:
    """Is it the axes at which samples converge, or any direction?

    Args:
        axes: for each axis whether the samples converge along it, at ε = 100.
        random: the same for random directions.
        what: what converging is, in words.
        start: the samples at ε = 0; where they are of one class already, nothing follows.
    """
    if start.share is not None and least_share(start) is None:
        return (
            f"Nothing follows from where the samples end: at ε = 0 already {start.share:.0%} of "
            f"{start.n} are in one class."
        )
    a, b, p = axes.mean(), random.mean(), fisher(axes, random)
    seen = (
        f"At ε = 100 the samples converge ({what}) along {axes.sum()} of {len(axes)} coordinates "
        f"and along {random.sum()} of {len(random)} random directions (Fisher's p {_p(p)}): "
    )
    if p < ALPHA:
        return (
            seen + f"coordinates do so {'more' if a > b else 'less'} often than random directions."
        )
    if max(a, b) < 0.1:
        return seen + "hardly any direction does that; that coordinates differ is not shown."
    both = np.concatenate([axes, random]).mean()
    return (
        seen + "whether coordinates differ from random directions is undecided; "
        f"{both:.0%} of all directions do it."
    )
