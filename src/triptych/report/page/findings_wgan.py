"""What a generator found: which classes it draws, what its coordinates do, how it goes from one sample to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triptych.report import reference_wgan as reference
from triptych.report.page.finding import Agreement, Finding, both, differs
from triptych.report.words import signed, with_error
from triptych.runs import Run

__all__ = ["SAYINGS"]

Results = Mapping[str, Any]

MOST = 0.5
"""Share of the coordinates along which samples must converge for the reference's words to hold."""

SURE = 0.9
"""Share of samples in one class that counts as converged."""


def the_classes(run: Run, results: Results) -> Finding | None:
    """Which classes the samples have too often, Figure 2."""
    found = results.get("samples/class_histogram")
    if found is None:
        return None
    agreement, because = _same_classes(run, found["value"])
    return Finding(
        "Classes of the samples (Figure 2)",
        f"Against the shares of the training images: {found['value'].get('verdict', '')}.",
        f"at the end {both(reference.FREQUENT)} predominate; {both(reference.RARE)} are rare",
        **_in_words(run, agreement, because),
        figures=(2,),
        shows=("filmstrip-slider", "class-histogram"),
    )


def _same_classes(run: Run, value: Mapping[str, Any]) -> tuple[Agreement, str]:
    """Whether the classes that the reference names are off in the direction that it says."""
    if not reference.same_data(run.config):
        return "", ""
    marks = dict(zip(value["classes"], value["mark"], strict=True))
    over = [c for c in reference.FREQUENT if marks.get(c) == "over"]
    rare = [c for c in reference.RARE if marks.get(c) in ("under", "missing")]
    off = [c for c in (*reference.FREQUENT, *reference.RARE) if c not in (*over, *rare)]
    if off:
        return "disagrees", f"not so here: {', '.join(off)}"
    said = f"{both(reference.FREQUENT)} are over-represented, {both(reference.RARE)}"
    return "agrees", f"{said} under-represented"


def the_distance(run: Run, results: Results) -> Finding | None:
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


def the_shifted_coordinates(run: Run, results: Results) -> Finding | None:
    """Where a large shift of one coordinate leads, Figures 3 to 5."""
    found = results.get("latent/coordinates")
    if found is None:
        return None
    agreement, because = _converges(found["value"])
    where = ", ".join(f"{c} to the digit {digit}" for c, digit in reference.CONVERGED)
    sentence = _destinations(run, found["value"]) or f"{because[:1].upper()}{because[1:]}."
    return Finding(
        "Shifted coordinates (Figures 3 to 5)",
        sentence,
        f"at large ε all samples converge: coordinate {where}",
        **_in_words(run, agreement, because),
        figures=(3, 4, 5),
        shows=("shift-slider", "coordinate-grids"),
    )


def the_coordinates(run: Run, results: Results) -> Finding | None:
    """Whether coordinates differ from other directions."""
    found = results.get("latent/coordinates")
    sentences = found["value"].get("sentences") if found is not None else None
    if not sentences:
        return None
    return Finding(
        "Coordinates against random directions", " ".join(sentences), shows=("coordinates",)
    )


def _converges(value: Mapping[str, Any]) -> tuple[Agreement, str]:
    """Whether most coordinates bring all samples to one picture at the largest ε."""
    shares = value.get("converged", {})
    if not shares:
        return "", ""
    epsilon = max(shares, key=float)
    axes = shares[epsilon]["axes"]
    said = f"at ε = {epsilon} samples converge along {100 * axes:.0f} % of the coordinates"
    return ("agrees" if axes > MOST else "disagrees"), said


def _destinations(run: Run, value: Mapping[str, Any]) -> str:
    """Where the coordinates of the pictures lead, as the reference says of its three."""
    arrays, axes = run.arrays("coordinates"), value.get("axes", {})
    ends = [name for name in axes if name.startswith("class@")]
    if arrays is None or not ends:
        return ""
    epsilon = max((name.partition("@")[2] for name in ends), key=float)
    classes, shares = axes[f"class@{epsilon}"], axes[f"share@{epsilon}"]
    said = [
        f"coordinate {c} to “{classes[c]}” ({100 * shares[c]:.0f} %)"
        if shares[c] > SURE
        else f"coordinate {c} to no one class (most often “{classes[c]}”, {100 * shares[c]:.0f} %)"
        for c in arrays["coordinates"].tolist()
    ]
    return f"At ε = {epsilon} samples are led by {'; by '.join(said)}."


def the_dimension(run: Run, results: Results) -> Finding | None:
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


def the_latent_way(run: Run, results: Results) -> Finding | None:
    """Whether the way through latent space stays nearer to the images than the overlay, Figure 6."""
    found = results.get("interpolation/scorecard")
    if found is None:
        return None
    agreement, because = _below_zero(found["value"], "distance to training")
    return Finding(
        "Latent interpolation (Figure 6)",
        str(found["value"].get("verdict", "")),
        "interpolated in latent space, pictures stay on valid digits",
        **_in_words(run, agreement, because),
        figures=(6,),
        shows=("interpolation-slider", "scorecard"),
    )


def the_pixel_way(run: Run, results: Results) -> Finding | None:
    """Whether a classifier is less sure of the overlay of two pictures, Figure 7."""
    found = results.get("interpolation/scorecard")
    row = _row(found["value"], "entropy") if found is not None else None
    if found is None or row is None:
        return None
    agreement, because = _below_zero(found["value"], "entropy")
    size = f"by {signed(abs(row['mean']), 3)} nats of entropy"
    how = f"less sure of pixel mixtures than of latent ones, {size}"
    if row["low"] > 0:
        how = f"surer of pixel mixtures than of latent ones, {size}"
    elif row["high"] >= 0:
        how = "as sure of pixel mixtures as of latent ones, as far as can be told"
    return Finding(
        "Pixel interpolation (Figure 7)",
        f"Between α = 0.3 and 0.7 a classifier is {how} ({_interval(row)}).",
        "mixed in pixel space, they are a blurry overlay at 0.4 to 0.6",
        **_in_words(run, agreement, because),
        figures=(7,),
        shows=("sample-interpolation",),
    )


def _row(value: Mapping[str, Any], score: str) -> Mapping[str, Any] | None:
    """The paired difference latent − pixel of a score, along straight lines."""
    rows: Sequence[Mapping[str, Any]] = value.get("differences", [])
    return next((r for r in rows if (r["score"], r["way"]) == (score, "linear")), None)


def _below_zero(value: Mapping[str, Any], score: str) -> tuple[Agreement, str]:
    row = _row(value, score)
    if row is None:
        return "", ""
    where = "below" if row["high"] < 0 else "above" if row["low"] > 0 else "around"
    said = f"{score}, latent − pixel: the interval lies {where} 0"
    return ("agrees" if where == "below" else "disagrees"), said


def _interval(row: Mapping[str, Any]) -> str:
    return (
        f"latent − pixel: 95 % interval {signed(row['low'], 3)} to {signed(row['high'], 3)}, "
        f"{row['n']} pairs"
    )


def _in_words(run: Run, agreement: Agreement, because: str) -> dict[str, Any]:
    """How a statement stands to the reference's, which has words and no numbers."""
    changed = reference.differences(run.config)
    if run.status() != "done" and "train.duration" not in changed:
        changed = [*changed, "train.duration"]
    if agreement:
        other = f"; {differs(changed)}" if changed else ""
        return {"agreement": agreement, "because": because + other}
    why = f"the reference gives no numbers{f', and {differs(changed)}' if changed else ''}"
    return {"standing": "not comparable", "why": why}


SAYINGS = (
    the_classes,
    the_distance,
    the_shifted_coordinates,
    the_coordinates,
    the_dimension,
    the_latent_way,
    the_pixel_way,
)
