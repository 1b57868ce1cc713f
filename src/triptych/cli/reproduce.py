"""``triptych reproduce``: all panels of a scale, with a time estimate, to one report."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from triptych import presets
from triptych.cli.estimate import clock, estimate, timing
from triptych.cli.options import parse, take
from triptych.cli.say import say
from triptych.config import read_toml
from triptych.errors import TriptychError

if TYPE_CHECKING:
    from triptych.reproduction.plan import Plan
    from triptych.reproduction.reproduce import Outcome
    from triptych.studies.where import Where

ABOUT = """Train, measure and draw the panels of a scale, one after the other, on a GPU side by side, and write one report.
{scales}
A file of your own, with a table [panels.NAME] for each panel, is a scale too. Before it begins it says how long
it will take on this machine. Stopped or killed, it goes on where it was when the same command is given again."""


@dataclass(frozen=True)
class Options:
    """What a reproduction can be told, beside images for its panels."""

    scale: Annotated[str, tyro.conf.arg(metavar="NAME|FILE")] = ""
    """How large it is: a name, or a file of your own."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """A local mirror of the named data sets; without it they are downloaded."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where everything goes; the default is the scale's name below reproductions/."""
    seed: int = 0
    """Everything random follows from this number."""
    threads: Annotated[int | None, tyro.conf.arg(metavar="CORES")] = None
    """Cores to take; the default is all of them."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="RUNS")] = None
    """Runs at once, of a study, or on a GPU of all panels; the default is one a core, and on a GPU as many as pay there."""

    on: Annotated[str, tyro.conf.arg(metavar="here|ray[:ADDRESS]")] = "here"
    """Where the runs are done: on this machine or on a Ray cluster; to Slurm, the whole is submitted as one job."""


def run(words: list[str]) -> int:
    """The verb."""
    scales = {name: read_toml(presets.scale_file(name)) for name in presets.scales()}
    usage = f"triptych reproduce --scale {'|'.join(scales)}"
    given = take(list(words), "--scale") or ""
    known = [read_toml(presets.scale_file(given))] if given else list(scales.values())
    names = dict.fromkeys(name for scale in known for name in _runs(scale))
    told = "; ".join(f"{name}: {scale.get('about', '')}" for name, scale in scales.items())
    default = _options(names)
    options = parse(default, words, usage, ABOUT.format(scales=f"The scales are {told}."))
    if not options.scale:
        raise TriptychError(f"name a scale: {usage}")
    from triptych.reproduction.plan import plan
    from triptych.studies.where import where

    on = where(options.on)
    images = {name: getattr(options, _field(name)) for name in names}
    planned = plan(
        options.scale,
        seed=options.seed,
        data={name: path for name, path in images.items() if path is not None},
        data_dir=options.data_dir,
        threads=options.threads,
        jobs=options.jobs,
    )
    folder = options.out or Path("reproductions") / planned.scale
    return reproduce_and_say(planned, folder, ["reproduce", *words], on)


def _runs(scale: Mapping[str, Any]) -> list[str]:
    """The panels of a scale's file that are a run: they can be given other images. What is wrong with others is told later."""
    panels = scale.get("panels", {})
    panels = panels if isinstance(panels, Mapping) else {}
    runs = [
        name for name, entry in panels.items() if isinstance(entry, Mapping) and "method" in entry
    ]
    return [name for name in runs if _field(name).isidentifier()]


def _field(panel: str) -> str:
    return f"{panel.replace('-', '_')}_data"


def _options(panels: Sequence[str] | Mapping[str, None]) -> Any:
    """`Options`, with one for the images of every panel."""
    fields = [
        (
            _field(name),
            Annotated[
                str | None,
                tyro.conf.arg(
                    metavar="NAME|PATH", help=f"Other images for {name} than its preset's."
                ),
            ],
            None,
        )
        for name in panels
    ]
    return dataclasses.make_dataclass("Options", fields, bases=(Options,), frozen=True)()


def reproduce_and_say(
    plan: Plan, folder: Path, command: Sequence[str], on: Where | None = None
) -> int:
    """Reproduce, show how far it is, and say how it ended; ``command`` is what goes on with it."""
    from triptych.cli.panels import panels_display
    from triptych.reproduction.reproduce import reproduce
    from triptych.studies.where import HERE

    with panels_display() as show:
        outcome = reproduce(plan, folder, on=on or HERE, show=show, timing=timing, say=estimate)
    if outcome.stopped:
        again = shlex.join(["triptych", *command])
        say(f"\n{folder}: stopped, everything is saved; go on with: {again}", aside=True)
        return 130
    _ended(outcome)
    for name, why in outcome.failures.items():
        say(f"triptych: {name} has failed: {why}", aside=True)
    return 1 if outcome.failures else 0


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
        >>> say(times({"a/train": {"predicted": 40.0, "actual": 50.0}}))
        part      predicted   took
        a/train        0:40   0:50   +25 %
        in all         0:40   0:50   +25 %
    """
    rows = {n: (p["predicted"] or 0.0, p["actual"] or 0.0) for n, p in parts.items()}
    rows["in all"] = (sum(p for p, _ in rows.values()), sum(a for _, a in rows.values()))
    width = max(map(len, rows))
    lines = [f"{'part':<{width}}   predicted   took"]
    for name, (predicted, actual) in rows.items():
        off = f"{100 * (actual / predicted - 1):+.0f} %" if predicted else ""
        lines.append(f"{name:<{width}}   {clock(predicted):>9}   {clock(actual):>4}   {off}")
    return "\n".join(lines)
