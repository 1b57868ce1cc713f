"""``triptych report RUN…``: what runs and studies found, as one page that needs no server and no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from triptych.cli.options import parse
from triptych.cli.say import say
from triptych.errors import TriptychError

USAGE = "triptych report [--compare] [--reference] RUN ..."

ABOUT = """Write a self-contained HTML page from any runs and studies, with their tables as CSV and LaTeX and their
figures as PDF and SVG beside it. A RUN is a run's folder or a study's; what was not evaluated is not in it. With --compare two of them stand
side by side, number by number where both were measured by one protocol. With --reference the page goes through the reference
report (IFT6135, assignment 3, April 2022) and holds its own methods' runs against it; without, nothing is said of it."""

FLAGS = ("--compare", "--reference")


@dataclass(frozen=True)
class Options:
    """What the report can be told."""

    out: Path = Path("report.html")
    """Where the page goes."""
    title: str = "Triptych report"
    """Its heading."""


def run(words: list[str]) -> int:
    """The verb."""
    helps = any(w in ("-h", "--help") for w in words)
    compares, reference = (flag in words for flag in FLAGS)
    words = [w for w in words if w not in FLAGS]
    named = next((i for i, w in enumerate(words) if w.startswith("-")), len(words))
    if not helps and not named:
        raise TriptychError(f"name at least one run or study: {USAGE}")
    options = parse(Options(), words if helps else words[named:], USAGE, ABOUT)
    from triptych.reporting.page.compare import compare
    from triptych.reporting.page.page import compose, write_whole

    paths = [Path(w) for w in words[:named]]
    if compares and len(paths) != 2:
        raise TriptychError(f"--compare takes two runs or studies, and here are {len(paths)}")
    comparison = compare(*paths) if compares else None
    page = compose(paths, options.title, comparison, reference=reference)
    written = write_whole(page, paths, options.out)
    for table in written.tables:
        say(f"table     {table}")
    if written.figures:
        say(f"figures   {written.figures[0].parent} ({len(written.figures)} files, PDF and SVG)")
    say(f"report    {written.page} ({page.size / 1e6:.1f} MB)")
    for section in page.sections:
        for lost in section.lost:
            say(f"note      {section.name}: not read: {lost}", aside=True)
    if page.warning:
        say(f"note      {page.warning}", aside=True)
    return 0
