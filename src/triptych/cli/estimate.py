"""How long something will take, said before it is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triptych.cli.say import say

if TYPE_CHECKING:
    from triptych.studies.card import Crowd

__all__ = ["clock", "estimate", "timing"]


def timing() -> None:
    """What is said while nothing else is to be seen."""
    say("timing this machine, half a minute or more …", aside=True)


def estimate(seconds: float, crowd: Crowd | None) -> None:
    """How long it will take, and on a card how many runs it trains at once."""
    if crowd is not None:
        say(str(crowd), aside=True)
    say(f"this will take about {clock(seconds)} on this machine", aside=True)


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours, minutes and seconds.

    Example:
        >>> clock(61.4), clock(7322)
        ('1:01', '2:02:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
