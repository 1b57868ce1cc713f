"""The one kind of error that a person is meant to read: a sentence that says what is wrong and what to do."""

from __future__ import annotations

import errno
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Literal

__all__ = [
    "CIRCUMSTANCES",
    "LONG",
    "DamagedError",
    "LostError",
    "MachineError",
    "NoMemoryError",
    "TriptychError",
    "machine",
    "printable",
    "refused",
    "shown",
    "unknown",
]


FEW = 12
"""Names beyond this number are not listed where a near one can be named."""


JOINERS = "\u200c\u200d"
"""Characters without a shape that words of some scripts, and many emoji, are written with."""

LONG = 300
"""Letters of anybody else's text that an error says at most."""


class TriptychError(Exception):
    r"""A mistake in the input, not in the program.

    The command line prints the message on one line and exits with code 2;
    with ``--debug`` it shows the traceback as well.

    Example:
        >>> str(TriptychError("there is no run 'a\x1b[31m'"))
        "there is no run 'a\\x1b[31m'"
    """

    def __str__(self) -> str:
        """The sentence, in which nothing that it quotes moves or colours a terminal: also a traceback shows it."""
        return printable(super().__str__())


class LostError(TriptychError):
    """Another process of the same work is gone; nothing is wrong with this one's, which goes on from its last checkpoint."""


class MachineError(TriptychError):
    """What the machine refuses, no room or no permission say: it is no outcome of the work, which may go on once that is put right."""


class NoMemoryError(MachineError):
    """What it means that memory does not suffice, of which Python and PyTorch say how much was asked for, or nothing.

    ``whose`` is "cpu" or "cuda": on a card that others use too the same work may go when it is alone there.

    Example:
        >>> str(NoMemoryError("take a smaller --batch-size"))
        'there is not enough memory for this; take a smaller --batch-size'
        >>> str(NoMemoryError("take a smaller --batch-size", "cuda"))
        'there is not enough memory on the GPU for this, or another program has it; take a smaller --batch-size'
    """

    def __init__(
        self,
        remedy: str = "take fewer or smaller images, or smaller networks",
        whose: Literal["cpu", "cuda"] = "cpu",
    ) -> None:
        of_a_card = whose == "cuda"
        where = " on the GPU for this, or another program has it" if of_a_card else " for this"
        super().__init__(f"there is not enough memory{where}; {remedy}")
        self.whose = whose


CIRCUMSTANCES = (MachineError, OSError, MemoryError)
"""The errors that say something of the machine, and nothing of the work that broke by them."""


def refused(doing: str, path: Path, error: OSError) -> MachineError:
    """What a system's error means for ``path``, and what to do about a full disk, whose error names no file.

    Example:
        >>> str(refused("write", Path("a/log"), OSError(errno.ENOSPC, "No space left on device")))
        "cannot write 'a/log': No space left on device; make room there and run the command again"
    """
    why = error.strerror or str(error) or type(error).__name__
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "; make room there and run the command again" if full else ""
    return MachineError(f"cannot {doing} '{path}': {why}{remedy}")


@contextmanager
def machine(doing: str, path: Path) -> Iterator[None]:
    """Let a system's error be a `MachineError` about ``path``: a full disk is one that names no file.

    Example:
        >>> with machine("read", Path("a")):
        ...     _ = (tmp_path / "b").read_text()
        Traceback (most recent call last):
        triptych.errors.MachineError: cannot read 'a': No such file or directory
    """
    try:
        yield
    except OSError as error:
        raise refused(doing, path, error) from None


class DamagedError(TriptychError):
    """A file that is not as Triptych wrote it: which, what is wrong with it, and what to do.

    Example:
        >>> str(DamagedError(Path("a/results.json"), "it is empty", "evaluate the run again"))
        "'a/results.json' is damaged: it is empty; evaluate the run again"
    """

    def __init__(
        self,
        path: Path,
        why: str,
        remedy: str = "restore it from a copy",
        state: str = "is damaged",
    ) -> None:
        # A parser quotes what it stumbled over, which may be long and meant for the terminal.
        why = printable(why if len(why) <= LONG else f"{why[:LONG]}…")
        super().__init__(f"'{path}' {state}: {why}{'; ' * bool(remedy)}{remedy}")


def printable(text: str) -> str:
    r"""A text of somebody else's as one line that nothing in it can move, colour or turn around.

    Control characters, which a terminal would obey, marks that turn the direction of a text and halves of
    characters are written as their escapes; bytes of a file's name that are not UTF-8 as Latin-1 has them.

    Example:
        >>> printable("red \x1b[31m and a\nnew line, naïve 数")
        'red \\x1b[31m and a\\nnew line, naïve 数'
        >>> printable(b"caf\xe9".decode("utf-8", "surrogateescape"))
        'café'
    """
    return "".join(map(_plain, text))


def _plain(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        # How Python holds a byte that it could not read in a file's name.
        character = chr(ord(character) - 0xDC00)
    space = unicodedata.category(character) == "Zs"
    if character.isprintable() or space or character in JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")


def shown(value: object) -> str:
    """A value as Python writes it, on one line and no longer than a sentence has room for.

    Example:
        >>> shown("name"), shown([[[[[[1]]]]]]), len(shown("x" * 10_000)) < 100
        ("'name'", '[[[[[...]]]]]', True)
    """
    short = Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 4, 60, 60, 40
    try:
        return printable(short.repr(value))
    except ValueError:
        # Python writes no number of more than some thousand digits.
        return "a number of very many digits"


def unknown(kind: str, name: object, choices: Iterable[str], hint: str = "") -> TriptychError:
    """The error for a name that nobody knows, with the nearest names that somebody does.

    Example:
        >>> str(unknown("data set", "mnits", ["mnist", "svhn"]))
        "there is no data set 'mnits'; did you mean 'mnist'? (there are: mnist, svhn)"
    """
    choices = sorted(choices)
    name = name if isinstance(name, str) else shown(name)
    name = printable(name if len(name) <= LONG else f"{name[:LONG]}…")
    near = get_close_matches(name, choices, n=2, cutoff=0.5)
    guess = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    listing = f" (there are: {', '.join(choices)})" if len(choices) <= FEW or not near else ""
    return TriptychError(f"there is no {kind} '{name}'{guess}{listing}{hint}")
