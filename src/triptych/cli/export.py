"""``triptych export RUN --to FORMAT``: a trained backbone as a file for other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from triptych.cli.options import parse
from triptych.cli.say import say
from triptych.errors import TriptychError
from triptych.runs import Run

USAGE = "triptych export RUN"
ABOUT = "Write a run's backbone as a file for other programs, read it again and compare."


@dataclass(frozen=True)
class Options:
    """What the verb takes beside a run folder."""

    to: Literal["safetensors", "onnx"] | None = None
    """Weights under torchvision's names, or a graph from images in [0, 1] to features; the default is what --out ends
    with, else safetensors."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The file to write; the default is backbone.<format> in the run's folder."""
    checkpoint: Literal["best", "last"] = "best"
    """The weights: the best by validation, or the last."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """A local mirror, where it is not the one of the training."""
    data: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Where images of your own lie now, if they were moved since the training."""


def run(words: list[str]) -> int:
    """The verb."""
    helps = any(w in ("-h", "--help") for w in words)
    if not helps and (not words or words[0].startswith("-")):
        raise TriptychError(f"name a run folder: {USAGE} --to safetensors|onnx")
    chosen = parse(Options(), words if helps else words[1:], USAGE, ABOUT)
    from triptych.verbs.functions import export

    done = export(
        words[0],
        chosen.out,
        to=chosen.to,
        checkpoint=chosen.checkpoint,
        data=chosen.data,
        data_dir=chosen.data_dir,
    )
    say(f"wrote     {done.path} ({done.path.stat().st_size / 1e6:.1f} MB)")
    say(f"weights   {done.weights}")
    if doubt := Run(Path(words[0])).doubt():
        say(f"          {doubt}.")
    check = done.check
    say(f"checked   {check.images} images: features differ by {check.difference:.1e} at most")
    if check.knn_top1 is not None:
        here, there = check.knn_top1
        rounding = f" (rounding alone: {check.rounding:.1%})" if check.rounding else ""
        say(
            f"          kNN top-1 {here:.1%} in torch and {there:.1%} from the file, "
            f"another class for {check.changed:.1%}{rounding}"
        )
    return 0
