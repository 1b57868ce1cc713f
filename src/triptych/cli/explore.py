"""``triptych explore RUN``: one run as a page to play with, a file and no server."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from triptych.cli.options import parse
from triptych.cli.say import say
from triptych.errors import TriptychError

USAGE = "triptych explore RUN"

ABOUT = """Write a run's report with the trained model in it, and open it in your browser. A model that makes images has sliders
for all latent coordinates and the principal directions, and interpolates; where it encodes, there is paper to draw on. Of one that
compares views there is an atlas of images placed by their features. The file runs by itself: it can be sent to anybody."""


@dataclass(frozen=True)
class Options:
    """What the page can be told."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Where the page goes; the default is explore.html in the run's folder."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """A local mirror, where it is not the one of the training."""
    data: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Where images of your own lie now, if they were moved since the training."""
    open: bool = True
    """Whether to open the page in a browser, where there is a screen."""


def run(words: list[str]) -> int:
    """The verb."""
    helps = any(w in ("-h", "--help") for w in words)
    if not helps and (not words or words[0].startswith("-")):
        raise TriptychError(f"name a run folder: {USAGE}")
    options = parse(Options(), words if helps else words[1:], USAGE, ABOUT)
    from triptych.verbs.functions import explore

    page = explore(
        words[0],
        options.out,
        data=options.data,
        data_dir=options.data_dir,
        open=options.open and has_screen(),
    )
    say(f"page      {page} ({page.stat().st_size / 1e6:.1f} MB)")
    return 0


def has_screen() -> bool:
    """Whether a browser would be a window: without one some systems start a browser in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
