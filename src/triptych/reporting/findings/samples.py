"""What a generator found: which classes it draws, what its coordinates do, how it goes from one sample to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from triptych.intervals import wilson
from triptych.reporting.findings.finding import Claim, Finding
from triptych.reporting.words import signed, with_error
from triptych.runs import Run

__all__ = [
    *("classes", "coordinates", "dimension", "distance"),
    *("latent_interpolation", "pixel_interpolation", "shifted_coordinates"),
]

Results = Mapping[str, Any]

MOST = 0.5
"""Share of the coordinates along which samples must converge for it to be the rule."""

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


def classes(run: Run, results: Results) -> Finding | None:
    """Which classes the samples have too often."""
    found = results.get("samples/class_histogram")
    if found is None:
        return None
    sentence = f"Against the shares of the training images: {found['value'].get('verdict', '')}."
    return Finding("Classes of the samples", sentence, ("filmstrip-slider", "class-histogram"))


def distance(run: Run, results: Results) -> Finding | None:
    """Fréchet distance of samples, and that of as many real images."""
    found, baseline = results.get("test/frechet"), results.get("test/frechet_floor")
    if found is None:
        return None
    sentence = f"The Fréchet distance of samples to test images is {with_error(found['value'], found['stderr'])}"
    if baseline is not None:
        score = with_error(baseline["value"], baseline["stderr"])
        sentence += f"; {_in_their_place(found, baseline)} score {score}"
    return Finding("Distance to real images", sentence + ".", shows=("samples",))


def _in_their_place(found: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """How many training images were measured as if they were samples: of fewer the distance is larger by its bias."""
    made, real = (result["protocol"].get("samples") for result in (found, baseline))
    if made is None or real is None:
        return "training images"
    if real >= made:
        return "as many training images"
    return f"{real:,} training images, fewer than the {made:,} samples of a set and farther off for that alone,"


def shifted_coordinates(run: Run, results: Results) -> Finding | None:
    """Where a large shift of one coordinate leads; the claim is that along most coordinates all samples become alike."""
    found = results.get("latent/coordinates")
    if found is None:
        return None
    sentence, claim = _converges(run, found["value"])
    return Finding("Shifted coordinates", sentence, ("shift-slider", "coordinate-grids"), claim)


def coordinates(run: Run, results: Results) -> Finding | None:
    """Whether coordinates differ from other directions."""
    found = results.get("latent/coordinates")
    sentences = found["value"].get("sentences") if found is not None else None
    if not sentences:
        return None
    return Finding(
        "Coordinates against random directions", " ".join(sentences), shows=("coordinates",)
    )


def _converges(run: Run, value: Mapping[str, Any]) -> tuple[str, Claim]:
    """Whether samples that differ at ε = 0 become alike at the largest ε, along most coordinates."""
    shares = value.get("converged", {})
    if not shares:
        lacking = "where samples end at a large ε is not in the folder"
        return f"W{lacking[1:]}.", Claim("undecided", f"nothing follows: {lacking}")
    epsilon = max(shares, key=float)
    nothing = _no_start(value)
    if nothing:
        said = f"Nothing follows from where samples end at ε = {epsilon}: {nothing}."
        return said, Claim("undecided", f"nothing follows: {nothing}")
    axes, count = shares[epsilon]["axes"], len(next(iter(value["axes"].values())))
    said = f"at ε = {epsilon} samples converge along {100 * axes:.0f} % of the coordinates"
    sentence = _destinations(run, value, epsilon) or f"{said[:1].upper()}{said[1:]}."
    low, high = wilson(axes, count)
    if low <= MOST <= high:
        return sentence, Claim("undecided", f"{said}, neither most nor few of {count}")
    return sentence, Claim("yes" if low > MOST else "no", said)


def _no_start(value: Mapping[str, Any]) -> str:
    """Why nothing follows from where samples end: that they were alike before any shift; empty where they differed."""
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
    """Where the coordinates of the pictures lead; nothing where that was not measured."""
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


def dimension(run: Run, results: Results) -> Finding | None:
    """In how many latent directions the samples vary."""
    found = results.get("latent/effective_dimension")
    size = run.config.get("method", {}).get("latent")
    if found is None or not size:
        return None
    return Finding(
        "Directions that matter",
        f"Samples vary in about {with_error(found['value'], found['stderr'])} of {size} latent directions (effective "
        "dimension of the mean pullback metric: the participation ratio of its eigenvalues).",
        shows=("principal-directions",),
    )


def latent_interpolation(run: Run, results: Results) -> Finding | None:
    """Whether interpolates in latent space stay nearer to the images than overlays of two pictures do."""
    found = results.get("interpolation/scorecard")
    if found is None:
        return None
    shows = ("interpolation-slider", "scorecard")
    sentence = str(found["value"].get("verdict", ""))
    return Finding("Latent interpolation", sentence, shows, _nearer(found["value"]))


def _nearer(value: Mapping[str, Any]) -> Claim:
    """By the interval of latent − pixel, if the features can tell an overlay from an image."""
    row, control = _row(value, "distance to training"), value.get("control")
    if row is None:
        return Claim("undecided", "nothing follows: the distances are not in the folder")
    if control is not None and control["low"] <= 0:
        why = "the features do not place overlays of held-out images farther away than the images"
        return Claim("undecided", f"nothing follows: {why}")
    said = f"distance to training, latent − pixel: the interval lies {_side(row)} 0"
    return Claim(BELOW[_side(row)], said)


def pixel_interpolation(run: Run, results: Results) -> Finding | None:
    """Whether a classifier is less sure of the overlay of two pictures than of an interpolate in latent space."""
    found = results.get("interpolation/scorecard")
    row = _row(found["value"], "entropy") if found is not None else None
    if row is None:
        return None
    sentence, claim = _less_sure(row)
    return Finding("Pixel interpolation", sentence, ("sample-interpolation",), claim)


def _less_sure(row: Mapping[str, Any]) -> tuple[str, Claim]:
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
    return sentence, Claim(BELOW[side], said)


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
