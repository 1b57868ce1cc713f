"""The source of a method that does not come with Triptych: where its file was, and what was in it.

A run folder keeps a copy of a method's own file, known by its digest. Nothing here executes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from triptych.errors import TriptychError, shown
from triptych.files import TEXT, read_bytes

__all__ = ["NAME", "Source", "as_source", "copy_in", "digest_of", "edited"]

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
"""What a method is called: the name of a file, of an entry point, and on the command line."""


class Source(NamedTuple):
    """Where a method was found, and what it was then.

    ``file`` is a path, ``digest`` the SHA-256 of its content, and ``package`` the installed package with its
    version that the file belongs to; a file of one's own belongs to none.
    """

    file: str
    digest: str
    package: str = ""

    def table(self) -> dict[str, str]:
        """As ``[method.source]`` of config.toml holds it."""
        return {name: value for name, value in self._asdict().items() if value}


def as_source(told: object) -> Source | None:
    """What `Source.table` gave; none where nothing was told, and a `TriptychError` for anything else.

    Example:
        >>> as_source({"file": "/home/me/wae.py", "digest": "0a1b"})
        Source(file='/home/me/wae.py', digest='0a1b', package='')
    """
    if told is None:
        return None
    if isinstance(told, Mapping) and all(isinstance(value, str) for value in told.values()):
        try:
            return Source(**told)
        except TypeError:
            pass
    raise TriptychError(
        f"the config's [method] has source = {shown(told)}; it takes a table with file and digest"
    )


def digest_of(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return sha256(content).hexdigest()


def copy_in(folder: Path, name: object) -> Path:
    """Where a run's or study's folder keeps the file of its method; a `TriptychError` for a name that is none."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise TriptychError(
            f"{shown(name)} is no name of a method: it begins with a letter, and letters, digits, _ and - follow"
        )
    return folder / f"{name}.py"


def edited(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """What became of the copy in a run's folder since the config that tells of it, in a clause; nothing where it is as it was.

    Example:
        >>> _ = (tmp_path / "wae.py").write_text("class WAE(Method): ...")
        >>> edited(tmp_path, {"method": {"name": "wae", "source": {"file": "x", "digest": "0a1b"}}})
        ['wae.py is not the file that it was trained with']
    """
    method = config.get("method")
    told = method.get("source") if isinstance(method, Mapping) else None
    if not isinstance(method, Mapping) or told is None:
        return []
    try:
        path, source = copy_in(folder, method.get("name")), as_source(told)
        if source is None or source.package:
            return []
        if digest_of(read_bytes(path, TEXT)) == source.digest:
            return []
    except FileNotFoundError:
        return [f"{path.name}, the file of its method, is not there"]
    except TriptychError as error:
        return [str(error)]
    return [f"{path.name} is not the file that it was trained with"]
