"""``triptych reproduce``: all three panels at one scale, with a time estimate, to one report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from triptych.cli.options import parse
from triptych.cli.say import say
from triptych.errors import TriptychError

if TYPE_CHECKING:
    from triptych.reproduction.carry_out import Outcome
    from triptych.reproduction.plan import Plan

USAGE = "triptych reproduce --scale demo|small|reference"

ABOUT = """Train the VAE, the WGAN and the ablation study of SimSiam, measure and draw them, and write one report.
The scales: demo takes the embedded digits, minutes on two cores; small takes thin networks and the reference's
data, an hour or two; reference is the reference report's protocol, for a GPU. Before it begins it says how long
it will take on this machine. Stopped or killed, it goes on where it was when the same command is given again."""


@dataclass(frozen=True)
class Options:
    """What a reproduction can be told."""

    scale: Literal["", "demo", "small", "reference"] = ""
    """How large it is."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """A local mirror of the named data sets; without it they are downloaded."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where everything goes; the default is the scale's name below reproductions/."""
    seed: int = 0
    """Everything random follows from this number."""
    wgan_data: Annotated[str | None, tyro.conf.arg(metavar="NAME|PATH")] = None
    """Images for the WGAN, where they are not to be the preset's."""


def run(words: list[str]) -> int:
    """The verb."""
    options = parse(Options(), words, USAGE, ABOUT)
    if not options.scale:
        raise TriptychError(f"name a scale: {USAGE}")
    from triptych.reproduction.plan import plan

    planned = plan(
        options.scale,
        seed=options.seed,
        data_dir=options.data_dir,
        wgan_data=options.wgan_data,
    )
    folder = options.out or Path("reproductions") / options.scale
    return carry_out(planned, folder, ["reproduce", *words])


def carry_out(plan: Plan, folder: Path, command: Sequence[str]) -> int:
    """Do it, show how far it is, and say how it ended; ``command`` is what goes on with it."""
    from triptych.cli.panels import panels_display
    from triptych.reproduction.carry_out import reproduce

    with panels_display() as show:
        outcome = reproduce(plan, folder, show=show, timing=_timing, say=_estimate)
    if outcome.stopped:
        again = shlex.join(["triptych", *command])
        say(f"\n{folder}: stopped, everything is saved; go on with: {again}", aside=True)
        return 130
    _ended(outcome)
    for name, why in outcome.failures.items():
        say(f"triptych: {name} has failed: {why}", aside=True)
    return 1 if outcome.failures else 0


def _timing() -> None:
    say("timing this machine, about half a minute …", aside=True)


def _estimate(seconds: float) -> None:
    say(f"this will take about {clock(seconds)} on this machine", aside=True)


def _ended(outcome: Outcome) -> None:
    if outcome.idle:
        say(
            f"everything was done already; to do it anew, delete '{outcome.folder}' or choose another --out"
        )
    else:
        say(times(outcome.parts))
    say(f"\nreport    {outcome.page}    open it in a browser")


def times(parts: Mapping[str, Mapping[str, float | None]]) -> str:
    """Predicted and actual seconds of each part and of all.

    Example:
        >>> say(times({"vae/train": {"predicted": 40.0, "actual": 50.0}}))
        part       predicted   took
        vae/train       0:40   0:50   +25 %
        in all          0:40   0:50   +25 %
    """
    rows = {n: (p["predicted"] or 0.0, p["actual"] or 0.0) for n, p in parts.items()}
    rows["in all"] = (sum(p for p, _ in rows.values()), sum(a for _, a in rows.values()))
    width = max(map(len, rows))
    lines = [f"{'part':<{width}}   predicted   took"]
    for name, (predicted, actual) in rows.items():
        off = f"{100 * (actual / predicted - 1):+.0f} %" if predicted else ""
        lines.append(f"{name:<{width}}   {clock(predicted):>9}   {clock(actual):>4}   {off}")
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """Minutes and seconds, or hours, minutes and seconds.

    Example:
        >>> clock(61.4), clock(7322)
        ('1:01', '2:02:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
