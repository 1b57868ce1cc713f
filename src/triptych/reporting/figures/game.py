"""The figures of a game: the same latents over its training, the curves that say how it goes, and how steep the critic is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from triptych.reporting.figures.curves import draw_panel, key
from triptych.reporting.figures.quantities import panels
from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import (
    COLUMN,
    INK,
    MEASURED,
    PAGE,
    TRAINED,
    Page,
    Words,
)
from triptych.reporting.words import setting, signed
from triptych.runs import Run

__all__ = ["critic_curves", "filmstrip", "lipschitz"]

ACROSS = 16
"""Latents in a strip."""

PLACES = {
    **{"critic-gap": (0, 0), "critic-memory": (0, 1), "gradient-norm": (1, 0)},
    **{"penalty": (1, 1), "diversity": (2, 0), "frechet-untrained": (2, 1)},
    **{"critic-loss": (3, 0), "r1": (3, 1), "real-score": (4, 0), "fake-score": (4, 1)},
    **{"r2": (5, 0)},
}
"""Row and column of every panel."""

TALL, ROOM, WIDE = 31.0, 11.5, 65.0
"""Millimetres of a panel's height, of what is written above and below it, and of its width."""


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
    """The critic's gap and slope, the diversity of the samples and a rough distance to the images, over the training."""
    found = [p for p in panels(run) if p.figure == "critic-curves" and p.name in PLACES]
    if not _is_game(run) or not found:
        return None
    cut = any(panel.axis.cut for panel in found)
    words = Words("The game over the training", setting(run, seed=True), _caption(run, cut))
    rows = sorted({PLACES[panel.name][0] for panel in found})
    page = Page(words, PAGE, len(rows) * (TALL + ROOM) + 3.5)
    steps = {entry["step"]: entry["epoch"] for entry in run.metrics()}
    alarms = [steps[since] for since, _ in run.alarms() if since in steps]
    for panel in found:
        row, column = PLACES[panel.name]
        up = (len(rows) - 1 - rows.index(row)) * (TALL + ROOM) + 8.5
        axes = page.axes(14.0 + column * 88.0, up, WIDE, TALL)
        draw_panel(axes, panel, alarms)
        key(axes, panel)
        axes.set_xlabel("epoch", labelpad=1.0)
    return page.figure


def _is_game(run: Run) -> bool:
    """Whether a critic was trained with the generator: another method that draws samples takes plain steps."""
    return bool(run.curve("train/critic_gap")[0])


def _held(run: Run) -> bool:
    """Whether the critic promises how steep it is at most; of others the gap is no distance."""
    return "LipschitzCritic" in run.method().can


def _steps_are(run: Run) -> str:
    return "updates of the generator" if _is_game(run) else "steps"


def _caption(run: Run, cut: bool) -> str:
    said = []
    slopes = run.curve("train/penalty")[0] and run.curve("train/gradient_norm")[0]
    if run.curve("train/critic_loss")[0]:
        said.append(
            "How to read it: the loss of the critic says how well it tells images from samples, not how good the samples "
            "are. It may stay where it is while they improve; near 0 the critic is sure, and the generator learns little. "
            "The gap of its scores is no distance."
        )
    elif _held(run) and slopes:
        # Of a critic whose slope is not held at 1 the gap is no distance.
        said.append(
            "How to read it: the gap estimates the Wasserstein distance (in units of images in [−1, 1]; a little "
            "above it for the best critic, whose slope may exceed 1, below it for one that learns): it should fall "
            "and flatten while the samples improve. Compare the shapes of its two curves, not their levels: in "
            "validation the generator is in eval mode, and averaged where it is. The generator's own loss means "
            "nothing and is not shown. Far above a slope of 1 (dashed) the gap is no distance. The penalty is shown without its weight."
        )
    said += [
        "Diversity: median distance to the nearest other sample over random features, 1 for real images.",
        *(["Values of the beginning reach beyond these axes."] * cut),
    ]
    if run.curve("valid/critic_memory")[0]:
        said.append(
            "The gap between training and validation images is 0 for a critic that does not remember its images, "
            "and grows as it does."
        )
    for step, text in run.alarms():
        said.append(f"Alarm at step {step:,} (dotted): {text}.")
    final = run.curve("train/critic_gap")[1][-1]
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
