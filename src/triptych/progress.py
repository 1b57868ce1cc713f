"""How long work says where it is: one small function, called now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from triptych.errors import printable

__all__ = ["Progress", "bars", "silent"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""``progress(what, done, total)``: `what` names the work and its unit; total 0 is unknown."""


def silent(what: str, done: int, total: int) -> None:
    """Say nothing."""


@contextmanager
def bars() -> Iterator[Progress]:
    """A `Progress` that draws a bar on standard error for each `what`, from its first call on.

    Example:
        >>> with bars() as progress:
        ...     progress("reading train (images)", 10, 10)
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    console = Console(stderr=True)
    drawn = Bars(console=console, transient=True, disable=not console.is_terminal)
    tasks: dict[str, TaskID] = {}

    def progress(what: str, done: int, total: int) -> None:
        if not tasks:
            drawn.start()
        if what not in tasks:
            # A name in it may look like markup, or be meant for the terminal.
            tasks[what] = drawn.add_task(escape(printable(what)))
        drawn.update(tasks[what], completed=done, total=total or None)

    try:
        yield progress
    finally:
        if tasks:
            drawn.stop()
