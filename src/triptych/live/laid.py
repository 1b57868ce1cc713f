"""The charts of several runs that a reader has chosen, laid over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from triptych.metrics import SPLITS
from triptych.reporting.figures.panels import Panel
from triptych.reporting.parts.charts import Chart, plot

__all__ = ["laid_over"]

PREFERRED = ("valid", "test", "train")
"""Of which images the lines are: the first of these that all runs have."""

Panels = Mapping[str, Mapping[str, Panel]]
"""A run's panels of one line, as `quantities.single` gives them."""


def laid_over(runs: Sequence[tuple[str, Panels]]) -> list[Chart]:
    """One chart for each term that any of the runs has, with a line a run, and the levels that all of these lines share."""
    every: dict[str, dict[int, Mapping[str, Panel]]] = {}
    for place, (_, terms) in enumerate(runs):
        for term, panels in terms.items():
            every.setdefault(term, {})[place] = panels
    return [_joined(of, [name for name, _ in runs]) for of in every.values()]


def _joined(of: Mapping[int, Mapping[str, Panel]], names: Sequence[str]) -> Chart:
    shown = dict(zip(of, _of_one_split(list(of.values())), strict=True))
    splits = {
        place: SPLITS.get(metric.partition("/")[0], "") for place, (metric, _) in shown.items()
    }
    mixed = len(set(splits.values())) > 1
    # A run has one look in all charts.
    lines = [
        replace(
            panel.lines[0],
            name=f"{names[place]}, {splits[place]}" if mixed else names[place],
            number=place,
        )
        for place, (_, panel) in shown.items()
    ]
    first, *others = [panel for _, panel in shown.values()]
    # What all are held against: raw pixels of the same images, say.
    levels = [level for level in first.levels if all(level in other.levels for other in others)]
    split = "" if mixed else next(iter(splits.values()))
    title = f"{first.title}, {split} images" if split else first.title
    return plot(replace(first, title=title, lines=lines, levels=[] if mixed else levels))


def _of_one_split(runs: Sequence[Mapping[str, Panel]]) -> list[tuple[str, Panel]]:
    """Metric and panel of every run: of the split that all have, else of each the one that is preferred."""

    def rank(metric: str) -> int:
        split = metric.partition("/")[0]
        return PREFERRED.index(split) if split in PREFERRED else len(PREFERRED)

    shared = set(runs[0]).intersection(*runs)
    found = [min(shared or panels, key=rank) for panels in runs]
    return [(metric, panels[metric]) for metric, panels in zip(found, runs, strict=True)]
