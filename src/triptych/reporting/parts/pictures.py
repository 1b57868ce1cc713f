"""Pictures of a run folder, made small enough to travel inside the page."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
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
    """The same latents over the training."""
    moments = run.moments(SIDE)
    if len(moments) < 2:
        return None
    sheets = ((f"step {step:,}", _sheet(images, SIDE)) for step, images in moments.items())
    return _frames(
        "filmstrip-slider",
        "Samples over the training",
        f"The same {SIDE * SIDE} latents at every moment that was kept.",
        "moment of the training",
        sheets,
    )


def shifts(run: Run) -> Frames | None:
    """Latents with one coordinate shifted by ε."""
    arrays = run.arrays("coordinates")
    if arrays is None or "images" not in arrays:
        return None
    images, names = arrays["images"], arrays["coordinates"].tolist()
    sheets = {
        f"ε = {epsilon:g}": _sheet(images[:, place].reshape(-1, *images.shape[3:]), images.shape[2])
        for place, epsilon in enumerate(arrays["shifts"].tolist())
    }
    return _frames(
        "shift-slider",
        "One latent coordinate shifted by ε",
        f"Rows: coordinates {', '.join(str(n) for n in names)} (numbered from 0); columns: the same latents. ε is in "
        "standard deviations of the prior.",
        "shift",
        sheets.items(),
    )


def interpolation(run: Run) -> Frames | None:
    """Interpolates in latent space above those of pixels, at one α after the other."""
    arrays = run.arrays("sample_interpolation") or run.arrays("interpolation")
    if arrays is None:
        return None
    # A decoder joins encoded images, a generator its own samples; spherical ways stand in the figure.
    latent, pixel = arrays["latent" if "latent" in arrays else "linear"], arrays["pixel"]
    sheets = {
        f"α = {alpha:.1f}": _sheet(np.concatenate([latent[:, i], pixel[:, i]]), len(latent))
        for i, alpha in enumerate(arrays["alpha"].tolist())
    }
    return _frames(
        "interpolation-slider",
        "Between two images",
        "Upper row: interpolated in latent space; lower row: the same two images in pixel space. α = 0 is one, α = 1 the other.",
        "position",
        sheets.items(),
    )


def _frames(
    name: str, title: str, caption: str, label: str, sheets: Iterable[tuple[str, Pixels]]
) -> Frames:
    frames, width, height = [], 0, 0
    # One at a time: many large ones at once would fill the memory.
    for said, sheet in sheets:
        image = _image(sheet)
        width, height = image.size
        frames.append(Frame(said, inlined(image, QUALITY)))
    if not frames:
        raise ValueError("it holds no pictures")
    # In the middle of a way is what matters of it; a training or a shift ends with it.
    shown = len(frames) // 2 if name == "interpolation-slider" else len(frames) - 1
    return Frames(name, title, caption, label, frames, width, height, shown)


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
