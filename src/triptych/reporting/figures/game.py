"""The figures of a game in training: the same latents over time, and the curves that say how it goes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import GREY, INK, MEASURED, PAGE, TRAINED, Page, Words
from triptych.reporting.words import setting, signed
from triptych.runs import Run

__all__ = ["critic_curves", "filmstrip"]

ACROSS = 16
"""Latents in a strip."""

NOISE = 0.02
"""Share of the training whose values may lie outside the axes: the first updates would flatten the rest."""


def filmstrip(run: Run) -> Figure | None:
    """The samples of the same latents at log-spaced moments of the training, one row a moment."""
    moments = run.moments()
    if not moments:
        return None
    images = next(iter(moments.values()))
    grid = Grid((len(moments), min(ACROSS, len(images))), images.shape[2:])
    tiles = [
        # A copy: a view would hold the whole moment in memory.
        Tile(row, column, image.copy())
        for row, images in enumerate(moments.values())
        for column, image in enumerate(images[:ACROSS])
    ]
    words = Words(
        "The same latents over the training",
        setting(run, seed=True),
        "Each column is one draw of z from N(0, I), the first that were drawn; rows are log-spaced "
        f"moments of the training, counted in {_steps_are(run)}. samples/moments/ has 64 latents of each.",
    )
    unit = "update" if _is_game(run) else "step"
    rows = [Label(row, f"{step:,} {unit}" + "s" * (step != 1)) for row, step in enumerate(moments)]
    return draw_sheet(words, grid, tiles, PAGE, rows, margin=22.0)


def critic_curves(run: Run) -> Figure | None:
    """Critic gap, gradient norm with penalty, diversity and a rough distance to the images, over the updates."""
    gap = _steps(run, "train/critic_gap")
    if not gap[0]:
        return None
    words = Words("The game over the training", setting(run, seed=True), _caption(run))
    page = Page(words, PAGE, 88.0)
    left, right = 13.0, 101.0
    first = page.axes(left, 51.0, 63.0, 31.0)
    _draw(first, gap, TRAINED, "training images")
    _draw(first, _steps(run, "valid/critic_gap"), MEASURED, "validation images")
    _draw(first, _steps(run, "valid/critic_memory"), GREY, "f(training) − f(validation)")
    first.set_title("critic gap, E f(images) − E f(samples)")
    slope = page.axes(right, 51.0, 63.0, 31.0)
    _draw(slope, _steps(run, "train/gradient_norm"), TRAINED, "mean ‖∇f(x̂)‖")
    _draw(slope, _steps(run, "train/penalty"), GREY, "penalty, without its weight")
    slope.axhline(1.0, color=INK, linestyle="--", linewidth=0.8)
    slope.set_title("slope of the critic between images and samples")
    diversity = page.axes(left, 8.5, 63.0, 31.0)
    _draw(diversity, _steps(run, "samples/diversity"), MEASURED, "64 watched samples")
    diversity.axhline(1.0, color=INK, linestyle="--", linewidth=0.8)
    diversity.set_title("diversity, relative to real images")
    distance = page.axes(right, 8.5, 63.0, 31.0)
    _draw(distance, _steps(run, "valid/frechet_untrained"), MEASURED, "validation images")
    distance.set_title("Fréchet distance over random features")
    for axes in page.figure.axes:
        axes.set_xlim(0, gap[0][-1])
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(loc="best")
        for step, _ in run.alarms():
            axes.axvline(step, color=TRAINED, linestyle=":", linewidth=1.2)
    for axes in (diversity, distance):
        axes.set_xlabel("updates of the generator")
    return page.figure


def _is_game(run: Run) -> bool:
    """Whether a critic was trained beside the generator: another method that draws samples takes plain steps."""
    return bool(run.curve("train/critic_gap")[0])


def _steps_are(run: Run) -> str:
    return "updates of the generator" if _is_game(run) else "steps"


def _steps(run: Run, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a logged term, without the first noise."""
    metrics = run.metrics()
    begin = NOISE * max((entry["step"] for entry in metrics), default=0)
    points = [(e["step"], e[name]) for e in metrics if name in e and e["step"] >= begin]
    return [p[0] for p in points], [p[1] for p in points]


def _draw(
    axes: Axes, curve: tuple[Sequence[float], Sequence[float]], colour: str, label: str
) -> None:
    if curve[0]:
        mark = "o" if len(curve[0]) <= 40 else ""
        axes.plot(*curve, color=colour, label=label, marker=mark, markersize=2.2)


def _caption(run: Run) -> str:
    said = []
    if run.curve("train/penalty")[0] and run.curve("train/gradient_norm")[0]:
        # Of a critic whose slope is not held at 1 the gap is no distance.
        said.append(
            "How to read it: the gap estimates the Wasserstein distance (in units of images in [−1, 1]; a little "
            "above it for the best critic, whose slope may exceed 1, below it for one that learns): it should fall "
            "and flatten while the samples improve. Compare the shapes of its two curves, not their levels: in "
            "validation the generator is in eval mode, and averaged where it is. The generator's own loss means "
            "nothing and is not shown. Far above a slope of 1 (dashed) the gap is no distance."
        )
    said += [
        "Diversity: median distance to the nearest other sample over random features, 1 for real images.",
        "The first fiftieth of the training is left out.",
    ]
    if _steps(run, "valid/critic_memory")[0]:
        said.append(
            "Grey: 0 for a critic that does not remember its images, and it grows as it does."
        )
    for step, text in run.alarms():
        said.append(f"Alarm at step {step:,} (dotted): {text}.")
    final = _steps(run, "train/critic_gap")[1][-1]
    said.append(f"Gap at the end: {signed(final)}.")
    return " ".join(said)
