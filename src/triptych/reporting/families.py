"""The families of methods, by what a method can do: what a page calls each, and in which order it shows what.

A method of a family has all that the family shows first; then comes whatever else its run has the numbers for, so
that nothing that was measured is hidden. A method of no known family goes by its own name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from triptych.metrics import label, metric
from triptych.reporting.words import in_colour, value_with_error
from triptych.runs import MethodFacts, Run

__all__ = ["FAMILIES", "Family", "Headline", "family", "headline", "in_order", "titled"]

T = TypeVar("T")


class Family(NamedTuple):
    """What methods of one kind have in common on a page."""

    name: str
    title: str
    """As a heading begins."""
    idea: str
    """What all of them do, in a sentence for somebody who has never heard of it."""
    needs: str
    """The capability that makes a method one of the family: a protocol of `triptych.types`."""
    headline: tuple[str, ...]
    """What says most about a run: the first that it has stands on its card. Bits per dimension are for colour alone."""
    charts: tuple[str, ...]
    """Curves that stand on the card of a run that draws no samples: the first that it has."""
    figures: tuple[str, ...]
    findings: tuple[str, ...]
    sliders: tuple[str, ...]
    opens: tuple[str, ...]
    """What stands with the first finding, before anything is unfolded: the first that there is."""


FAMILIES = (
    Family(
        "likelihood",
        "A likelihood",
        "It learns how images come about from a few hidden numbers, by making the images that it was shown as "
        "probable as it can.",
        "HasLikelihood",
        ("test/bits_per_dimension", "test/log_likelihood", "test/elbo", "valid/elbo"),
        ("elbo",),
        (
            *("elbo-curve", "training-curves", "reconstructions", "samples", "traversal"),
            *("interpolation", "k-curve", "kl-per-dimension"),
        ),
        ("diverged", "elbo", "log_likelihood", "coordinates_in_use"),
        ("interpolation",),
        ("elbo",),
    ),
    Family(
        "game",
        "A game",
        "Two networks play against each other: a generator makes images out of random numbers, a critic tells them "
        "from real ones, and the generator learns from what gives it away.",
        "HasCritic",
        ("test/frechet", "samples/diversity"),
        ("diversity", "critic-gap"),
        (
            *("critic-curves", "training-curves", "filmstrip", "samples", "class-histogram"),
            *("coordinate-grids", "coordinates", "principal-directions", "principal-spectrum"),
            *("sample-interpolation", "scorecard", "lipschitz"),
        ),
        (
            *("diverged", "distance", "classes", "shifted_coordinates", "coordinates", "dimension"),
            *("latent_interpolation", "pixel_interpolation"),
        ),
        ("filmstrip", "shifts", "interpolation"),
        ("filmstrip-slider", "samples"),
    ),
    Family(
        "agreement",
        "An agreement",
        "It draws nothing: it learns features on which two altered copies of an image agree, without giving every "
        "image the same ones.",
        "Projects",
        ("test/knn_top1", "valid/knn_top1", "verdict", "features/retrieval"),
        ("test-knn-top1", "train-loss"),
        ("representation-curves", "training-curves", "feature-map", "neighbours"),
        ("diverged", "neighbours", "verdict"),
        (),
        ("test-knn-top1",),
    ),
)
"""In the order in which a reproduction has them; a method that is of several is of the first."""


def family(facts: MethodFacts) -> Family | None:
    """The family of a method, by what it can do; none for one that is of no known family.

    Example:
        >>> family(MethodFacts("iwae", "IWAE", "", frozenset({"HasLikelihood", "Decodes"}))).title
        'A likelihood'
        >>> family(MethodFacts("wae", "WAE", "", frozenset({"Decodes"}))) is None
        True
    """
    return next((found for found in FAMILIES if found.needs in facts.can), None)


def titled(facts: MethodFacts) -> str:
    """The heading of a run's page.

    Example:
        >>> titled(MethodFacts("iwae", "importance-weighted autoencoder", "", frozenset({"HasLikelihood"})))
        'A likelihood: importance-weighted autoencoder'
        >>> titled(MethodFacts("wae", "WAE", "", frozenset()))
        'WAE'
    """
    of, title = family(facts), facts.title or facts.name or "a run"
    return f"{of.title}: {title}" if of else title


def in_order(wanted: Iterable[str], known: Mapping[str, T]) -> dict[str, T]:
    """All that is known by its name, what is wanted first.

    Example:
        >>> in_order(["b"], {"a": 1, "b": 2, "c": 3})
        {'b': 2, 'a': 1, 'c': 3}
    """
    return {**{name: known[name] for name in wanted}, **known}


class Headline(NamedTuple):
    """The number that says most about a run, or its verdict where there are no labels that a number would need."""

    name: str
    value: float | str
    stderr: float | None
    logged: int | None = None
    """The step at which training logged it; none of a number that was measured."""
    aside: str = ""
    """What keeps a measured number from being one of the weights and images that the run is known by."""
    because: str = ""
    """Of a verdict what it rests on."""

    @property
    def shown(self) -> str:
        """The value as it is read.

        Example:
            >>> Headline("test/knn_top1", 0.7, 0.01).shown, Headline("verdict", "complete collapse", None).shown
            ('70.0 ± 1.0 %', 'Complete collapse')
        """
        if isinstance(self.value, str):
            return f"{self.value[:1].upper()}{self.value[1:]}"
        return value_with_error(self.name, self.value, self.stderr)

    @property
    def label(self) -> str:
        """What the value is, or of a verdict why, for a reader who has the value before it.

        Example:
            >>> Headline("test/elbo", -99.0, 0.3).label, Headline("test/knn_top1", 0.7, None, 30).label
            ('test ELBO, nats an image', 'test kNN top-1, in training at step 30')
        """
        unit = metric(self.name).unit
        where = "" if self.logged is None else f"in training at step {self.logged:,}"
        what = self.because or label(self.name)
        return ", ".join(p for p in (what, unit * (unit != "%"), where) if p)


def headline(run: Run) -> Headline | None:
    """Measured if it was, else as training logged it; of a method of no family the first validated term."""
    of, results, log = family(run.method()), run.results(), run.metrics()
    others = [name for known in FAMILIES for name in known.headline]
    for name in dict.fromkeys([*(of.headline if of else ()), *others, *_terms(log)]):
        result = results.get(name, {})
        value, protocol = result.get("value"), result.get("protocol", {})
        if name == "test/bits_per_dimension" and not in_colour(protocol):
            continue
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            aside, why = _aside(run, protocol), _because(result) if isinstance(value, str) else ""
            return Headline(name, value, result["stderr"], aside=aside, because=why)
        if (look := _at_the_weights(run, log, name)) is not None:
            return Headline(name, look[1], None, look[0])
    return None


def _because(result: Mapping[str, Any]) -> str:
    """Why, of a verdict: what its sentence says between the verdict and the numbers."""
    told = str(result.get("note", "")).partition(": ")[2]
    return told.partition(" (")[0].partition(";")[0].rstrip(".")


def _terms(log: list[dict[str, Any]]) -> list[str]:
    """The terms of an objective as they were logged, those of validation first."""
    names = dict.fromkeys(name for line in log for name, v in line.items() if isinstance(v, float))
    return [name for side in ("valid/", "train/") for name in names if name.startswith(side)]


def _aside(run: Run, protocol: Mapping[str, Any]) -> str:
    weights, other = run.chosen(), protocol.get("step")
    said = [f"of step {other:,}"] if weights and other not in (None, weights.step) else []
    said += ["on other images than trained on"] if "trained_on" in protocol else []
    said += [f"batch normalisation {protocol['batch_norm']}"] if "batch_norm" in protocol else []
    return ", ".join(said)


def _at_the_weights(
    run: Run, log: list[dict[str, Any]], name: str
) -> tuple[int, float | str] | None:
    """Step and value of a logged metric at the run's weights; where there is none there, at its last look that has one.

    What a run logged after it diverged is no number.
    """
    looks = [(line["step"], line[name]) for line in log if _is_value(name, line.get(name))]
    weights = run.chosen()
    there = [look for look in looks if weights is not None and look[0] == weights.step]
    found = (there or looks)[-1:]
    return found[0] if found else None


def _is_value(name: str, value: object) -> bool:
    """Whether a log has a verdict, or a number, under a name."""
    if name == "verdict":
        return isinstance(value, str)
    return isinstance(value, (int, float)) and math.isfinite(value)
