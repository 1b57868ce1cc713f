"""``triptych evaluate RUN``: measure a run and draw its figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from triptych.cli.options import Flat, parse
from triptych.cli.say import say
from triptych.errors import TriptychError
from triptych.progress import bars

if TYPE_CHECKING:
    from triptych.evaluation.suite import EvaluateConfig

USAGE = "triptych evaluate RUN"


def run(words: list[str]) -> int:
    """The verb."""
    from typing import Annotated

    import tyro

    from triptych import experiment
    from triptych.evaluation.suite import EvaluateConfig

    mirror = tyro.conf.arg(
        metavar="DIR", help="A local mirror, where it is not the one of the training."
    )
    moved = tyro.conf.arg(
        metavar="PATH",
        help="Where images of your own lie now, if they were moved since the training.",
    )
    options = dataclasses.make_dataclass(
        "Options",
        [
            ("evaluate", Annotated[EvaluateConfig, Flat], EvaluateConfig()),
            ("data_dir", Annotated[str | None, mirror], None),
            ("data", Annotated[str | None, moved], None),
        ],
        frozen=True,
    )()
    helps = any(w in ("-h", "--help") for w in words)
    if not helps and (not words or words[0].startswith("-")):
        raise TriptychError(f"name a run folder: {USAGE}")
    rest = words if helps else words[1:]
    chosen = parse(options, rest, USAGE, "Measure a run, write results.json and draw its figures.")
    path = Path(words[0])
    _announce(path, chosen.evaluate)
    with bars() as progress:
        experiment.evaluate(
            path, chosen.evaluate, data_dir=chosen.data_dir, data=chosen.data, progress=progress
        )
    show(path)
    return 0


def _announce(path: Path, config: EvaluateConfig) -> None:
    """Say which weights are measured, and with what; a run that has none is refused by the evaluation."""
    from triptych.environment import cores, device_for
    from triptych.runs import Run

    opened = Run.open(path)
    weights = opened.weights(config.checkpoint) or opened.weights("last")
    if weights is not None:
        threads = config.threads or cores()
        on = f"{device_for(config.device).type}, {threads} thread{'s' * (threads > 1)}"
        say(f"measured  {weights}, on {on}")


def show(path: Path) -> None:
    """Print the headline numbers of a run and the figures that were drawn."""
    from triptych.reporting.draw import draw
    from triptych.reporting.safe import Attempts
    from triptych.reporting.terminal import result_lines
    from triptych.runs import Run, grouped

    opened = Run.open(path)
    say("\n".join(result_lines(opened.results())))
    for weights in filter(None, map(opened.weights, ("best", "last"))):
        say(f"weights   {weights}")
    if opened.status() in ("running", "interrupted"):
        say("caution   the training is not at its end: the numbers are of the weights so far")
    if doubt := opened.doubt():
        say(f"caution   {doubt}.")
    for why, names in grouped(opened.left_out()):
        say(f"left out  {', '.join(names)}: {why}")
    attempt = Attempts()
    drawn = [p for p in draw(opened, attempt) if p.suffix == ".png"]
    say(f"numbers   {path / 'results.json'}")
    for figure in drawn:
        say(f"figure    {figure}")
    for lost in attempt.lost:
        say(f"note      not drawn: {lost}", aside=True)
