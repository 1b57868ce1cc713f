"""``triptych runs``: the runs below a folder, how they ended and what they reached."""

from __future__ import annotations

from pathlib import Path

from triptych.cli.options import parse
from triptych.cli.say import cell, say, show
from triptych.errors import TriptychError
from triptych.runs import Run, list_runs

ABOUT = """List the runs below a folder, those of studies and reproductions in it too: how they ended and what they
reached."""


def run(words: list[str]) -> int:
    """The verb."""
    from dataclasses import dataclass

    from rich.table import Column, Table

    @dataclass(frozen=True)
    class Options:
        root: Path = Path("runs")
        """The folder that holds the run folders; --root may be left out."""

    # As everywhere else, what comes first and is no option is the folder.
    words = ["--root", *words] if words and not words[0].startswith("-") else words
    root = parse(Options(), words, "triptych runs [FOLDER]", ABOUT).root
    table = Table(
        *("run", "method", "data", "ended"),
        *(Column(name, no_wrap=True) for name in ("step", "weights")),
        "headline",
        box=None,
        header_style="bold",
    )
    found = list_runs(root)
    for each in found:
        # By its way from the folder, by which it can be named; the folder itself by its own name.
        name = str(each.path.relative_to(root)) if each.path != root else root.resolve().name
        try:
            row = [name, *_row(Run.open(each.path))]
        except (TriptychError, OSError) as error:
            row = [name, "", "", "damaged", "", "", str(error)]
        table.add_row(*map(cell, row))
    if found:
        show(table)
    else:
        say(f"there are no runs in '{root}'; see triptych train --help")
    return 0


def _row(run: Run) -> list[str]:
    """What the table says of a run beside its name."""
    metrics, config, last = run.metrics(), run.config, run.weights("last")
    reached = max(metrics[-1]["step"] if metrics else 0, last.step if last else 0)
    return [
        str(config.get("method", {}).get("name", "")),
        Path(str(config.get("data", {}).get("name", ""))).name,
        ", ".join([run.status(), *(f"alarm at step {step}" for step, _ in run.alarms())]),
        f"{reached:,}",
        _weights(run),
        _headline(run),
    ]


def _weights(run: Run) -> str:
    """Step and digest of the weights that an evaluation takes if nobody says otherwise."""
    found = run.chosen()
    return f"{found.step:,} {found.digest[:8]}" if found else ""


def _headline(run: Run) -> str:
    from triptych.reporting.terminal import headline_words

    doubt = run.doubt()
    said = headline_words(run)
    return f"{said} ({doubt})" if doubt else said
