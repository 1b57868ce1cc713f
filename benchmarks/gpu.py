"""What a card does with Triptych, in one call: the same bits, milliseconds a step, launches, looks, and the report.

    python benchmarks/gpu.py DATA [--out FOLDER] [--seconds 300] [--whole] [--only PART …] [--miniature]

DATA is a mirror of the named data sets, as ``--data-dir`` takes it. A table at the end, and everything as JSON in
FOLDER, written after every row: nothing is lost where time ends. Parts come in the order of their worth; those for
which no time is left are said to be left out. A part that fails is told with its message, and one that takes the card or the
process with it costs only itself: the rest goes on in a process of its own. With ``--whole`` there is no limit, and
the reference report and `cifar-stem` are done from end to end. With ``--miniature`` everything is done thin and short on
the embedded digits, wherever it runs: a test of itself.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

GRACE = 60
"""Seconds that a process may hang beyond its time, in a call that no signal reaches."""

BROKEN = 3
"""The exit code of a process whose card answers no more."""

STOP = signal.SIGUSR1
"""What stops the process that works; Ctrl-C a training would take for a wish to end well."""

NO_TIME, STOPPED = "no time was left", "stopped by Ctrl-C"
DIED = "the process ended, or hung, in this part"


def write(path: Path, found: dict[str, Any]) -> None:
    """The whole file or the one before."""
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)


def work(chosen: argparse.Namespace, path: Path) -> None:
    """Do what is not done yet, in this process; the exit code says whether another one is to go on."""
    import card
    import gpu_parts
    from gpu_bench import Bench, OutOfTimeError, limited

    signal.signal(STOP, interrupt)
    found = json.loads(path.read_text(encoding="utf-8"))
    done = found["parts"]
    rows = [row for part in done.values() for row in part["rows"]]
    deadline = float("inf") if chosen.whole else found["began"] + chosen.seconds
    bench = Bench(
        data=(chosen.data or Path()).resolve(),
        work=chosen.work.resolve(),
        out=chosen.out.resolve(),
        miniature=chosen.miniature,
        whole=chosen.whole,
        deadline=deadline,
        rows=rows,
    )
    bench.work.mkdir(parents=True, exist_ok=True)
    if not found["machine"]:
        found["machine"] = card.facts()
    parts = {
        name: part
        for name, part in gpu_parts.parts(bench).items()
        if not chosen.only or any(name.startswith(word) for word in chosen.only)
    }
    found["planned"] = list(parts)
    for name, part in parts.items():
        if name in done:
            continue
        began = time.time()
        entry: dict[str, Any] = {"rows": [], "failed": DIED}
        done[name] = entry
        write(path, found)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                # The report stops itself, and saves.
                left = float("inf") if name == "report" else bench.left()
                if bench.left() <= 0:
                    raise OutOfTimeError
                with limited(left):
                    for row in part():
                        entry["rows"].append(row)
                        rows.append(row)
                        write(path, found)
                del entry["failed"]
            except OutOfTimeError:
                del entry["failed"]
                entry["left_out"] = NO_TIME
            except KeyboardInterrupt:
                entry["failed"] = STOPPED
                write(path, found)
                sys.exit(130)
            except Exception as error:  # the others are still to be measured
                entry["failed"] = f"{type(error).__name__}: {error}"
        entry["seconds"] = round(time.time() - began, 2)
        entry["warnings"] = sorted({str(one.message) for one in said})
        write(path, found)
        print(f"{name}: {entry['seconds']} s", entry.get("failed", ""), flush=True)
        if "failed" in entry:
            try:
                card.synchronise()
            except Exception:  # after an illegal access the card answers nothing in this process
                sys.exit(BROKEN)
    found["ended"] = time.time()
    write(path, found)


def supervise(chosen: argparse.Namespace, path: Path) -> dict[str, Any]:
    """Let processes work until nothing is left to do; each that dies costs the part that it died in."""
    command = [sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--worker"]
    began = time.time()
    write(path, {"command": sys.argv, "began": began, "machine": {}, "parts": {}})
    limit = None if chosen.whole else began + chosen.seconds + GRACE
    while True:
        before = path.read_text(encoding="utf-8")
        process = subprocess.Popen(command, start_new_session=True)
        try:
            process.wait(None if limit is None else max(1, limit - time.time()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            stop(process)
            break
        text = path.read_text(encoding="utf-8")
        if process.returncode == 130 or "ended" in json.loads(text) or text == before:
            break
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, and then end it with all that it started."""
    for send, number, seconds in ((os.kill, STOP, 35), (os.killpg, signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            send(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def interrupt(number: int, frame: FrameType | None) -> None:
    """Stop at once."""
    raise KeyboardInterrupt


COLUMNS = ("what", "took", "× plain", "of the floor", "goal", "of the goal", "said")


def table(found: dict[str, Any]) -> str:
    """Markdown: the machine, a line a row, and what is missing."""
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    lines += [cells(row) for part in found["parts"].values() for row in part["rows"]]
    machine = [f"- {key}: {value}" for key, value in found["machine"].items()]
    missing = [
        f"- {name}: {word} {part[key]}"
        for name, part in found["parts"].items()
        for key, word in (("failed", "FAILED:"), ("left_out", "left out:"))
        if key in part
    ]
    missing += [f"- {n}: not begun" for n in found.get("planned", ()) if n not in found["parts"]]
    said = [
        f"- {n}: {word}" for n, part in found["parts"].items() for word in part.get("warnings", ())
    ]
    told = ["", "Not measured:", "", *missing] if missing else []
    warned = ["", "Warned of meanwhile:", "", *said] if said else []
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([*machine, "", *rows, *told, *warned])


def cells(row: dict[str, Any]) -> list[str]:
    """One row as words."""

    def number(key: str, form: str = ".2f") -> str:
        return "" if row.get(key) is None else format(row[key], form)

    said = [row["note"]] if row.get("note") else []
    if "same_bits" in row:
        said.append("the same bits" if row["same_bits"] else "OTHER BITS")
    for key, words in (
        ("plain_with_views", "{:.1f} × plain with views"),
        ("times_reached", "{:.2f} of the × asked"),
        ("first_step_seconds", "first step after {:.1f} s"),
        ("recording_seconds", "{:.1f} s to record"),
        ("host_calls", "{:g} calls of the host"),
        ("idle", "idle {:.0%}"),
    ):
        if row.get(key) is not None:
            said.append(words.format(row[key]))
    quartiles = row.get("plain_quartiles")
    spread = f" ({quartiles[0]:.2f} to {quartiles[1]:.2f})" if quartiles else ""
    took = f"{row['value']:.4g} {row['unit']}"
    ratio = number("plain") + spread
    return [
        row["what"],
        took,
        ratio,
        number("floor"),
        row.get("goal", ""),
        number("reached"),
        "; ".join(said),
    ]


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("docs/results/gpu"))
    parser.add_argument("--work", type=Path, default=Path("reproductions/gpu"))
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--only", nargs="*", default=[], metavar="PART")
    parser.add_argument("--miniature", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if not (chosen.miniature or (chosen.data and chosen.data.is_dir())):
        parser.error("name the folder of the data, as --data-dir takes it")
    chosen.out.mkdir(parents=True, exist_ok=True)
    name = "-".join(["gpu", *(word.replace("/", "-") for word in chosen.only)]).replace(" ", "-")
    path = chosen.out / f"{name}.json"
    if chosen.worker:
        work(chosen, path)
        return
    found = supervise(chosen, path)
    text = table(found)
    path.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(text)
    if any("failed" in part for part in found["parts"].values()) or "ended" not in found:
        sys.exit(1)


if __name__ == "__main__":
    main()
