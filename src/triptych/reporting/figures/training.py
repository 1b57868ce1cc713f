"""The figure of any training: every logged term that no figure of its family shows."""

from __future__ import annotations

from matplotlib.figure import Figure

from triptych.reporting.figures.curves import draw_panel, key, titled
from triptych.reporting.figures.quantities import REST, panels
from triptych.reporting.figures.style import PAGE, Page, Words, wrapped
from triptych.reporting.words import setting
from triptych.runs import Run

__all__ = ["training_curves"]

COLUMNS = 3
TALL, ROOM = 34.0, 13.0
"""Millimetres of a panel's height, and of what is written above and below it."""

ACROSS = 44.0
"""Millimetres that a panel's title has, to the next panel or the edge of the page."""

LINE = 3.0
"""Millimetres from one line of a title to the next."""


def training_curves(run: Run) -> Figure | None:
    """A panel for each term that this run's other figures leave out, training and validation in one."""
    found = [panel for panel in panels(run) if panel.figure == REST]
    if not found:
        return None
    cut = any(panel.axis.cut for panel in found)
    words = Words("The training", setting(run, seed=True), _caption(run, cut))
    rows = -(-len(found) // COLUMNS)
    titles = [wrapped(titled(panel), ACROSS) for panel in found]
    more = LINE * max(len(title) - 1 for title in titles)
    page = Page(words, PAGE, rows * (TALL + ROOM + more) + 1.0)
    width = PAGE / COLUMNS - 15.0
    for place, panel in enumerate(found):
        row, column = divmod(place, COLUMNS)
        left = 12.0 + column * PAGE / COLUMNS
        up = (rows - 1 - row) * (TALL + ROOM + more) + 8.5
        axes = page.axes(left, up, width, TALL)
        draw_panel(axes, panel)
        axes.set_title("\n".join(titles[place]), parse_math=False)
        axes.set_xlabel("epoch", labelpad=1.0)
        key(axes, panel)
    return page.figure


def _caption(run: Run, cut: bool) -> str:
    about = run.method().about
    said = ["Training: means over the steps since the point before, while the weights move."]
    said += ["Values of the beginning reach beyond these axes."] * cut
    said += [f"Alarm at step {step:,}: {text}." for step, text in run.alarms()]
    return " ".join([*([about.rstrip(".") + "."] if about else []), *said])
