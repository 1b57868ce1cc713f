"""The atlas: thumbnails placed by their features and joined to their neighbours, for the browser to draw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image

from triptych.errors import TriptychError
from triptych.reporting.figures.features import LOOKS, frequent
from triptych.reporting.parts.pictures import inlined
from triptych.runs import Run

__all__ = ["Atlas", "atlas"]

Array = npt.NDArray[Any]

MOST, NEIGHBOURS, SIDE, LETTERS = 600, 8, 32, 40
"""Images, neighbours of each, pixels of a side and letters of a name that a page has room for."""

STEPS = 2047
"""Positions on a map are whole numbers from −2047 to 2047, finer than a screen zoomed fourfold."""

FURTHEST = 1e30
"""Positions beyond cannot be subtracted."""

QUALITY = 88
"""Of colour images; digits are smaller without loss than with it."""


@dataclass(frozen=True)
class Atlas:
    """What the page needs to draw it, and to say what it shows."""

    data: str
    """JSON for the script."""
    about: str
    notes: list[str]
    """What may be read off it, and what not."""


@dataclass(frozen=True)
class _Map:
    """A feature map's arrays, checked: they may be a stranger's."""

    tsne: Array
    pca: Array
    images: Array
    index: Array
    shown: Array
    nearest: Array
    similarity: Array
    labels: Array | None
    classes: list[str]
    shares: Array
    perplexity: float
    split: str
    weights: str


def atlas(run: Run) -> Atlas | None:
    """The atlas of a run's features; none where neighbours were not kept or all features are one point.

    Raises:
        TriptychError: what the run keeps is not a feature map.
    """
    try:
        arrays = run.arrays("feature-map")
    except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
        raise _damaged(run, str(error)) from None
    if arrays is None or "nearest" not in arrays:
        return None
    try:
        found = _checked(arrays)
    except ValueError as error:
        raise _damaged(run, str(error)) from None
    if not np.ptp(found.tsne, axis=0).any():
        return None
    return Atlas(json.dumps(_data(found)), _about(found), _notes(found))


def _damaged(run: Run, why: str) -> TriptychError:
    return TriptychError(
        f"'{run.path / 'samples' / 'feature-map.npz'}' is damaged ({why}); evaluate the run again"
    )


def _checked(arrays: Mapping[str, Array]) -> _Map:
    """The arrays, if they are of one map and nothing in them leads out of it; else a `ValueError`."""
    images = _read(arrays, "images", "u", None, None, None, None)
    count, channels, *sides = images.shape
    if (
        images.dtype != np.uint8
        or channels not in (1, 3)
        or not 1 <= min(sides) <= max(sides) <= SIDE
    ):
        raise ValueError("images are not thumbnails")
    shown = _places(arrays, "shown", count, None)
    nearest = _places(arrays, "nearest", len(shown), len(shown), None)
    if not 2 <= len(shown) <= MOST or not 1 <= nearest.shape[1] <= NEIGHBOURS:
        raise ValueError("there are too many or too few neighbours")
    labels, classes = None, []
    if "labels" in arrays:
        classes = [_text(name) for name in _read(arrays, "classes", "U", None)]
        labels = _places(arrays, "labels", len(classes), count)
    return _Map(
        _read(arrays, "tsne", "f", count, 2),
        _read(arrays, "pca", "f", count, 2),
        images,
        _places(arrays, "index", np.iinfo(np.int64).max, count),
        shown,
        nearest,
        _read(arrays, "similarity", "f", *nearest.shape),
        labels,
        classes,
        _read(arrays, "shares", "f", 2),
        float(_read(arrays, "perplexity", "f")),
        _text(_read(arrays, "split", "U")),
        _text(_read(arrays, "checkpoint", "U")),
    )


def _read(arrays: Mapping[str, Array], name: str, kind: str, *shape: int | None) -> Array:
    """An array of one kind of numbers and of a shape, of which a side may be any."""
    if name not in arrays:
        raise ValueError(f"{name} are missing")
    found = arrays[name]
    sides = zip(shape, found.shape, strict=False)
    if found.ndim != len(shape) or any(s not in (None, side) for s, side in sides):
        raise ValueError(f"{name} are of the shape {found.shape}")
    if found.dtype.kind != kind:
        raise ValueError(f"{name} are of the type {found.dtype}")
    if kind == "f" and not (np.abs(found) < FURTHEST).all():
        raise ValueError(f"{name} are not all finite")
    return found


def _places(arrays: Mapping[str, Array], name: str, end: int, *shape: int | None) -> Array:
    """Whole numbers from 0 to below ``end``."""
    found = _read(arrays, name, "i", *shape)
    if found.size and not 0 <= found.min() <= found.max() < end:
        raise ValueError(f"{name} lead out of the map")
    return found


def _text(found: Any) -> str:
    """A text of a bearable length, without halves of characters, which no file can hold."""
    return str(found)[:LETTERS].encode("utf-8", "replace").decode("utf-8")


def _data(found: _Map) -> dict[str, Any]:
    """What the script reads: all that is of the shown images, numbers as whole ones, a sheet of thumbnails."""
    images = found.images[found.shown]
    columns = int(np.ceil(np.sqrt(len(images))))
    data = {
        "tile": [images.shape[3], images.shape[2]],
        "columns": columns,
        "sheet": inlined(_sheet(images, columns), None if images.shape[1] == 1 else QUALITY),
        "maps": {name: _positions(getattr(found, name)[found.shown]) for name in ("tsne", "pca")},
        "split": found.split,
        "index": found.index[found.shown].tolist(),
        "nearest": found.nearest.tolist(),
        "similarity": np.round(found.similarity.astype(float), 3).tolist(),
    }
    if found.labels is None:
        return data
    colours = dict(zip(frequent(found.labels), (colour for colour, _ in LOOKS), strict=False))
    present, labels = np.unique(found.labels[found.shown], return_inverse=True)
    classes = [[found.classes[label], colours.get(label)] for label in present.tolist()]
    return data | {"labels": labels.tolist(), "classes": classes}


def _positions(points: Array) -> list[int]:
    """x, y of every point as whole numbers around the middle, in one scale, y downwards as on a screen."""
    points = points.astype(float) * (1, -1)
    low, high = points.min(0), points.max(0)
    reach = max(float((high - low).max()) / 2, 1 / FURTHEST)
    placed: list[int] = (
        np.round((points - (low + high) / 2) / reach * STEPS).astype(int).ravel().tolist()
    )
    return placed


def _sheet(images: Array, columns: int) -> Image.Image:
    """Images N×C×h×w in rows, with nothing between them."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, channels, height, width), np.uint8)
    cells[:count] = images
    cells = cells.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = cells.reshape(rows * height, columns * width, channels)
    return Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet)


def _about(found: _Map) -> str:
    said = (
        f"{len(found.shown):,} images, evenly spread over the {found.split} split, "
        f"placed by the features of the {found.weights} weights."
    )
    if found.labels is None:
        return said
    return f"{said} Colours are classes, which training never saw."


def _notes(found: _Map) -> list[str]:
    count, k = found.nearest.shape
    first, second = (f"{share:.1%}".replace("%", "\u00a0%") for share in found.shares.tolist())
    said = [
        f"Neighbours are not read off the map. Lines and list lead to the {k} of the other {count - 1:,} shown whose "
        "features are nearest by cosine, the measure of the nearest-neighbour accuracy; a long line joins two that are alike "
        "and that the map could not keep together.",
        f"t-SNE (perplexity {found.perplexity:.3g}, begun from PCA, fixed seed, of {len(found.tsne):,} images) keeps near "
        "neighbours together: its axes have no meaning, nor have the sizes of its clusters and the distances between them, "
        "and it finds clusters in noise as well.",
        f"PCA shows the two directions of the greatest variance, with {first} and {second} of it: what lies apart here is "
        "apart, what lies together may differ in others.",
    ]
    if found.labels is not None:
        labels = found.labels[found.shown]
        shared = float((labels[found.nearest] == labels[:, None]).sum(1).mean())
        sizes = np.bincount(labels)
        chance = k * float((sizes * (sizes - 1)).sum()) / (count * (count - 1))
        said.append(
            f"Of the {k} neighbours {shared:.1f} share the image's class on average; of {k} others picked at random "
            f"{chance:.1f} would."
        )
    return said
