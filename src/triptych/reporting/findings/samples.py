"""What a generator found: which classes it draws, what its coordinates do, how it goes from one sample to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from triptych.intervals import wilson
from triptych.reporting.findings.finding import Claim, Finding, both
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

MARKS: Mapping[str, str] = {"over": "too many of", "under": "too few of", "missing": "none of"}
"""How a class is marked, and what a sentence says of all that are marked so."""

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
    value = found["value"]
    marks = dict(zip(value.get("classes", ()), value.get("mark", ()), strict=False))
    said = [
        f"{how} {both(named)}"
        for mark, how in MARKS.items()
        if (named := [name for name, marked in marks.items() if marked == mark])
    ]
    sentence = f"Compared with the training images {value.get('verdict', '')}."
    if said:
        sentence = f"Compared with the training images the samples have {'; '.join(said)}."
    return Finding("Classes of the samples", sentence, ("filmstrip-slider", "class-histogram"))


def distance(run: Run, results: Results) -> Finding | None:
    """Fréchet distance of samples, and that of as many real images."""
    found, baseline = results.get("test/frechet"), results.get("test/frechet_floor")
    if found is None:
        return None
    sentence = f"The samples lie at a Fréchet distance of {with_error(found['value'], found['stderr'])} from the test images"
    if baseline is not None:
        score = with_error(baseline["value"], baseline["stderr"])
        sentence += f"; {_in_their_place(found, baseline)} lie at {score}"
    return Finding("Distance to real images", sentence + ".", shows=("samples",))


def _in_their_place(found: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """How many training images were measured as if they were samples: of fewer the distance is larger by its bias."""
    made, real = (result["protocol"].get("samples") for result in (found, baseline))
    if made is None or real is None:
        return "training images in their place"
    if real >= made:
        return "as many training images in their place"
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
    # What each measure says stands with the figure.
    return Finding("Coordinates against random directions", sentences[0], shows=("coordinates",))


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
    named, shares = axes[f"class@{epsilon}"], axes[f"share@{epsilon}"]
    shown = arrays["coordinates"].tolist()
    full = [c for c in shown if shares[c] > SURE and shares[c] >= start["least"]]
    least = f"{100 * max(SURE, start['least']):.0f} %"
    enough = f"more than {least}" if start["least"] <= SURE else f"{least} or more"
    there = f"Without a shift the commonest class has {100 * start['share']:.0f} %."
    if not full:
        return (
            f"A shift by ε = {epsilon} along {_coordinates(shown, 'or')} does not make the samples one class, which "
            f"would be {enough} of them in it. {there}"
        )
    ends = both([f"{_coordinates([c])} (“{named[c]}”)" for c in full])
    others = [c for c in shown if c not in full]
    but = f", along {_coordinates(others)} it does not" if others else ""
    return f"A shift by ε = {epsilon} puts {enough} of the samples into one class along {ends}{but}. {there}"


def _coordinates(numbers: Sequence[int], last: str = "and") -> str:
    """Coordinates by their numbers."""
    said = both([str(c) for c in numbers]).replace(" and ", f" {last} ")
    return f"coordinate{'s' * (len(numbers) > 1)} {said}"


def dimension(run: Run, results: Results) -> Finding | None:
    """In how many latent directions the samples vary."""
    found = results.get("latent/effective_dimension")
    size = run.config.get("method", {}).get("latent")
    if found is None or not size:
        return None
    count = max(1, round(found["value"]))
    return Finding(
        "Directions that matter",
        f"About {count} of the {size} latent directions change the picture much (effective dimension "
        f"{with_error(found['value'], found['stderr'])}).",
        shows=("principal-directions",),
    )


def latent_interpolation(run: Run, results: Results) -> Finding | None:
    """Whether interpolates in latent space stay nearer to the images than overlays of two pictures do."""
    found = results.get("interpolation/scorecard")
    if found is None:
        return None
    shows = ("interpolation-slider", "scorecard")
    sentence, claim = _nearer(found["value"])
    return Finding("Latent interpolation", sentence, shows, claim)


def _nearer(value: Mapping[str, Any]) -> tuple[str, Claim]:
    """By the interval of latent − pixel, if the features can tell an overlay from an image."""
    row, control = _row(value, "distance to training"), value.get("control")
    if row is None:
        lacking = "nothing follows: the distances are not in the folder"
        return str(value.get("verdict", "")), Claim("undecided", lacking)
    sentence = _stays(row)
    if control is not None and control["low"] <= 0:
        why = "the features do not place overlays of held-out images farther away than the images"
        silent = f"nothing follows: {why}"
        return f"{sentence} But {silent}.", Claim("undecided", silent)
    said = f"distance to training, latent − pixel: the interval lies {_side(row)} 0"
    return sentence, Claim(BELOW[_side(row)], said)


def _stays(row: Mapping[str, Any]) -> str:
    """Where pictures halfway lie, by the features of a network."""
    how = {
        "below": "nearer to the training images than overlays of the two pictures do",
        "above": "farther from the training images than overlays of the two pictures do",
        "around": "as far from the training images as overlays of the two pictures, as far as can be told",
    }[_side(row)]
    return f"Between two samples, interpolates in latent space stay {how} ({_interval(row)})."


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
    side = _side(row)
    said = f"entropy, latent − pixel: the interval lies {side} 0"
    if side != "around" and row.get("p_adjusted", 0.0) >= LEVEL:
        side, said = "around", f"{said}, but among so many comparisons that may be chance"
    how = {
        "below": "less sure of overlays of the two pictures than of interpolates in latent space",
        "above": "surer of overlays of the two pictures than of interpolates in latent space",
        "around": "as sure of overlays of the two pictures as of interpolates in latent space, as far as can be told",
    }[side]
    sentence = f"Between two samples a classifier is {how} ({_interval(row, ' nats of entropy')})."
    return sentence, Claim(BELOW[side], said)


def _row(value: Mapping[str, Any], score: str) -> Mapping[str, Any] | None:
    """The paired difference latent − pixel of a score, along straight lines."""
    rows: Sequence[Mapping[str, Any]] = value.get("differences", [])
    return next((r for r in rows if (r["score"], r["way"]) == (score, "linear")), None)


def _side(row: Mapping[str, Any]) -> Side:
    """Where the interval of a difference lies."""
    return "below" if row["high"] < 0 else "above" if row["low"] > 0 else "around"


def _interval(row: Mapping[str, Any], unit: str = "") -> str:
    """The difference of the two, in as many digits as its interval leaves it."""
    width = row["high"] - row["low"]
    digits = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 3
    mean, low, high = (signed(row[part], digits) for part in ("mean", "low", "high"))
    return f"latent − overlay: {mean}{unit}, 95 % interval {low} to {high}, {row['n']} pairs"
