"""``triptych study FILE``: arms × seeds, paired, side by side, compared."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from triptych import presets
from triptych.cli.estimate import estimate, timing
from triptych.cli.options import parse
from triptych.cli.say import cell, say, show
from triptych.enclosed import enclosed
from triptych.errors import TriptychError
from triptych.progress import bars

if TYPE_CHECKING:
    from rich.table import Table

    from triptych.studies.execute import Show
    from triptych.studies.plan import Cell, Study
    from triptych.studies.watch import Row

USAGE = "triptych study FILE"

ABOUT = """Train the arms of a study over its seeds, paired and side by side, measure and compare them.
FILE is a path, a study's folder, or the name of a study that comes with Triptych: {names}. Called again it goes
on with what is not done; a run that failed is an outcome, and is tried again once its folder is deleted.
With --status it only says how far every run is, wherever that is done, and compares them once all have ended; the exit
code is 1 until then."""


@dataclass(frozen=True)
class Options:
    """What the study can be told beyond its file."""

    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The study's folder; the default is its name below studies/."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """A local mirror of the named data sets."""
    jobs: Annotated[int | None, tyro.conf.arg(metavar="RUNS")] = None
    """Runs at once; the default is one a core, of one thread each, and on a GPU as many as pay there."""
    on: Annotated[str, tyro.conf.arg(metavar="here|ray[:ADDRESS]|slurm[:PARTITION]")] = "here"
    """Where the runs are done: on this machine, on a Ray cluster, or in the queue of Slurm, which returns at once."""
    time: Annotated[int | None, tyro.conf.arg(metavar="MINUTES")] = None
    """The limit of a job of Slurm, an hour if nothing is said; a run that takes longer goes on in another turn."""
    sbatch: Annotated[tuple[str, ...], tyro.conf.arg(metavar="KEY=VALUE")] = ()
    """What else a job of Slurm is submitted with: account=me mem=8G, say."""
    seeds: tuple[int, ...] = ()
    """Other seeds than the file's."""
    changes: Annotated[tuple[str, ...], tyro.conf.arg(name="set", metavar="KEY=VALUE")] = ()
    """Options of a config that hold for every arm, train.duration='2 epochs' say."""


def run(words: list[str]) -> int:
    """The verb."""
    helps = any(w in ("-h", "--help") for w in words)
    if not helps and (not words or words[0].startswith("-")):
        raise TriptychError(
            f"name a study file: {USAGE}; there are {', '.join(sorted(presets.studies()))}"
        )
    about = ABOUT.format(names=", ".join(sorted(presets.studies())))
    rest = [word for word in words[0 if helps else 1 :] if word != "--status"]
    options = parse(Options(), rest, USAGE, about, also=["--status"])
    if options.jobs is not None and options.jobs < 1:
        raise TriptychError(f"--jobs {options.jobs} is too small; give 1 or more")
    from triptych.studies.execute import check, execute, unfinished
    from triptych.studies.plan import refuse_another
    from triptych.studies.where import where

    on = where(options.on, options.time, options.sbatch)
    study, folder = _named(words[0], options)
    if "--status" in words:
        return _status(study, folder)
    refuse_another(folder, study)
    with bars() as progress:
        check(study, unfinished(study, folder), options.data_dir, progress, on)
    with display(study.config.curves) as shown:
        ended = execute(
            study,
            folder,
            jobs=options.jobs,
            data_dir=options.data_dir,
            on=on,
            show=shown,
            timing=timing,
            say=estimate,
        )
    if ended.stopped:
        again = shlex.join(["triptych", "study", *words])
        say(f"\n{folder}: stopped, everything is saved; go on with: {again}", aside=True)
        return 130
    if ended.submitted:
        say(ended.submitted)
        return 0
    _report(study, folder)
    if ended.problems:
        cell, problem = next(iter(ended.problems.items()))
        raise TriptychError(
            f"{len(ended.problems)} of the runs have no outcome, the same command tries again; "
            f"{cell}: {problem}"
        )
    return 0


def _named(name: str, options: Options) -> tuple[Study, Path]:
    """The study of a file or of its own folder, and its folder."""
    from triptych.runs import holds
    from triptych.studies.plan import find, load

    own = Path(name) / "study.toml"
    # What is wrong with a link or a pipe there is said, and no study of that name looked for.
    there = holds(Path(name), "study.toml")
    if there:
        enclosed(name)
    study = load(own if there else find(name), options.changes, options.seeds)
    default = Path(name) if there else Path("studies") / study.config.name
    return study, options.out or default


def _status(study: Study, folder: Path) -> int:
    """Every run as it is, and what was found once all have ended."""
    from triptych.studies.status import status

    found = status(study, folder)
    show(_table(found.rows, None, study.config.curves))
    if found.complete:
        _report(study, folder)
        return 0
    for run, why in found.problems.items():
        say(
            f"triptych: {run} has no outcome, the same command with --on slurm tries again: {why}",
            aside=True,
        )
    if found.note:
        say(f"triptych: {found.note}", aside=True)
    return 1


def _report(study: Study, folder: Path) -> None:
    """Compare, draw, and print what was found."""
    from triptych.studies.conclude import conclude

    said, figures = conclude(study, folder)
    say(said)
    for figure in figures:
        if figure.suffix == ".png":
            say(f"figure    {figure}")
    say(f"numbers   {folder / 'study.json'}, as text {folder / 'study.md'}")


@contextmanager
def display(curves: Sequence[str]) -> Iterator[Show]:
    """A table of all runs where somebody watches, a line for each that ended where nobody does."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    said: set[tuple[Cell, str]] = set()

    def lines(rows: list[Row], left: float | None) -> None:
        for row in rows:
            # What had ended before this call is said once, with the others.
            told = row.ended or row.state in ("stuck", "put back")
            if told and (row.cell, row.state) not in said:
                said.add((row.cell, row.state))
                say(_line(row, left), aside=True)

    if not console.is_terminal:
        yield lines
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda rows, left: live.update(_table(rows, left, curves), refresh=True)


def _line(row: Row, left: float | None) -> str:
    from triptych.reporting.words import number

    numbers = [f"{name} {number(value)}" for name, value in row.latest.items()]
    parts = [row.reason, *numbers, *(["alarm"] if row.alarm else []), time_left(left)]
    return f"{row.cell}: {row.state}; {', '.join(part for part in parts if part)}"


def time_left(left: float | None) -> str:
    """``1:02:03 left``, or nothing where it cannot be told or there is no second left.

    Example:
        >>> time_left(3723.4)
        '1:02:03 left'
    """
    if left is None:
        return ""
    minutes, seconds = divmod(round(left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} left" if left >= 1 else ""


def _table(rows: list[Row], left: float | None, curves: Sequence[str]) -> Table:
    from rich.table import Table

    from triptych.reporting.words import number, plain

    done = sum(row.ended for row in rows)
    caption = (
        f"{done} of {len(rows)} runs ended{', about ' if time_left(left) else ''}{time_left(left)}"
    )
    table = Table(box=None, header_style="bold", caption=caption, caption_justify="left")
    for name in ("arm", "seed", "epoch", *curves, "state"):
        table.add_column(cell(name), justify="left" if name in ("arm", "state") else "right")
    styles = {"training": "bold", "measuring": "bold", "failed": "red", "stuck": "red"}
    for row in rows:
        numbers = [number(row.latest[c]) if c in row.latest else "" for c in curves]
        state = f"{row.state}, alarm" if row.alarm else row.state
        state = f"{state} ({row.reason})" if row.state == "queued" and row.reason else state
        style = styles.get(row.state, "" if row.ended else "dim")
        table.add_row(
            row.cell.arm, str(row.cell.seed), plain(row.epoch, 2), *numbers, state, style=style
        )
    return table
