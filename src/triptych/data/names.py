"""Names that others gave to files and classes, as text that can be printed and written anywhere."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

from triptych.errors import printable

__all__ = ["as_text", "few"]

NAMED = 5


def as_text(name: str) -> str:
    r"""The name as composed Unicode; what a terminal would obey or cannot show stands escaped.

    The names of files are bytes. Those that are not UTF-8 are read as Latin-1, which is right for
    Western Europe and never fails. Control characters, line ends and marks that turn the direction
    of the text are escaped.

    Example:
        >>> as_text(b"caf\xe9".decode("utf-8", "surrogateescape"))
        'café'
        >>> as_text("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    try:
        text = os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        text = os.fsencode(name).decode("latin-1")
    except UnicodeEncodeError:  # half of a pair, which no file's name can hold but a JSON text can
        text = name
    return printable(unicodedata.normalize("NFC", text))


def few(names: Sequence[str], most: int = NAMED) -> str:
    """The first few names, printable, and how many more there are.

    Example:
        >>> few(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    shown = ", ".join(as_text(name) for name in names[:most])
    return f"{shown} and {len(names) - most:,} more" if len(names) > most else shown
