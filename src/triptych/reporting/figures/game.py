"""The figures of a game: the same latents over its training, the curves that say how it goes, and how steep the critic is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import (
    COLUMN,
    GREY,
    INK,
    MEASURED,
    PAGE,
    TRAINED,
    Page,
    Words,
)
from triptych.reporting.words import setting, signed
from triptych.runs import Run

__all__ = ["critic_curves", "filmstrip", "lipschitz", "shown"]

ACROSS = 16
"""Latents in a strip."""

NOISE = 0.02
"""Share of the training whose values may lie outside the axes: the first updates would flatten the rest."""


SHOWN = (
    *("train/critic_gap", "valid/critic_gap", "valid/critic_memory"),
    *("train/gradient_norm", "train/penalty", "valid/frechet_untrained"),
    # Nothing can be read off it, and `critic_curves` says so.
    "train/generator_score",
)


def shown(logged: Mapping[str, Collection[str]]) -> set[str]:
    """The terms that `critic_curves` shows or leaves out on purpose, given all that a run logged, by the name without the split."""
    slopes = set() if "gradient_norm" in logged else {"train/penalty"}
    return {*SHOWN} - slopes if "train/critic_gap" in logged.get("critic_gap", ()) else set()


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
    if run.curve("train/gradient_norm")[0]:
        slope = page.axes(right, 51.0, 63.0, 31.0)
        _draw(slope, _steps(run, "train/gradient_norm"), TRAINED, "mean ‖∇f(x̂)‖")
        _draw(slope, _steps(run, "train/penalty"), GREY, "penalty, without its weight")
        if _held(run):
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
    """Whether a critic was trained with the generator: another method that draws samples takes plain steps."""
    return bool(run.curve("train/critic_gap")[0])


def _held(run: Run) -> bool:
    """Whether the critic promises how steep it is at most; of others the gap is no distance."""
    return "LipschitzCritic" in run.method().can


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
    if _held(run) and run.curve("train/penalty")[0] and run.curve("train/gradient_norm")[0]:
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


Array = npt.NDArray[Any]

KINDS = {"train": "training images", "generated": "samples", "interpolated": "interpolated"}

ROW = 14.0
"""Millimetres from one kind of images to the next."""

BINS = 60


def lipschitz(run: Run) -> Figure | None:
    """Distributions of the norm of the critic's gradient in units of its constant, by kind of images, with the line at 1."""
    result, arrays = run.results().get("critic/gradient_norm"), run.arrays("gradient_norms")
    if result is None or arrays is None:
        return None
    table, protocol = result["value"], result["protocol"]
    most = protocol.get("lipschitz", 1)
    unit = "" if most == 1 else f", over the constant {most:g} that it promises"
    words = Words(
        f"Is the critic {most:g}-Lipschitz?",
        setting(run, weights=protocol["checkpoint"]),
        "Norm of the critic's gradient over all pixels of an image, per unit of the critic's scaled "
        f"images{unit}, with the standard error of the share above 1 (orange). Interpolated: one t for each "
        "pair of a training image and a sample; samples are those of evaluation, by the averaged generator "
        f"where there is one. A {most:g}-Lipschitz critic has no share above 1; having none here does not prove one.",
    )
    page = Page(words, COLUMN, ROW * len(table) + 8.0)
    edges = _edges(np.concatenate([arrays[kind] for kind in table]))
    for place, kind in enumerate(table):
        axes = page.axes(22.0, 8.0 + ROW * (len(table) - 1 - place), 61.0, ROW - 4.5)
        _histogram(axes, arrays[kind], edges)
        name = KINDS.get(kind, f"{kind} images")
        axes.text(-0.03, 0.4, name, transform=axes.transAxes, ha="right", va="center", color=INK)
        axes.set_title(_shares(table[kind]), fontsize=6.5, pad=1.5)
        if place < len(table) - 1:
            axes.tick_params(labelbottom=False)
    axes.set_xlabel("‖∇f‖")
    return page.figure


def _edges(norms: Array) -> Array:
    """Bins over all norms and 1, which is an edge: no bar is on both sides of it."""
    low, high = min(float(norms.min()), 1.0), max(float(norms.max()), 1.0)
    width = max(high - low, 0.1) / BINS
    below, above = np.floor((low - 1) / width) - 1, np.ceil((high - 1) / width) + 1
    return 1 + width * np.arange(below, above + 1)


def _histogram(axes: Axes, norms: Array, edges: Array) -> None:
    counts, _ = np.histogram(norms, edges)
    above = edges[:-1] >= 1 - 1e-9
    axes.stairs(np.where(above, 0, counts), edges, fill=True, color=MEASURED)
    axes.stairs(np.where(above, counts, 0), edges, fill=True, color=TRAINED)
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.grid(False)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(int(counts.max()), 1) * 1.05)


def _shares(row: Mapping[str, float]) -> str:
    share, stderr = 100 * row["share above 1"], 100 * row["stderr of share"]
    counted = f"{share:.1f} ± {stderr:.1f} %"
    # Of a share of 0 or 1 the binomial standard error is 0, which is not what is known of it.
    if share in (0, 100):
        counted = "all" if share else "none"
    return f"{counted} of {row['n']:,} above 1; largest {row['max']:.2f}"
