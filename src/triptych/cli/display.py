"""How far a training is: a bar where somebody watches, a line an epoch where nobody does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from triptych.cli.say import cell, say
from triptych.reporting.words import number, plain
from triptych.training.loop import Display

__all__ = ["training_display"]


@contextmanager
def training_display(gauge: str) -> Iterator[Display]:
    """A `Display` on standard error that shows the value of ``gauge`` in training and validation."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps · {task.fields[latest]}"),
        TextColumn("·"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("train", latest=gauge, total=None)
    latest: dict[str, str] = {}

    def show(step: int, total: int, epoch: float, metrics: Mapping[str, float | str]) -> None:
        for part, word in (("train", gauge), ("valid", "valid")):
            value = metrics.get(f"{part}/{gauge}")
            if isinstance(value, float):
                latest[part] = f"{word} {number(value)}"
        bar.update(task, completed=step, total=total, latest=", ".join(latest.values()) or gauge)
        values = [
            f"{k} {number(v)}"
            for k, v in metrics.items()
            if isinstance(v, float) and not k.startswith("train/")
        ]
        if values and not console.is_terminal:
            say(
                f"step {step:,} of {total:,}, epoch {plain(epoch, 2)}: {', '.join(values)}",
                aside=True,
            )
        if "left_out" in metrics:
            console.print(f"left out: {metrics['left_out']}", highlight=False, markup=False)
        if "alarm" in metrics:
            console.print(cell(f"alarm: {metrics['alarm']}"), style="bold red")

    with bar:
        yield show
