"""What a generator found: which classes it draws, what its coordinates do, how it goes from one sample to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from triptych.reporting.findings.finding import Claim, Finding, both, held
from triptych.reporting.reference import wgan as reference
from triptych.reporting.reference.protocol import other_data, scope
from triptych.reporting.words import signed, with_error
from triptych.runs import Run

__all__ = ["SAYINGS"]

Results = Mapping[str, Any]

MOST = 0.5
"""Share of the coordinates along which samples must converge for the reference's words to hold."""

SURE = 0.9
"""Share of samples in one class that counts as converged."""

LOW = 0.25
"""Share of the spread of training images below which samples are one picture, or none, before any shift."""

LEVEL = 0.05
"""Adjusted p-values below it are called a difference."""

Side = Literal["below", "around", "above"]

BELOW: Mapping[Side, Literal["yes", "undecided", "no"]] = {
    "below": "yes",
    "around": "undecided",
    "above": "no",
}
"""What the interval of latent − pixel says of a claim that it is below 0."""


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson 1927).

    Example:
        >>> low, high = wilson(0.47, 100)
        >>> round(low, 3), round(high, 3)
        (0.375, 0.567)
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def the_classes(run: Run, results: Results, asked: bool) -> Finding | None:
    """Which classes the samples have too often; of the reference's WGAN, Figure 2."""
    found = results.get("samples/class_histogram")
    if found is None:
        return None
    claim = _same_classes(found["value"])
    shows = ("filmstrip-slider", "class-histogram")
    said = f"at the end {both(reference.FREQUENT)} predominate; {both(reference.RARE)} are rare"
    return _beside(run, "Classes of the samples", claim, shows, "Figure 2", (2,), said, asked)


def _same_classes(value: Mapping[str, Any]) -> Claim:
    """Whether the classes that the reference names are off in the direction that it says.

    One that is off in the other direction contradicts it; of one that is not marked nothing is known.
    """
    sentence = f"Against the shares of the training images: {value.get('verdict', '')}."
    marks = dict(zip(value["classes"], value["mark"], strict=True))
    more = {c: marks.get(c) for c in reference.FREQUENT}
    less = {c: marks.get(c) for c in reference.RARE}
    turned = [c for c, mark in more.items() if mark in ("under", "missing")]
    turned += [c for c, mark in less.items() if mark == "over"]
    if turned:
        return Claim("no", sentence, f"the other way round here: {', '.join(turned)}")
    unknown = [c for c, mark in {**more, **less}.items() if not mark]
    if unknown:
        return Claim("undecided", sentence, f"not shown to differ here: {', '.join(unknown)}")
    said = f"{both(reference.FREQUENT)} are over-represented, {both(reference.RARE)}"
    return Claim("yes", sentence, f"{said} under-represented")


def the_distance(run: Run, results: Results, asked: bool) -> Finding | None:
    """Fréchet distance, beside what real images score."""
    found, floor = results.get("test/frechet"), results.get("test/frechet_floor")
    if found is None:
        return None
    sentence = f"The Fréchet distance of samples to test images is {with_error(found['value'], found['stderr'])}"
    if floor is not None:
        score = with_error(floor["value"], floor["stderr"])
        sentence += f"; {_in_their_place(found, floor)} score {score}"
    return Finding("Distance to real images", sentence + ".", shows=("samples",))


def _in_their_place(found: Mapping[str, Any], floor: Mapping[str, Any]) -> str:
    """How many training images stood in the place of samples: of fewer the distance is larger by its bias."""
    made, real = (result["protocol"].get("samples") for result in (found, floor))
    if made is None or real is None:
        return "training images"
    if real >= made:
        return "as many training images"
    return f"{real:,} training images, fewer than the {made:,} samples of a set and farther off for that alone,"


def the_shifted_coordinates(run: Run, results: Results, asked: bool) -> Finding | None:
    """Where a large shift of one coordinate leads; of the reference's WGAN, Figures 3 to 5."""
    found = results.get("latent/coordinates")
    if found is None:
        return None
    claim = _converges(run, found["value"])
    where = ", ".join(f"{c} to the digit {digit}" for c, digit in reference.CONVERGED)
    said = f"at large ε all samples converge: coordinate {where}"
    shows = ("shift-slider", "coordinate-grids")
    figures = "Figures 3 to 5", (3, 4, 5)
    return _beside(run, "Shifted coordinates", claim, shows, *figures, said, asked)


def the_coordinates(run: Run, results: Results, asked: bool) -> Finding | None:
    """Whether coordinates differ from other directions."""
    found = results.get("latent/coordinates")
    sentences = found["value"].get("sentences") if found is not None else None
    if not sentences:
        return None
    return Finding(
        "Coordinates against random directions", " ".join(sentences), shows=("coordinates",)
    )


def _converges(run: Run, value: Mapping[str, Any]) -> Claim:
    """Whether along most coordinates the samples become one at the largest ε that were not so at ε = 0."""
    shares = value.get("converged", {})
    if not shares:
        lacking = "where samples end at a large ε is not in the folder"
        return Claim("undecided", f"W{lacking[1:]}.", f"nothing follows: {lacking}")
    epsilon = max(shares, key=float)
    nothing = _no_start(value)
    if nothing:
        said = f"Nothing follows from where samples end at ε = {epsilon}: {nothing}."
        return Claim("undecided", said, f"nothing follows: {nothing}")
    axes, count = shares[epsilon]["axes"], len(next(iter(value["axes"].values())))
    said = f"at ε = {epsilon} samples converge along {100 * axes:.0f} % of the coordinates"
    sentence = _destinations(run, value, epsilon) or f"{said[:1].upper()}{said[1:]}."
    low, high = wilson(axes, count)
    if low <= MOST <= high:
        return Claim("undecided", sentence, f"{said}, neither most nor few of {count}")
    return Claim("yes" if low > MOST else "no", sentence, said)


def _no_start(value: Mapping[str, Any]) -> str:
    """Why nothing follows from where samples end, if they are no many different pictures before any shift."""
    start = value.get("start")
    if start is None:
        return "what they are at ε = 0 was not measured; triptych evaluate measures it"
    if start["diversity"] < LOW:
        return (
            f"at ε = 0 they differ from one another by only {100 * start['diversity']:.0f} % of what "
            "training images do"
        )
    if "share" in start and start["least"] is None:
        return (
            f"at ε = 0 already {100 * start['share']:.0f} % of the {start['n']} samples are in one class, "
            f"“{start['class']}”"
        )
    return ""


def _destinations(run: Run, value: Mapping[str, Any], epsilon: str) -> str:
    """Where the coordinates of the pictures lead, as the reference says of its three."""
    arrays, axes, start = run.arrays("coordinates"), value.get("axes", {}), value["start"]
    if arrays is None or f"class@{epsilon}" not in axes or "share" not in start:
        return ""
    classes, shares = axes[f"class@{epsilon}"], axes[f"share@{epsilon}"]
    said = [
        f"coordinate {c} to “{classes[c]}” ({100 * shares[c]:.0f} %)"
        if shares[c] > SURE and shares[c] >= start["least"]
        else f"coordinate {c} to no one class (most often “{classes[c]}”, {100 * shares[c]:.0f} %)"
        for c in arrays["coordinates"].tolist()
    ]
    return (
        f"At ε = {epsilon} samples are led by {'; by '.join(said)}; at ε = 0 no class has more than "
        f"{100 * start['share']:.0f} %."
    )


def the_dimension(run: Run, results: Results, asked: bool) -> Finding | None:
    """In how many directions the picture changes."""
    found = results.get("latent/effective_dimension")
    size = run.config.get("method", {}).get("latent")
    if found is None or not size:
        return None
    return Finding(
        "Directions that matter",
        f"What the model makes changes in about {with_error(found['value'], found['stderr'])} directions of its {size} "
        "(participation ratio of the mean pullback metric).",
        shows=("principal-directions",),
    )


def the_latent_way(run: Run, results: Results, asked: bool) -> Finding | None:
    """Whether the way through latent space stays nearer to the images than the overlay; Figure 6."""
    found = results.get("interpolation/scorecard")
    if found is None:
        return None
    claim, said = (
        _nearer(found["value"]),
        "interpolated in latent space, pictures stay on valid digits",
    )
    shows = ("interpolation-slider", "scorecard")
    return _beside(run, "Latent interpolation", claim, shows, "Figure 6", (6,), said, asked)


def _nearer(value: Mapping[str, Any]) -> Claim:
    """By the interval of latent − pixel, if the features can tell an overlay from an image."""
    sentence = str(value.get("verdict", ""))
    row, control = _row(value, "distance to training"), value.get("control")
    if row is None:
        return Claim("undecided", sentence, "nothing follows: the distances are not in the folder")
    if control is not None and control["low"] <= 0:
        why = "the features do not place overlays of held-out images farther away than the images"
        return Claim("undecided", sentence, f"nothing follows: {why}")
    said = f"distance to training, latent − pixel: the interval lies {_side(row)} 0"
    return Claim(BELOW[_side(row)], sentence, said)


def the_pixel_way(run: Run, results: Results, asked: bool) -> Finding | None:
    """Whether a classifier is less sure of the overlay of two pictures; Figure 7."""
    found = results.get("interpolation/scorecard")
    row = _row(found["value"], "entropy") if found is not None else None
    if found is None or row is None:
        return None
    claim, said = _less_sure(row), "mixed in pixel space, they are a blurry overlay at 0.4 to 0.6"
    shows = ("sample-interpolation",)
    return _beside(run, "Pixel interpolation", claim, shows, "Figure 7", (7,), said, asked)


def _less_sure(row: Mapping[str, Any]) -> Claim:
    """By the interval of latent − pixel, if the difference outlives the correction for many comparisons."""
    side, size = _side(row), f"by {signed(abs(row['mean']), 3)} nats of entropy"
    said = f"entropy, latent − pixel: the interval lies {side} 0"
    if side != "around" and row.get("p_adjusted", 0.0) >= LEVEL:
        side, said = "around", f"{said}, but among so many comparisons that may be chance"
    how = {
        "below": f"less sure of pixel mixtures than of latent ones, {size}",
        "above": f"surer of pixel mixtures than of latent ones, {size}",
        "around": "as sure of pixel mixtures as of latent ones, as far as can be told",
    }[side]
    sentence = f"Between α = 0.3 and 0.7 a classifier is {how} ({_interval(row)})."
    return Claim(BELOW[side], sentence, said)


def _row(value: Mapping[str, Any], score: str) -> Mapping[str, Any] | None:
    """The paired difference latent − pixel of a score, along straight lines."""
    rows: Sequence[Mapping[str, Any]] = value.get("differences", [])
    return next((r for r in rows if (r["score"], r["way"]) == (score, "linear")), None)


def _side(row: Mapping[str, Any]) -> Side:
    """Where the interval of a difference lies."""
    return "below" if row["high"] < 0 else "above" if row["low"] > 0 else "around"


def _interval(row: Mapping[str, Any]) -> str:
    return (
        f"latent − pixel: 95 % interval {signed(row['low'], 3)} to {signed(row['high'], 3)}, "
        f"{row['n']} pairs"
    )


def _beside(
    run: Run,
    title: str,
    claim: Claim,
    shows: tuple[str, ...],
    label: str,
    figures: tuple[int, ...],
    said: str,
    asked: bool,
) -> Finding:
    """A finding, and how it stands to the reference's, which has words and no numbers, where those hold for the run."""
    told = Finding(title, claim.sentence, shows=shows)
    of = scope(reference.PROTOCOL, run.config, asked)
    if not of:
        return told
    told = told._replace(title=f"{title} ({label})", reference=said, figures=figures)
    if of == "other data":
        return told._replace(standing="not comparable", why=other_data(run.config))
    changed = reference.differences(run.config)
    if run.status() != "done" and "train.duration" not in changed:
        changed = [*changed, "train.duration"]
    updates = max((line["step"] for line in run.metrics() if "step" in line), default=0)
    if "train.duration" in changed and updates < reference.LEAST:
        few = f"nothing follows from {updates:,} updates of the generator: the reference's had {reference.UPDATES:,}"
        claim = claim._replace(holds="undecided", because=few)
    return held(told, claim, changed)


SAYINGS = (
    the_classes,
    the_distance,
    the_shifted_coordinates,
    the_coordinates,
    the_dimension,
    the_latent_way,
    the_pixel_way,
)
