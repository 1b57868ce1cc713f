"""How long something will take, said before it is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triptych.cli.say import say

if TYPE_CHECKING:
    from triptych.studies.card import Crowd

__all__ = ["clock", "estimate", "timing"]

NOTED = 1.2
"""Others' work is told of where it makes everything so many times slower; less is within what an estimate is off by."""


def timing() -> None:
    """What is said while nothing else is to be seen."""
    say("timing this machine, half a minute or more …", aside=True)


def estimate(seconds: float, crowd: Crowd | None, slowed: float) -> None:
    """How long it will take, and on a card how many runs it trains at once; what others' work makes of it, where it matters."""
    if crowd is not None:
        say(str(crowd), aside=True)
    say(_foretold(seconds, slowed), aside=True)


def _foretold(seconds: float, slowed: float) -> str:
    """In words.

    Example:
        >>> print(_foretold(400.0, 1.0))
        this will take about 6:40 on this machine
        >>> print(_foretold(400.0, 3.0))
        this machine is busy: other programs made it 3 times slower while it was timed
        this will take about 6:40 if they end now, about 20:00 if they go on
    """
    if slowed < NOTED:
        return f"this will take about {clock(seconds)} on this machine"
    return (
        f"this machine is busy: other programs made it {slowed:.2g} times slower while it was timed\n"
        f"this will take about {clock(seconds)} if they end now, about {clock(seconds * slowed)} if they go on"
    )


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours, minutes and seconds.

    Example:
        >>> clock(61.4), clock(7322)
        ('1:01', '2:02:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
