"""How far a reproduction is: all panels at once where somebody watches, a line a milestone where nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from triptych.cli.say import say
from triptych.cli.study import time_left

if TYPE_CHECKING:
    from rich.table import Table

    from triptych.reproduction.board import Board, Panel, Show

__all__ = ["panels_display"]

WIDTH = 28
"""Columns of a bar."""

STYLES = {
    "training": "bold",
    "measuring": "bold",
    "drawing": "bold",
    "writing": "bold",
    "failed": "red",
    "stuck": "red",
    "done": "",
}
"""How a panel is shown in each state; one that waits for its turn is dim."""

TOLD = ("failed", "stuck", "put back")
"""States of which the reason is said."""


@contextmanager
def panels_display() -> Iterator[Show]:
    """A `Show` on standard error."""
    from rich.console import Console, Group
    from rich.live import Live

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Milestones()
        return
    boards: list[Board] = []

    def picture() -> Group:
        # Asked twice a second, so that the time left goes down while nothing else changes.
        return Group(*(table(board) for board in boards))

    with Live(console=console, get_renderable=picture, refresh_per_second=2):
        yield lambda board: boards.__setitem__(slice(None), [board])


class Milestones:
    """Prints each panel once for every state that it comes to."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def __call__(self, board: Board) -> None:
        """Say what is new."""
        for panel in board.panels.values():
            for shown in (panel, *panel.runs):
                if shown.state not in ("waiting", self.said.get(shown.name)):
                    self.said[shown.name] = shown.state
                    say(line(shown, board.left()), aside=True)


def line(panel: Panel, left: float) -> str:
    """One milestone, in words.

    Example:
        >>> from triptych.reproduction.board import Panel
        >>> line(Panel("first", "measuring", 1.0, "loss −0.9000"), 200.0)
        'first: measuring; loss −0.9000, 0:03:20 left'
    """
    reason = panel.reason if panel.state in TOLD else ""
    parts = [part for part in (reason, panel.latest, time_left(left)) if part]
    return f"{panel.name}: {panel.state}{'; ' if parts else ''}{', '.join(parts)}"


def table(board: Board) -> Table:
    """All panels, each with its bar, and the runs of a study below it."""
    from rich.table import Table

    left = time_left(board.left())
    caption = f"\nabout {left}" if left else "\nnearly done"
    grid = Table.grid(padding=(0, 2), pad_edge=True)
    grid.caption, grid.caption_justify, grid.caption_style = caption, "left", "dim"
    for panel in board.panels.values():
        _row(grid, panel, panel.name)
        for run in panel.runs:
            _row(grid, run, f"  {run.name}")
    return grid


def _row(grid: Table, panel: Panel, name: str) -> None:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    bar = ProgressBar(total=1.0, completed=panel.share, width=WIDTH)
    said = panel.reason if panel.state in TOLD else panel.latest
    style = STYLES.get(panel.state, "dim")
    # The reason of a failure is said in full at the end; here it would push the others about.
    short = Text(said, no_wrap=True, overflow="ellipsis")
    grid.add_row(Text(name), bar, Text(panel.state), short, style=style)
