"""``triptych demo``: the smallest reproduction, all panels on the embedded digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from triptych.cli.options import parse

ABOUT = """All panels on the embedded digits, to one report: triptych reproduce --scale demo.
Given again it goes on where it was stopped."""


@dataclass(frozen=True)
class Options:
    """What the demo can be told."""

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/demo")
    """Where everything goes."""
    seed: int = 0
    """Everything random follows from this number."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="CORES")] = None
    """Cores to take; the default is all of them."""


def run(words: list[str]) -> int:
    """The verb."""
    options = parse(Options(), words, "triptych demo", ABOUT)
    from triptych.cli.reproduce import reproduce_and_say
    from triptych.reproduction.plan import plan

    planned = plan("demo", seed=options.seed, threads=options.threads)
    return reproduce_and_say(planned, options.out, ["demo", *words])
