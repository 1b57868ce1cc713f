"""The figures made of images: reconstructions, samples, traversals, interpolations."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from triptych.reporting.figures.sheet import Grid, Label, Tile, draw_sheet
from triptych.reporting.figures.style import COLUMN, PAGE, Words
from triptych.reporting.words import look, setting, signed
from triptych.runs import Run

__all__ = ["interpolation", "reconstructions", "samples", "traversal"]


def reconstructions(run: Run) -> Figure | None:
    """Up to 20 images above what the model makes of them."""
    arrays = run.arrays("reconstructions")
    if arrays is None:
        return None
    pairs = list(zip(arrays["originals"][:20], arrays["reconstructions"][:20], strict=True))
    columns = min(10, len(pairs))
    bands = -(-len(pairs) // columns)
    grid = Grid((2 * bands, columns), pairs[0][0].shape[1:], row_gaps=_between_pairs(bands))
    tiles = [
        Tile(2 * (i // columns) + row, i % columns, image)
        for i, pair in enumerate(pairs)
        for row, image in enumerate(pair)
    ]
    rows = [Label(row, name) for row, name in enumerate(("original", "reconstruction") * bands)]
    words = Words(
        "Originals above their reconstructions",
        setting(run, *look(run)),
        "Images spread evenly over the split, not chosen; each is encoded to the mean of q(z|x) and "
        "decoded to the mean of p(x|z).",
    )
    return draw_sheet(words, grid, tiles, PAGE, rows=rows, margin=20.5)


def samples(run: Run) -> Figure | None:
    """The first 64 samples, eight in a row."""
    arrays = run.arrays("samples")
    if arrays is None:
        return None
    images = arrays["images"][:64]
    columns = min(8, len(images))
    grid = Grid((-(-len(images) // columns), columns), images.shape[2:])
    tiles = [Tile(i // columns, i % columns, image) for i, image in enumerate(images)]
    likelihood = run.config.get("method", {}).get("likelihood")
    shown = "; shown is the mean of p(x|z)" if likelihood else ""
    words = Words(
        "Samples",
        setting(run, weights=look(run)[1]),
        f"The first {len(images)} draws of z from the prior N(0, I), not chosen{shown}.",
    )
    return draw_sheet(words, grid, tiles, COLUMN)


def traversal(run: Run) -> Figure | None:
    """One image while each of the most active coordinates moves through the prior."""
    arrays = run.arrays("traversal")
    if arrays is None:
        return None
    images = arrays["images"]
    grid = Grid(images.shape[:2], images.shape[3:])
    tiles = [Tile(i, j, images[i, j]) for i, j in np.ndindex(*images.shape[:2])]
    rows = [
        Label(i, f"$z_{{{coordinate}}}$, KL {kl:.2f} nats")
        for i, (coordinate, kl) in enumerate(
            zip(arrays["coordinates"].tolist(), arrays["kl"].tolist(), strict=True)
        )
    ]
    columns = [Label(j, _offset(value)) for j, value in enumerate(arrays["values"].tolist())]
    words = Words(
        "What the most active latent coordinates carry",
        setting(run, *look(run)),
        "Every row decodes the latent mean of the same image with one coordinate set to the value above; "
        "KL is the mean over the split of that coordinate's divergence from the prior.",
    )
    heading = "value of the coordinate, in standard deviations of the prior"
    return draw_sheet(words, grid, tiles, PAGE, rows, columns, margin=24.0, heading=heading)


def _offset(value: float) -> str:
    # linspace passes through zero only nearly, and −0.0 is no value to print.
    return "0" if abs(value) < 0.05 else ("+" if value > 0 else "") + signed(value, 1)


def interpolation(run: Run) -> Figure | None:
    """Pairs of images joined in latent space, above the same ends mixed in pixel space."""
    arrays = run.arrays("interpolation")
    if arrays is None:
        return None
    originals, ways = arrays["originals"], (arrays["latent"], arrays["pixel"])
    pairs, steps = ways[0].shape[:2]
    gaps = _between_pairs(pairs), {1: 0.8, steps + 1: 0.2}
    grid = Grid((2 * pairs, steps + 2), originals.shape[3:], *gaps)
    tiles = [
        Tile(2 * pair + row, step + 1, way[pair, step])
        for row, way in enumerate(ways)
        for pair, step in np.ndindex(pairs, steps)
    ]
    for pair, end in np.ndindex(pairs, 2):
        tiles.append(Tile(2 * pair + 0.5, end * (steps + 1), originals[pair, end]))
    rows = [Label(i, name, before=1) for i, name in enumerate(("latent", "pixel") * pairs)]
    columns = [Label(0, "original"), Label(steps + 1, "original")]
    columns += [Label(i + 1, f"{alpha:.2g}") for i, alpha in enumerate(arrays["alpha"].tolist())]
    words = Words(
        "From one image to another, in latent space and in pixel space",
        setting(run, *look(run)),
        "latent: decode((1−α) z₁ + α z₂); pixel: (1−α) decode(z₁) + α decode(z₂). Both rows begin and end "
        "in the same two reconstructions; the pairs are not chosen.",
    )
    return draw_sheet(words, grid, tiles, PAGE, rows, columns, heading="α")


def _between_pairs(count: int) -> dict[int, float]:
    """Wider gaps between pairs of rows."""
    return {2 * i: 0.2 for i in range(1, count)}
