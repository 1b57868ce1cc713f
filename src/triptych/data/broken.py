"""Every image of a data set that cannot be read, and why; nothing is kept of the others."""

from __future__ import annotations

from functools import partial

from triptych.data.apart import apart
from triptych.data.find import find
from triptych.data.images import Broken, Decoder
from triptych.data.picture import Fit
from triptych.data.sources import Source
from triptych.data.spec import DataConfig
from triptych.errors import TriptychError
from triptych.progress import Progress, silent

__all__ = ["broken_images"]


def broken_images(
    config: DataConfig, *, progress: Progress | None = None
) -> tuple[int, tuple[Broken, ...]]:
    """How many images there are, and the name of each that does not decode with the reason.

    Example:
        >>> broken_images(DataConfig("mnist-5k"))
        (5000, ())
    """
    progress = progress or silent
    try:
        source = find(config, progress)
        check = partial(_checked, source, Fit(config.sides, config.colour, skip_broken=True))
        return apart(check, source.root, progress) if source.compiled else check(progress)
    except OSError as why:
        where = f"{why.filename}: " if why.filename else ""
        raise TriptychError(f"cannot read the data ({where}{why.strerror})") from why


def _checked(source: Source, fit: Fit, progress: Progress) -> tuple[int, tuple[Broken, ...]]:
    decoder = Decoder(fit)
    for split, files in source.files.items():
        part = source.read(split, files, decoder)
        for _ in part.blocks:
            progress("checking (images)", decoder.count, 0)
    return decoder.count, tuple(decoder.broken)
