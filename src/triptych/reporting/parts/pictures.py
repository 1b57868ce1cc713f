"""Pictures of a run folder, made small enough to travel inside the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from triptych.reporting.figures.style import Drawing, body_as_svg
from triptych.reporting.parts.vector import as_url, for_page
from triptych.runs import Run

__all__ = [
    "Frame",
    "Frames",
    "Picture",
    "filmstrip",
    "inlined",
    "interpolation",
    "mosaic",
    "picture",
    "shifts",
]

Pixels = npt.NDArray[np.uint8]

SCALE = 140
"""CSS pixels an inch of a figure: type of seven points is read as one of ten."""

QUALITY = 82
SIDE = 8
"""Samples along the edge of a sheet that was kept in training."""
FAR = 10.0
"""ε of the shifts that are shown first, or the largest below."""


@dataclass(frozen=True)
class Picture:
    """A figure: its name, what it says around its body, and the body as a URL that holds all its bytes."""

    name: str
    title: str
    protocol: str
    caption: str
    url: str
    width: int
    height: int
    """CSS pixels that it is shown at: narrow figures are not blown up to the page's width."""
    sheet: bool
    """Whether it shows images, which stay whole on a narrow screen."""
    svg: str
    """The body as a file for papers."""
    figure: Drawing
    """As it was drawn, to be saved in other formats."""


@dataclass(frozen=True)
class Frame:
    """One moment of a slider."""

    label: str
    url: str


@dataclass(frozen=True)
class Frames:
    """Pictures of one size among which a slider chooses."""

    name: str
    title: str
    caption: str
    label: str
    """What the slider moves."""
    frames: list[Frame]
    width: int
    height: int
    shown: int
    """The frame that is seen before anybody moves the slider, and on paper."""
    rows: list[str] = field(default_factory=list)
    """What stands beside each row of a picture; nothing where rows mean nothing."""
    plays: bool = False
    """Whether the frames are moments, one after the other, that a button plays."""


def picture(figure: Figure, name: str) -> Picture:
    """A figure as the page shows it: its words are the page's, and the picture carries the body alone."""
    if not isinstance(figure, Drawing):
        raise TypeError(f"the figure {name} was not drawn on a Page")
    svg = body_as_svg(figure)
    width, height = (round(length * SCALE) for length in figure.body.size)
    url = as_url(for_page(svg, inlined))
    return Picture(name, *figure.words, url, width, height, figure.sheet, svg, figure)


def inlined(image: Image.Image, quality: int | None = None) -> str:
    """A ``data:`` URL of WebP, without loss unless a quality is given."""
    out = BytesIO()
    if quality is None:
        image.save(out, "WEBP", lossless=True, method=4)
    else:
        image.save(out, "WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode('ascii')}"


def filmstrip(run: Run) -> Frames | None:
    """The same latents over the training, begun in its middle: moments are denser where there is only noise."""
    moments = run.moments(SIDE)
    if len(moments) < 2:
        return None
    steps = list(moments)
    middle = min(range(len(steps)), key=lambda i: abs(steps[i] - steps[-1] / 2))
    sheets = ((f"step {step:,}", _sheet(images, SIDE)) for step, images in moments.items())
    strip = _frames(
        "filmstrip-slider",
        "Samples over the training",
        f"The same {SIDE * SIDE} latents at every moment that was kept.",
        "moment of the training",
        sheets,
        middle,
    )
    return replace(strip, plays=True)


def shifts(run: Run) -> Frames | None:
    """Latents with one coordinate shifted by ε."""
    arrays = run.arrays("coordinates")
    if arrays is None or "images" not in arrays:
        return None
    images, names, reached = arrays["images"], arrays["coordinates"], arrays["shifts"].tolist()
    sheets = {
        f"ε = {epsilon:g}": _sheet(images[:, place].reshape(-1, *images.shape[3:]), images.shape[2])
        for place, epsilon in enumerate(reached)
    }
    # Further out the shift outweighs all else, and every latent gives one picture; nearer little moves.
    near = [place for place, epsilon in enumerate(reached) if epsilon <= FAR]
    return _frames(
        "shift-slider",
        "One latent coordinate shifted by ε",
        "In each row another coordinate, numbered from 0, is shifted; in each column the latent is the same otherwise. "
        "ε is in standard deviations of the prior.",
        "shift",
        sheets.items(),
        near[-1] if near else 0,
        [f"coordinate {name}" for name in names.tolist()],
    )


def interpolation(run: Run) -> Frames | None:
    """Interpolates in latent space above those of pixels, at one α after the other."""
    arrays = run.arrays("sample_interpolation") or run.arrays("interpolation")
    if arrays is None:
        return None
    # A decoder joins encoded images, a generator its own samples; spherical ways stand in the figure.
    latent, pixel = arrays["latent" if "latent" in arrays else "linear"], arrays["pixel"]
    way = arrays["alpha"].tolist()
    sheets = {
        f"α = {alpha:.1f}": _sheet(np.concatenate([latent[:, i], pixel[:, i]]), len(latent))
        for i, alpha in enumerate(way)
    }
    return _frames(
        "interpolation-slider",
        "Between two images",
        "In each column two images are joined, above through the model's latents, below by fading their pixels. "
        "α = 0 is the one image, α = 1 the other.",
        "position",
        sheets.items(),
        min(range(len(way)), key=lambda i: abs(way[i] - 0.5), default=0),
        ["in latent space", "in pixel space"],
    )


def _frames(
    name: str,
    title: str,
    caption: str,
    label: str,
    sheets: Iterable[tuple[str, Pixels]],
    shown: int,
    rows: Sequence[str] = (),
) -> Frames:
    frames, width, height = [], 0, 0
    # One at a time: many large ones at once would fill the memory.
    for said, sheet in sheets:
        image = _image(sheet)
        width, height = image.size
        frames.append(Frame(said, inlined(image, QUALITY)))
    if not frames:
        raise ValueError("it holds no pictures")
    return Frames(name, title, caption, label, frames, width, height, shown, list(rows))


def mosaic(images: Pixels, columns: int) -> Image.Image:
    """Images N×C×H×W in rows, at twice their size."""
    return _image(_sheet(images, columns))


def _sheet(images: Pixels, columns: int) -> Pixels:
    """Images N×C×H×W in rows, with a pixel of white between them: H×W×C."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, channels), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + 1) + 1, number % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return sheet


def _image(sheet: Pixels) -> Image.Image:
    image = Image.fromarray(sheet.squeeze(2) if sheet.shape[2] == 1 else sheet).convert("RGB")
    return image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST)
