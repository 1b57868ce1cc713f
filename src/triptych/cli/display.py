"""How far a training is: a bar where somebody watches, a line an epoch where nobody does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from triptych.cli.say import cell, say
from triptych.reporting.words import number, plain
from triptych.training.loop import Display
from triptych.verbs.display import training_bar

__all__ = ["training_display"]


@contextmanager
def training_display(gauge: str) -> Iterator[Display]:
    """A `Display` on standard error: `training_bar`, what was left out and alarms, and validations where there is no bar."""
    from rich.console import Console

    console = Console(stderr=True)
    with training_bar(gauge) as draw:

        def show(step: int, total: int, epoch: float, metrics: Mapping[str, float | str]) -> None:
            draw(step, total, epoch, metrics)
            values = [
                f"{k} {number(v)}"
                for k, v in metrics.items()
                if isinstance(v, float) and not k.startswith("train/")
            ]
            if values and not console.is_terminal:
                where = f"step {step:,} of {total:,}, epoch {plain(epoch, 2)}"
                say(f"{where}: {', '.join(values)}", aside=True)
            if "left_out" in metrics:
                console.print(f"left out: {metrics['left_out']}", highlight=False, markup=False)
            if "alarm" in metrics:
                console.print(cell(f"alarm: {metrics['alarm']}"), style="bold red")

        yield show
