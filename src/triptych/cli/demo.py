"""``triptych demo``: the smallest reproduction, all three panels on the embedded digits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from triptych.cli.options import parse

ABOUT = """A VAE, a WGAN and an ablation of SimSiam on the embedded digits, to one report: triptych reproduce
--scale demo. Given again it goes on where it was stopped."""


@dataclass(frozen=True)
class Options:
    """What the demo can be told."""

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/demo")
    """Where everything goes."""
    seed: int = 0
    """Everything random follows from this number."""


def run(words: list[str]) -> int:
    """The verb."""
    options = parse(Options(), words, "triptych demo", ABOUT)
    from triptych.cli.reproduce import carry_out
    from triptych.reproduction.plan import plan

    return carry_out(plan("demo", seed=options.seed), options.out, ["demo", *words])
