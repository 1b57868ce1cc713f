"""What the command line prints: names, notes and reasons are somebody else's, and no terminal may obey them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from triptych.errors import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

__all__ = ["cell", "say", "show"]


WIDE = 5000
"""Characters of a line that no window holds."""


def say(text: str, *, aside: bool = False) -> None:
    r"""Print lines to standard output, or ``aside`` to standard error at once.

    Example:
        >>> say("figure    \x1b[2Ja.png\nfigure    b.png")
        figure    \x1b[2Ja.png
        figure    b.png
    """
    lines = "\n".join(map(printable, text.split("\n")))
    print(lines, file=sys.stderr if aside else sys.stdout, flush=aside)


def cell(text: str) -> Text:
    """A text for a table of rich's, in which ``[red]`` is a name like any other.

    Example:
        >>> cell("[/x]").plain
        '[/x]'
    """
    from rich.text import Text

    return Text(printable(text))


def show(table: Table) -> None:
    """Print a table; where its reader has gone, as ``head`` does, that is a `BrokenPipeError` as for all else."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    # Where no window is, a line a row, for grep and the like.
    console = Plain()
    console = console if console.is_terminal else Plain(width=WIDE)
    console.print(table)
