"""Which numbers of a run's log are drawn together, and what they are held against: every number in one panel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from triptych.metrics import SPLITS, metric
from triptych.reporting import looks
from triptych.reporting.figures.panels import Curve, Level, Line, Panel
from triptych.runs import Run

__all__ = [
    "REST",
    "UNTRAINED",
    "known",
    "levels",
    "loss_met",
    "panels",
    "scaled",
    "single",
    "slug",
    "terms",
]

UNSHOWN = ("knn/k", "knn/bank", "samples/healthy_step")
"""Logged numbers that are no measure of anything."""

CHANCE = "chance"
"""The level that is the same on every split."""

UNTRAINED = "untrained"
"""The level of the same network before its first step: another method's is another."""

BASELINE = "floor/"
"""How names of what needs no training begin in a log."""


class Quantity(NamedTuple):
    """The metrics that one panel shows, and what is known of them beforehand."""

    name: str
    metrics: tuple[str, ...]
    reach: tuple[float, ...] = ()
    level: Level | None = None
    title: str = ""
    """Where it is not that of the last metric."""
    log: bool = False


class Family(NamedTuple):
    """Quantities that one figure shows of a run that logged any of what it ``needs``."""

    figure: str
    needs: tuple[str, ...]
    quantities: tuple[Quantity, ...]


FAMILIES = (
    Family(
        "elbo-curve",
        ("train/elbo", "valid/elbo"),
        (
            Quantity("elbo", ("train/elbo", "valid/elbo")),
            Quantity("reconstruction", ("train/reconstruction", "valid/reconstruction")),
            Quantity("kl", ("train/kl", "valid/kl")),
        ),
    ),
    Family(
        "critic-curves",
        ("train/critic_gap",),
        (
            Quantity("critic-gap", ("train/critic_gap", "valid/critic_gap"), (0.0,)),
            Quantity("critic-memory", ("valid/critic_memory",), (0.0,)),
            Quantity("gradient-norm", ("train/gradient_norm",), (0.0,)),
            Quantity("penalty", ("train/penalty",), (0.0,)),
            Quantity("diversity", ("samples/diversity",), (0.0,), Level("real images", 1.0)),
            Quantity("frechet-untrained", ("valid/frechet_untrained",), (0.0,)),
            Quantity("critic-loss", ("train/critic_loss",), (0.0,)),
            Quantity("real-score", ("train/real_score",)),
            Quantity("fake-score", ("train/fake_score",)),
            Quantity("r1", ("train/r1",), (0.0,)),
            Quantity("r2", ("train/r2",), (0.0,)),
            # Nothing can be read off it, and the figure says so: a chart has it for who looks for it.
            Quantity("generator-score", ("train/generator_score",)),
            Quantity("generator-loss", ("train/generator_loss",)),
        ),
    ),
    Family(
        "representation-curves",
        ("features/std",),
        (
            Quantity("test-knn-top1", ("test/knn_top1", "valid/knn_top1")),
            Quantity("train-loss", ("train/loss", "valid/loss")),
            Quantity("features-std", ("features/std",), (0.0,), Level("evenly spread", 1.0)),
            Quantity(
                "rank",
                ("features/effective_rank", "features/backbone_rank"),
                title="effective rank (logarithmic)",
                log=True,
            ),
            Quantity(
                "alignment",
                ("features/alignment", "features/uniformity"),
                level=Level("collapse", 0.0),
                title="alignment and uniformity",
            ),
            Quantity("features-retrieval", ("features/retrieval",)),
            Quantity("knn-balanced", ("test/knn_balanced", "valid/knn_balanced")),
        ),
    ),
)
"""In the order in which a page has their charts; then come all other terms of a run."""

REST = "training-curves"
"""The figure of what no other figure shows."""

_NAMES = {
    "features/std": "projections",
    "features/effective_rank": "projections",
    "features/backbone_rank": "backbone",
    "features/retrieval": "trained",
}
"""What a line is called that belongs to no split, where its metric's title is too long."""


def terms(run: Run) -> dict[str, list[str]]:
    """The logged numbers: name without the split → the full names, one for each split, in the order of the log.

    Example:
        >>> run = Run.create(tmp_path / "logged", {})
        >>> run.log({"step": 1, "epoch": 1.0, "train/mmd": 0.2, "features/std": 0.9})
        >>> run.log({"step": 1, "epoch": 1.0, "valid/mmd": 0.3, "alarm": "none of these"})
        >>> terms(run)
        {'mmd': ['train/mmd', 'valid/mmd'], 'features/std': ['features/std']}
    """
    found: dict[str, list[str]] = {}
    for line in run.metrics():
        for name, value in line.items():
            if "/" not in name or name in UNSHOWN or name.startswith(BASELINE):
                continue
            if not isinstance(value, (int, float)):
                continue
            names = found.setdefault(_term(name), [])
            if name not in names:
                names.append(name)
    splits = list(SPLITS)

    def order(name: str) -> int:
        split = name.partition("/")[0]
        return splits.index(split) if split in splits else 0

    return {term: sorted(names, key=order) for term, names in found.items()}


def panels(run: Run) -> list[Panel]:
    """Every number that a run logged, each in one panel: those of the families first."""
    found = (_panel(run, quantity, figure) for quantity, figure in _quantities(run))
    return [panel for panel in found if panel is not None]


def single(run: Run) -> dict[str, dict[str, Panel]]:
    """The same numbers, in the same order, with one line in a panel: term → the panel of each metric of it.

    Titles and levels are those of that metric alone.

    Example:
        >>> run = Run.create(tmp_path / "logged", {})
        >>> run.log({"step": 1, "epoch": 1.0, "features/alignment": 0.2, "features/uniformity": -3.0})
        >>> run.log({"step": 1, "epoch": 1.0, "train/loss": 0.2, "valid/loss": 0.3})
        >>> {term: [*panels] for term, panels in single(run).items()}
        {'loss': ['train/loss', 'valid/loss'], 'features/alignment': ['features/alignment'], 'features/uniformity': ['features/uniformity']}
    """
    found: dict[str, dict[str, Panel]] = {}
    for quantity, figure in _quantities(run):
        for name in quantity.metrics:
            title = f"{metric(name).heading} (logarithmic)" if quantity.log else ""
            of = quantity._replace(name=slug(_term(name)), metrics=(name,), title=title)
            if (panel := _panel(run, of, figure)) is not None:
                found.setdefault(_term(name), {})[name] = panel
    return found


def _quantities(run: Run) -> Iterator[tuple[Quantity, str]]:
    """What a run's panels show, and the figure for papers that shows the same."""
    left = terms(run)
    there = {name for names in left.values() for name in names}
    for family in FAMILIES:
        figure = family.figure if there.intersection(family.needs) else REST
        for quantity in family.quantities:
            # A split that the family does not know is drawn with the others.
            logged = [n for name in quantity.metrics for n in left.pop(_term(name), [])]
            metrics = tuple(n for n in dict.fromkeys([*quantity.metrics, *logged]) if n in there)
            yield quantity._replace(metrics=metrics), figure
    for term, names in left.items():
        yield Quantity(slug(term), tuple(names)), REST


def _term(name: str) -> str:
    """A metric's name without its split."""
    split, _, short = name.partition("/")
    return short if split in SPLITS else name


def _panel(run: Run, quantity: Quantity, figure: str) -> Panel | None:
    lines = _lines(run, quantity.metrics)
    if not lines:
        return None
    # What is measured is declared more often than what a method logs of its objective.
    declared, names = metric(list(lines)[-1]), list(lines)
    about = known(run, names[0]) or quantity
    held = [about.level] if about.level else []
    return Panel(
        quantity.name,
        quantity.title or declared.heading,
        list(lines.values()),
        [*held, *levels(run, names)],
        about.reach,
        declared.unit,
        quantity.log,
        figure,
    )


def known(run: Run, name: str) -> Quantity | None:
    """What is known beforehand of a metric: where its axis reaches to, and what it is held against."""
    wanted = (q for family in FAMILIES for q in family.quantities if name in q.metrics)
    found = next(wanted, None)
    if found is None:
        return None
    if found.name == "gradient-norm" and "LipschitzCritic" in run.method().can:
        return found._replace(level=Level("as promised", 1.0))
    if found.name == "train-loss" and (met := loss_met(run)) is not None:
        return found._replace(reach=(met, 0.0))
    return found


def loss_met(run: Run) -> float | None:
    """The loss at which predictions equal targets: −1 or 1 where the method declares its loss as a cosine, else none."""
    told = run.environment().get("method")
    cosine = told.get("cosine") if isinstance(told, dict) else None
    return {"-loss": -1.0, "loss": 1.0}.get(str(cosine))


def _lines(run: Run, names: Sequence[str]) -> dict[str, Line]:
    """A line for each metric that was logged."""
    lines: dict[str, Line] = {}
    own = [looks.MEASURED, looks.BESIDE]
    for name in names:
        epochs, values = scaled(run, name)
        split = name.partition("/")[0]
        if epochs:
            look = looks.SPLITS[split] if split in SPLITS else own.pop(0)
            lines[name] = Line(_called(name), epochs, values, look)
    return lines


def _called(name: str) -> str:
    """The name of a line: its split, or else what is measured."""
    split = name.partition("/")[0]
    return SPLITS[split] if split in SPLITS else _NAMES.get(name, metric(name).title)


def slug(name: str) -> str:
    """A metric's name as that of a panel.

    Example:
        >>> slug("test/knn_top1")
        'test-knn-top1'
    """
    return name.replace("/", "-").replace("_", "-")


def scaled(run: Run, name: str) -> Curve:
    """The points of a metric that are numbers, in the unit in which it is read."""
    scale = metric(name).scale
    epochs, values = finite(*run.curve(name))
    return epochs, [scale * value for value in values]


def finite(epochs: Sequence[float], values: Sequence[float]) -> Curve:
    """The points that are numbers: a run that diverged logs others."""
    points = [
        (e, v)
        for e, v in zip(epochs, values, strict=True)
        if isinstance(v, (int, float)) and math.isfinite(v) and math.isfinite(e)
    ]
    return [p[0] for p in points], [p[1] for p in points]


def levels(run: Run, names: Sequence[str]) -> list[Level]:
    """What needs no training, measured as the first of these metrics for which it is known.

    The same network before its first step, of what is a share; raw pixels; and chance, of classes. Beside lines of
    several splits a level says of which one it is.
    """
    several = len({name.partition("/")[0] for name in names} & {*SPLITS}) > 1
    found = []
    for level, ways in _WAYS.items():
        values = (
            (value, name.partition("/")[0])
            for name in names
            for way in ways
            if (value := way(run, name)) is not None and math.isfinite(value)
        )
        first = next(values, None)
        if first is not None:
            measured, split = first
            of = f", {SPLITS[split]}" if several and split in SPLITS and level != CHANCE else ""
            found.append(Level(f"{level}{of}", measured))
    return found


def _at_first(run: Run, name: str) -> float | None:
    """The first look of a share at a network that had not been trained."""
    if metric(name).unit != "%":
        return None
    epochs, values = scaled(run, name)
    return values[0] if epochs[:1] == [0] else None


def _pixels(run: Run, name: str) -> float | None:
    """What raw pixels reach; a name without a split is of the test images."""
    split, _, term = name.partition("/")
    keys = [f"{BASELINE}pixels_{term}_{split}"]
    keys += [f"{BASELINE}pixels_{term}"] if split == "test" else []
    logged = [value for key in keys for value in finite(*run.curve(key))[1]]
    return metric(name).scale * logged[0] if logged else None


def _chance(run: Run, name: str) -> float | None:
    if name.partition("/")[2] not in ("knn_top1", "knn_balanced"):
        return None
    arrays = run.arrays("neighbours")
    return 100.0 / len(arrays["classes"]) if arrays is not None and "classes" in arrays else None


def _measured(end: str) -> Callable[[Run, str], float | None]:
    """What an evaluation measured as the baseline of a metric."""

    def value(run: Run, name: str) -> float | None:
        found = run.results().get(f"{name}{end}", {}).get("value")
        return metric(name).scale * found if isinstance(found, (int, float)) else None

    return value


_WAYS: Mapping[str, tuple[Callable[[Run, str], float | None], ...]] = {
    UNTRAINED: (_at_first, _measured("_untrained")),
    "raw pixels": (_pixels, _measured("_pixels")),
    CHANCE: (_chance,),
}
