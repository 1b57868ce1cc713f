"""The one kind of error that a person is meant to read: a sentence that says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["TriptychError", "unknown"]


FEW = 12
"""Names beyond this number are not listed where a near one can be named."""


class TriptychError(Exception):
    """A mistake in the input, not in the program.

    The command line prints the message on one line and exits with code 2;
    with ``--debug`` it shows the traceback as well.
    """


def unknown(kind: str, name: str, choices: Iterable[str], hint: str = "") -> TriptychError:
    """The error for a name that nobody knows, with the nearest names that somebody does.

    Example:
        >>> str(unknown("data set", "mnits", ["mnist", "svhn"]))
        "there is no data set 'mnits'; did you mean 'mnist'? (there are: mnist, svhn)"
    """
    choices = sorted(choices)
    near = get_close_matches(name, choices, n=2, cutoff=0.5)
    guess = f"; did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    listing = f" (there are: {', '.join(choices)})" if len(choices) <= FEW or not near else ""
    return TriptychError(f"there is no {kind} '{name}'{guess}{listing}{hint}")
