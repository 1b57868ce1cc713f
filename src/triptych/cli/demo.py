"""``triptych demo``: the smallest reproduction, all panels on the embedded digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from triptych.cli.options import parse

QUICK = "--quick"

ABOUT = """All panels on the embedded digits, to one report: triptych reproduce --scale demo.
Given again it goes on where it was stopped. With --quick: --scale quick, trained for moments only, to see that all of it
works here and what a report looks like; its networks have learned next to nothing."""


@dataclass(frozen=True)
class Options:
    """What the demo can be told."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where everything goes; the default is runs/demo, and runs/quick with --quick."""
    seed: int = 0
    """Everything random follows from this number."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="CORES")] = None
    """Cores to take; the default is all of them."""


def run(words: list[str]) -> int:
    """The verb."""
    scale = "quick" if QUICK in words else "demo"
    said = [word for word in words if word != QUICK]
    options = parse(Options(), said, f"triptych demo [{QUICK}]", ABOUT, also=[QUICK])
    from triptych.cli.reproduce import reproduce_and_say
    from triptych.reproduction.plan import plan

    planned = plan(scale, seed=options.seed, threads=options.threads)
    return reproduce_and_say(planned, options.out or Path("runs") / scale, ["demo", *words])
