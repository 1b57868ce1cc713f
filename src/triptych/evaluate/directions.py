"""What a shift along one latent coordinate does, held against shifts along random directions.

That a coordinate does something is no news: every direction does. So each
measure of every coordinate axis stands beside the same measure of random unit
directions, from the same latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluate.latent import prior_latents
from triptych.evaluate.paired import holm
from triptych.evaluate.subject import BLOCK, Subject, as_levels, generator
from triptych.progress import Progress, silent
from triptych.runs import Result
from triptych.types import Samples

__all__ = [
    "SHIFTS",
    "Comparison",
    "attributes",
    "axes_sentence",
    "compare",
    "comparisons",
    "converged",
    "converged_sentence",
    "directions",
    "hue_change",
    "survey",
]

Network = Callable[[Tensor], Tensor]
Values = npt.NDArray[Any]
Survey = Mapping[str, Values]
"""A measure's name, ``movement@10`` for one at ε = 10, → its value for each direction."""

SHIFTS = (1.0, 10.0, 20.0, 50.0, 100.0)
"""ε of the reference report, in standard deviations of the prior. Attributes are compared at the first."""

RANKED = "movement@10"
"""What coordinates are ranked by: the image moves a good deal, and is still one of many."""

LATENTS = 40
RANDOM = 200
CONVERGED = 0.9
"""Share of samples in one class above which they have converged to it."""
COLLAPSED = 0.1
"""Share of the diversity left below which they have, where nobody can tell classes."""
ALPHA = 0.05
COLUMNS = 10
"""Latents in a grid."""

ATTRIBUTES = ("brightness", "contrast", "stroke", "hue")
LUMA = (0.299, 0.587, 0.114)


def attributes(images: Tensor) -> dict[str, Tensor]:
    """Brightness, contrast and stroke of images N×C×H×W in [0, 1], from their luma (ITU-R BT.601).

    Brightness is its mean and contrast its standard deviation over pixels, both
    in [0, 1]. Stroke is Σ|luma − mean| / Σ‖∇luma‖ in pixels: w·(1 − p) for sharp
    straight strokes w pixels wide that cover a share p, whatever their contrast
    and whether they are light or dark; 0 for an image of one level.
    """
    luma = images.mean(1)
    if images.shape[1] == 3:
        luma = (images * images.new_tensor(LUMA)[:, None, None]).sum(1)
    down = F.pad(luma.diff(dim=1), (0, 0, 0, 1))
    across = F.pad(luma.diff(dim=2), (0, 1))
    brightness = luma.mean((1, 2))
    ink = (luma - brightness[:, None, None]).abs().sum((1, 2))
    return {
        "brightness": brightness,
        "contrast": luma.std((1, 2), correction=0),
        "stroke": ink / torch.hypot(down, across).sum((1, 2)).clamp(min=1e-6),
    }


def _chroma(images: Tensor) -> Tensor:
    """Σ over pixels of chroma · exp(i·hue), complex, for images …×3×H×W (Hanbury 2008, hexagonal projection)."""
    red, green, blue = images.sum((-2, -1)).unbind(-1)
    return torch.complex(red - (green + blue) / 2, (green - blue) * math.sqrt(3) / 2)


def hue_change(before: Tensor, after: Tensor) -> Tensor:
    """Turn of the mean hue, arg Σₙ v′ₙ v̄ₙ with v = Σ over pixels of chroma · exp(i·hue), in degrees.

    A circular mean over all pixels of N images …×N×3×H×W, each weighted by its
    chroma: grey has no hue and no say. In (−180, 180]; red → green is +120.
    """
    turn = (_chroma(after) * _chroma(before).conj()).sum(-1)
    return torch.rad2deg(turn.angle())


def survey(
    sample: Network,
    z: Tensor,
    directions: Tensor,
    shifts: Sequence[float] = SHIFTS,
    classify: Network | None = None,
    progress: Progress = silent,
) -> dict[str, Values]:
    """What x = sample(z + ε u) is, against sample(z), for every direction u and shift ε.

    Args:
        sample: N×latent → N×C×H×W in [0, 1], in ``eval()``: statistics of a batch would
            partly cancel the shift that its rows share.
        z: N×latent, the same for all directions.
        directions: D×latent, of unit length.
        shifts: ε, ascending; attributes are taken at the first, classes at all others.
        classify: N×C×H×W → N×K logits, if anybody can tell.
        progress: told of directions done.

    Returns:
        D values of each: ``movement@ε``, the RMS change of a pixel, mean over latents;
        ``diversity@ε``, the RMS distance between two shifted samples in units of that at ε = 0;
        ``class@ε``, the class predicted most often, ``share@ε`` of the samples in it, and
        ``confidence@ε``, its mean probability over all samples; the mean signed change of
        every attribute (hue of colour images only).
    """
    found: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        start = sample(z)
        steps = z.new_tensor(shifts)[:, None, None]
        for u in torch.split(directions, max(1, BLOCK // (len(shifts) * len(z)))):
            moved = z + steps * u[:, None, None]
            images = sample(moved.flatten(0, 2))
            images = images.view(*moved.shape[:3], *images.shape[1:])
            found.append(_movements(start, images, shifts) | _changes(start, images[:, 0]))
            if classify is not None:
                found[-1] |= _classes(classify, images[:, 1:], shifts[1:])
            progress(
                "latent directions",
                sum(len(f[f"movement@{shifts[0]:g}"]) for f in found),
                len(directions),
            )
    return {name: torch.cat([f[name] for f in found]).cpu().double().numpy() for name in found[0]}


def _movements(start: Tensor, images: Tensor, shifts: Sequence[float]) -> dict[str, Tensor]:
    """Movement and diversity of images D×ε×N×C×H×W."""
    movement = (images - start).square().mean((3, 4, 5)).sqrt().mean(2)
    # The mean square distance of two is twice the variance: N terms in place of N².
    whole = start.var(0).sum().sqrt().clamp(min=1e-12)
    diversity = images.var(2).sum((2, 3, 4)).sqrt() / whole
    return {
        f"{name}@{shift:g}": values[:, i]
        for name, values in (("movement", movement), ("diversity", diversity))
        for i, shift in enumerate(shifts)
    }


def _changes(start: Tensor, images: Tensor) -> dict[str, Tensor]:
    """Mean change of every attribute of images D×N×C×H×W."""
    before = attributes(start)
    after = attributes(images.flatten(0, 1))
    found = {k: (v.view(images.shape[:2]) - before[k]).mean(1) for k, v in after.items()}
    return found | ({"hue": hue_change(start, images)} if start.shape[1] == 3 else {})


def _classes(classify: Network, images: Tensor, shifts: Sequence[float]) -> dict[str, Tensor]:
    """Where the samples D×ε×N×C×H×W go, and how surely."""
    probability = classify(images.flatten(0, 2)).softmax(-1)
    probability = probability.view(*images.shape[:3], -1)
    predicted = F.one_hot(probability.argmax(-1), probability.shape[-1]).to(probability)
    share, winner = predicted.mean(2).max(-1)
    confidence = probability.mean(2).gather(-1, winner[..., None])[..., 0]
    return {
        f"{name}@{shift:g}": values[:, i]
        for name, values in (("class", winner), ("share", share), ("confidence", confidence))
        for i, shift in enumerate(shifts)
    }


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

    Together: the one-sided test of Mann and Whitney on distances from the random
    median. Axes that are more alike than random directions, as at initialisation,
    are not special.

    Args:
        axes: one value an axis.
        random: values of 20 or more independent random unit directions.
    """
    spread = float(random.std(ddof=1))
    z = (axes - random.mean()) / spread if spread > 0 else np.zeros_like(axes)
    raw = 2 * np.minimum(_tail(axes, random), _tail(-axes, -random))
    p = np.array(holm(np.minimum(raw, 1).tolist()))
    far = [np.abs(side - np.median(random)) for side in (axes, random)]
    together = float(stats.mannwhitneyu(*far, alternative="greater").pvalue)
    low, high = np.quantile(random, [0.025, 0.975])
    outside = int(((axes < low) | (axes > high)).sum())
    return Comparison(z, p, together, min(1.0, 2 * min(together, float(p.min()))), outside)


def _tail(values: Values, random: Values) -> Values:
    """P(one more random direction ≥ value): by rank, and by an exponential tail in the highest tenth.

    With m random directions no rank is rarer than 1/(m + 1), too common to single
    out one axis of a hundred. With b the mean excess of the k highest over the next, u,

        P(X ≥ u + t) = (k + 1)/(m + 1) · (1 + t/(k b))^−k

    is exact where the tail is exponential (excesses over an order statistic are then
    independent of it, Rényi 1953) and too large where it is lighter, as a normal one is.
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
    """Whether the axes are special in any of the `comparisons`, in words.

    Example:
        >>> even = Comparison(np.zeros(3), np.ones(3), 0.5, 1.0, 0)
        >>> axes_sentence({"brightness": even})
        'The coordinate axes are not special: in none of 1 measures do the 3 axes lie farther out than 200 random directions (smallest corrected p = 1).'
    """
    smallest = min(c.overall for c in found.values())
    count = len(next(iter(found.values())).z)
    if smallest >= ALPHA:
        return (
            f"The coordinate axes are not special: in none of {len(found)} measures do the {count} axes "
            f"lie farther out than {random} random directions (smallest corrected p = {smallest:.2g})."
        )
    said = [
        f"{_spelled(name)} ({_named(c.special)}, p {_p(c.overall)})"
        for name, c in found.items()
        if c.overall < ALPHA
    ]
    return (
        f"The coordinate axes are special: {count} axes lie farther out than {random} random directions "
        f"in {len(said)} of {len(found)} measures: {'; '.join(said)}."
    )


def _named(axes: list[int], most: int = 5) -> str:
    if not axes:
        return "all together, no single one"
    more = f" and {len(axes) - most} more" if len(axes) > most else ""
    return f"coordinate{'s' * (len(axes) > 1)} {', '.join(map(str, axes[:most]))}{more}"


def _spelled(measure: str) -> str:
    name, _, shift = measure.partition("@")
    return f"{name} at ε = {shift}" if shift else name


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


def converged(found: Survey, shift: float) -> npt.NDArray[np.bool_]:
    """Along which directions the samples have become one: one class, or without classes hardly any diversity."""
    if f"share@{shift:g}" in found:
        return np.asarray(found[f"share@{shift:g}"] > CONVERGED)
    return np.asarray(found[f"diversity@{shift:g}"] < COLLAPSED)


def _fisher(axes: npt.NDArray[np.bool_], random: npt.NDArray[np.bool_]) -> float:
    table = [[int(side.sum()), int((~side).sum())] for side in (axes, random)]
    return float(stats.fisher_exact(table).pvalue)


def converged_sentence(
    axes: npt.NDArray[np.bool_], random: npt.NDArray[np.bool_], what: str
) -> str:
    """The reference's finding put to the test: is it the axes at which samples converge, or any direction?

    Args:
        axes: for each axis whether the samples converge along it, at ε = 100.
        random: the same for random directions.
        what: what converging is, in words.
    """
    a, b, p = axes.mean(), random.mean(), _fisher(axes, random)
    seen = (
        f"At ε = 100 the samples converge ({what}) along {axes.sum()} of {len(axes)} coordinates "
        f"and along {random.sum()} of {len(random)} random directions (Fisher's p {_p(p)}): "
    )
    if p < ALPHA:
        return (
            seen + f"coordinates do so {'more' if a > b else 'less'} often than random directions."
        )
    if max(a, b) < 0.1:
        return seen + "hardly any direction does that, a coordinate no more than others."
    return seen + "that is what a shift does in any direction, not a property of coordinates."


def directions(
    subject: Subject,
    classify: Network | None = None,
    classes: Sequence[str] | None = None,
    judge: str = "none",
    coordinates: Sequence[int] = (),
) -> tuple[dict[str, Result], dict[str, Values]]:
    """``latent/coordinates``: every axis against 200 random directions, in a table and in sentences.

    Args:
        subject: a method that draws samples.
        classify: images N×C×H×W in [0, 1] → N×K logits.
        classes: the K names.
        judge: what classifies, for the protocol.
        coordinates: those to be shown; without any, the three that move the image most at ε = 10.

    Returns:
        The result, and for pictures: ``images`` (coordinates × ε × latents × C×H×W, ε = 0 first),
        ``random_images`` (one random direction), ``coordinates``, ``shifts``, and the random
        directions' values of every measure as ``random_<measure>``.

    Raises:
        TriptychError: a coordinate that the latent space does not have.
    """
    method = subject.method
    assert isinstance(method, Samples)
    for wrong in (c for c in coordinates if not 0 <= c < method.latent):
        raise TriptychError(
            f"there is no latent coordinate {wrong}: this model has {method.latent}; "
            f"give numbers from 0 to {method.latent - 1}"
        )
    z = prior_latents(subject, LATENTS)
    draw = generator(torch.device("cpu"), "directions")
    drawn = F.normalize(torch.randn(RANDOM, method.latent, generator=draw))
    u = torch.cat([torch.eye(method.latent), drawn]).to(z)
    both = survey(method.sample, z, u, SHIFTS, classify, subject.progress)
    axes = {k: v[: method.latent] for k, v in both.items()}
    random = {k: v[method.latent :] for k, v in both.items()}
    table = _table(axes, random, classes)
    protocol = subject.protocol(
        "none",
        estimator="sample(z + eps u) against sample(z), u an axis or a random unit direction",
        random=RANDOM,
        attributes="mean signed change at eps = 1",
        judge=judge,
        test="farther out than random: exponential tail for an axis, Mann-Whitney for all; Holm over axes and measures",
        unit="RMS pixel change in [0, 1]; stroke in pixels; hue in degrees",
    )
    note = "a table: errors over latents are in the spread of the random directions"
    shown = list(coordinates) or table["order"][:3]
    pictures = _pictures(method, z[:COLUMNS], u[[*shown, method.latent]])
    kept = {f"random_{k}": v.astype(np.float32) for k, v in random.items()}
    kept |= {"coordinates": np.array(shown), "shifts": np.array((0.0, *SHIFTS))}
    result = Result(table, None, LATENTS, protocol, note)
    return {"latent/coordinates": result}, kept | {
        "images": pictures[:-1],
        "random_images": pictures[-1],
    }


def _pictures(method: Samples, z: Tensor, u: Tensor) -> npt.NDArray[np.uint8]:
    """Directions × ε × latents × C×H×W, the reference's grids."""
    moved = z + z.new_tensor((0.0, *SHIFTS))[:, None, None] * u[:, None, None]
    with torch.inference_mode():
        images = [as_levels(method.sample(block.flatten(0, 1))) for block in moved]
    return np.stack(images).reshape(*moved.shape[:3], *images[0].shape[1:])


def _table(axes: Survey, random: Survey, classes: Sequence[str] | None) -> dict[str, Any]:
    """Everything to be said of the axes, as JSON has it."""
    found = comparisons(axes, random)
    labelled = f"share@{SHIFTS[-1]:g}" in axes
    last = [converged(side, SHIFTS[-1]) for side in (axes, random)]
    what = (
        f"over {100 * CONVERGED:.0f} % in one class"
        if labelled
        else f"under {100 * COLLAPSED:.0f} % of their diversity left"
    )
    named = [k for k in axes if k.startswith("class@")]
    values = {k: _rounded(v) for k, v in axes.items() if k not in named}
    return {
        "order": np.argsort(-axes[RANKED], kind="stable").tolist(),
        "axes": values | {k: [_class(c, classes) for c in axes[k]] for k in named},
        "random": {k: _summary(random[k]) for k in values},
        "comparison": {name: _as_json(c) for name, c in found.items()},
        "converged": {
            f"{e:g}": _shares(converged(axes, e), converged(random, e)) for e in SHIFTS[1:]
        },
        "destinations": _destinations(axes, random, last, classes) if labelled else {},
        "sentences": [
            axes_sentence(found),
            movement_sentence(found[RANKED]),
            converged_sentence(last[0], last[1], what),
        ],
    }


def _rounded(values: Values) -> list[float]:
    return [float(f"{v:.4g}") for v in values]


def _class(index: float, classes: Sequence[str] | None) -> str:
    return classes[int(index)] if classes is not None else str(int(index))


def _summary(values: Values) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    mean, std = values.mean(), values.std(ddof=1)
    parts = {"mean": mean, "std": std, "2.5% quantile": low, "97.5% quantile": high}
    return {k: float(f"{v:.4g}") for k, v in parts.items()}


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "p": found.overall,
        "p, all axes together": found.together,
        "axes beyond chance": found.special,
        "axes outside the random 95%": found.outside,
        "z": _rounded(found.z),
    }


def _shares(axes: npt.NDArray[np.bool_], random: npt.NDArray[np.bool_]) -> dict[str, float]:
    return {"axes": axes.mean(), "random": random.mean(), "p": _fisher(axes, random)}


def _destinations(
    axes: Survey,
    random: Survey,
    last: Sequence[npt.NDArray[np.bool_]],
    classes: Sequence[str] | None,
) -> dict[str, dict[str, int]]:
    """How many axes and random directions have converged to each class at the largest ε."""
    name = f"class@{SHIFTS[-1]:g}"
    ends = [side[name][done].astype(int) for side, done in zip((axes, random), last, strict=True)]
    return {
        _class(k, classes): {"axes": int((ends[0] == k).sum()), "random": int((ends[1] == k).sum())}
        for k in range(len(classes) if classes else 1 + max([0, *ends[0], *ends[1]]))
    }
