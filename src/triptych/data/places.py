"""Where things are kept: the cache, the downloads in it, and local mirrors."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["SYSTEM", "cache_root", "downloads", "mirror"]

SYSTEM = Path("/usr/share/datasets")
"""Where Debian's packages of data sets put their files."""


def cache_root() -> Path:
    """``$TRIPTYCH_CACHE``, or ``triptych`` in the user's cache folder."""
    if chosen := os.environ.get("TRIPTYCH_CACHE"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "triptych"


def downloads() -> Path:
    """Where downloaded files are kept, laid out like a mirror."""
    return cache_root() / "downloads"


def mirror(folder: str | None) -> Path | None:
    """The local mirror a person has named: the option first, then ``$TRIPTYCH_DATA``."""
    chosen = folder or os.environ.get("TRIPTYCH_DATA")
    return Path(chosen).expanduser() if chosen else None
