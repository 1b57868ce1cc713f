"""``triptych watch RUN|FOLDER …``: a page that follows runs while they train."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from triptych.cli.explore import has_screen
from triptych.cli.options import parse
from triptych.cli.say import say
from triptych.errors import TriptychError

USAGE = "triptych watch RUN|FOLDER ..."

ABOUT = """Follow runs, studies and folders of runs on a page of this machine: curves, what the same latents become, alarms, the time
that is left, and any runs laid over each other. What begins later in a folder is shown too. The page can be seen from this machine
alone, by whoever has its address; Ctrl-C ends it, and nothing of it stays."""


@dataclass(frozen=True)
class Options:
    """What the page can be told."""

    port: int = 0
    """Where it is served; 0 takes any that is free."""
    open: bool = True
    """Whether to open the page in a browser, where there is a screen."""


def run(words: list[str]) -> int:
    """The verb."""
    helps = any(w in ("-h", "--help") for w in words)
    named = next((i for i, w in enumerate(words) if w.startswith("-")), len(words))
    if not helps and not named:
        raise TriptychError(f"name a run, a study or a folder of runs: {USAGE}")
    options = parse(Options(), words if helps else words[named:], USAGE, ABOUT)
    import threading

    from triptych.live.beside import modest
    from triptych.live.server import Server
    from triptych.live.state import State
    from triptych.processes import stoppable

    modest()
    with stoppable(), Server(State(words[:named]), options.port) as server:
        try:
            show(server.address, server.entrance if options.open else "")
            say("Ctrl-C ends it", aside=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            # That is how it ends, and no mishap.
            server.finish()
    return 0


def show(address: str, entrance: str) -> None:
    """Say where the page is, and open it by its entrance, where there is one and a screen."""
    import webbrowser

    say(f"page      {address}")
    # Also where nobody reads line by line, it is wanted now.
    sys.stdout.flush()
    if entrance and has_screen():
        # The address would stand in the browser's command line, where every user of this machine can read it.
        webbrowser.open(entrance)
