"""``triptych trust PATH``: let the file of a method be executed on this machine."""

from __future__ import annotations

from triptych import methods
from triptych.cli.say import say
from triptych.errors import TriptychError

USAGE = "triptych trust RUN|FILE"

ABOUT = f"""usage: {USAGE}

A run of a method that does not come with Triptych has the method's file in its folder, and to open the run is to
execute the file: it is code, which can do anything. What was trained on this machine is known here. Of anybody
else's run, read the file first; then this lets it be executed, for as long as not a letter of it changes.
"""


def run(words: list[str]) -> int:
    """The verb."""
    if any(word in ("-h", "--help") for word in words):
        print(ABOUT)
        return 0
    if len(words) != 1:
        raise TriptychError(f"name one run folder, or the file of a method: {USAGE}")
    for file in methods.trust(words[0]):
        say(f"trusted   {file}")
    return 0
