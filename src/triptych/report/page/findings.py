"""What a run found, in sentences that follow from its numbers, beside what the reference report says.

A sentence says the opposite where the numbers do, and nothing where they are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from triptych.report import reference
from triptych.report.words import signed, with_error
from triptych.runs import Run

__all__ = ["Finding", "findings", "measured_against"]

Standing = Literal["within", "better", "worse", "not comparable", ""]

ERRORS = 2.0
"""Standard errors that a number may lie from the reference's before it counts as another one."""


class Finding(NamedTuple):
    """A sentence on a figure of the reference report, and how the run's number stands to the reference's own.

    ``standing`` is empty where the reference has no number; ``why`` says what makes two numbers
    not comparable, or by what rule they were compared.
    """

    title: str
    sentence: str
    reference: str = ""
    standing: Standing = ""
    why: str = ""


def findings(run: Run) -> list[Finding]:
    """Everything that can be said of a run, in the order of the reference's figures."""
    results = run.results()
    said = (say(run, results) for say in _SAYINGS)
    return [finding for finding in said if finding is not None]


def measured_against(
    value: float, stderr: float | None, known: tuple[float, float]
) -> Literal["within", "better", "worse"]:
    """How a number, higher being better, stands to a range that the reference gives.

    Example:
        >>> measured_against(-95.5, 0.26, (-95.75, -95.75)), measured_against(-99.0, 0.26, (-95.75, -95.75))
        ('within', 'worse')
    """
    slack = ERRORS * (stderr or 0.0)
    if value > max(known) + slack:
        return "better"
    return "worse" if value < min(known) - slack else "within"


def _elbo(run: Run, results: Mapping[str, Any]) -> Finding | None:
    epochs, values = run.curve("valid/elbo")
    if not values:
        return None
    first, last = values[0], values[-1]
    way = "rose" if last > first else "fell" if last < first else "did not change"
    sentence = (
        f"The validation ELBO {way} from {signed(first)} to {signed(last)} nats an image over {epochs[-1]:g} epochs"
        if len(values) > 1
        else f"The validation ELBO is {signed(last)} nats an image after {epochs[-1]:g} epochs"
    )
    best = max(values)
    if best > last and len(values) > 1:
        sentence += f"; it was highest, {signed(best)}, at epoch {epochs[values.index(best)]:g}"
    ends = reference.ELBO_CURVE[-1], reference.FINAL_ELBO
    given = f"{signed(reference.FINAL_ELBO)} (its figure ends at {signed(ends[0], 1)})"
    changed = reference.differences(run.config)
    if not changed and epochs[-1] != len(reference.ELBO_CURVE):
        changed = ["train.duration"]
    if changed:
        return Finding(
            "ELBO (Figure 1)", sentence + ".", given, "not comparable", _differs(changed)
        )
    standing = measured_against(last, None, ends)
    return Finding(
        "ELBO (Figure 1)", sentence + ".", given, standing, "between the reference's two values"
    )


def _likelihood(run: Run, results: Mapping[str, Any]) -> Finding | None:
    found = results.get("test/log_likelihood")
    if found is None:
        return None
    samples = found["protocol"].get("K")
    sentence = (
        f"The log-likelihood of {found['n']:,} test images is {with_error(found['value'], found['stderr'])} nats an image"
        f"{f' with {samples} importance samples' if samples else ''}."
    )
    changed = reference.differences(run.config)
    if samples != reference.SAMPLES:
        changed = [*changed, "K"]
    given, title = signed(reference.LOG_LIKELIHOOD), "Log-likelihood"
    if changed:
        return Finding(title, sentence, given, "not comparable", _differs(changed))
    known = reference.LOG_LIKELIHOOD, reference.LOG_LIKELIHOOD
    standing = measured_against(found["value"], found["stderr"], known)
    return Finding(
        title, sentence, given, standing, f"within: less than {ERRORS:g} standard errors apart"
    )


def _latent_coordinates(run: Run, results: Mapping[str, Any]) -> Finding | None:
    active = results.get("latent/active_units")
    if active is None or isinstance(active["value"], Mapping):
        return None
    size = run.config.get("method", {}).get("latent")
    of = f" of {size}" if size else ""
    return Finding(
        "Latent coordinates",
        f"{active['value']:g}{of} latent coordinates are used by the encoder; the others stay at the prior.",
    )


def _histogram(run: Run, results: Mapping[str, Any]) -> Finding | None:
    found = results.get("samples/class_histogram")
    if found is None:
        return None
    verdict = str(found["value"].get("verdict", ""))
    return Finding(
        "Classes of the samples (Figure 2)",
        f"Against the shares of the training images: {verdict}.",
        "5 and 2 predominate; 1, 7 and 9 are rare",
        *_svhn(run),
    )


def _coordinates(run: Run, results: Mapping[str, Any]) -> Finding | None:
    found = results.get("latent/coordinates")
    if found is None or not found["value"].get("sentences"):
        return None
    return Finding(
        "Latent coordinates (Figures 3 to 5)",
        " ".join(found["value"]["sentences"]),
        "at large ε all samples converge: coordinate 6 to a 5, 25 to an 8, 58 to a 2",
        *_svhn(run),
    )


def _interpolation(run: Run, results: Mapping[str, Any]) -> Finding | None:
    found = results.get("interpolation/scorecard")
    if found is None:
        return None
    return Finding(
        "Latent against pixel interpolation (Figures 6 and 7)",
        str(found["value"].get("verdict", "")),
        "latent stays on valid digits; pixel is a blurry overlay at 0.4 to 0.6",
        *_svhn(run),
    )


def _dimension(run: Run, results: Mapping[str, Any]) -> Finding | None:
    found = results.get("latent/effective_dimension")
    size = run.config.get("method", {}).get("latent")
    if found is None or not size:
        return None
    return Finding(
        "Directions that matter",
        f"What the model makes changes in about {with_error(found['value'], found['stderr'])} directions of its {size} "
        "(participation ratio of the mean pullback metric).",
    )


def _distance(run: Run, results: Mapping[str, Any]) -> Finding | None:
    found, floor = results.get("test/frechet"), results.get("test/frechet_floor")
    if found is None:
        return None
    sentence = f"The Fréchet distance of samples to test images is {with_error(found['value'], found['stderr'])}"
    if floor is not None:
        sentence += f"; as many training images score {with_error(floor['value'], floor['stderr'])}"
    return Finding("Distance to real images", sentence + ".")


def _representation(run: Run, results: Mapping[str, Any]) -> Finding | None:
    verdict = results.get("verdict")
    if verdict is None:
        return None
    return Finding("Verdict", str(verdict["note"] or verdict["value"]))


def _neighbours(run: Run, results: Mapping[str, Any]) -> Finding | None:
    found, floor = results.get("test/knn_top1"), results.get("test/knn_top1_untrained")
    pixels = results.get("test/knn_top1_pixels")
    if found is None:
        return None
    sentence = f"The neighbours' classes are right for {_percent(found)} of the test images"
    if floor is not None:
        sentence += (
            f", {_above(found['value'], floor['value'])} the untrained encoder ({_percent(floor)})"
        )
    if pixels is not None:
        sentence += (
            f" and {_above(found['value'], pixels['value'])} raw pixels ({_percent(pixels)})"
        )
    return Finding("kNN accuracy (Figure 8)", sentence + ".")


def _above(value: float, floor: float) -> str:
    points = 100 * (value - floor)
    return f"{abs(points):.1f} points {'above' if points >= 0 else 'below'}"


def _percent(result: Mapping[str, Any]) -> str:
    error = result["stderr"]
    return f"{100 * result['value']:.1f}{f' ± {100 * error:.1f}' if error is not None else ''} %"


def _svhn(run: Run) -> tuple[Standing, str]:
    """How a statement on samples stands to the reference's: it has words and no numbers."""
    data = run.config.get("data", {}).get("name", "")
    return "not comparable", (
        "the reference gives no numbers" if data == "svhn" else "other data than the reference's"
    )


def _differs(fields: list[str]) -> str:
    shown = ", ".join(fields[:4])
    more = f" and {len(fields) - 4} more" if len(fields) > 4 else ""
    return f"the protocol differs in {shown}{more}"


_SAYINGS: tuple[Callable[[Run, Mapping[str, Any]], Finding | None], ...] = (
    _elbo,
    _likelihood,
    _latent_coordinates,
    _histogram,
    _distance,
    _coordinates,
    _dimension,
    _interpolation,
    _representation,
    _neighbours,
)
