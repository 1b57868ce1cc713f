"""``triptych VERB …``: find the verb's file, and turn an error into one sentence."""

from __future__ import annotations

import importlib
import io
import os
import sys
import warnings
from collections.abc import Sequence

from triptych import __version__
from triptych.errors import NoMemoryError, TriptychError, printable, unknown
from triptych.ranks import launched, leave

__all__ = ["main"]

VERBS = {
    "demo": "all three panels on the embedded digits, to one page: the whole tour in minutes",
    "reproduce": "all three panels at a scale of your choice, timed beforehand, to one page",
    "train": "train a method into a run folder, or go on with one",
    "evaluate": "measure a run and draw its figures",
    "study": "train arms over seeds, paired and side by side, and compare them",
    "report": "write what runs and studies found as one HTML page",
    "explore": "write a run as one page in which its model can be played with, and open it",
    "watch": "follow runs while they train, on a page of this machine",
    "trust": "let the file of a method run on this machine, which came with somebody else's run",
    "export": "write a trained backbone as safetensors or ONNX, checked",
    "runs": "list runs, how they ended and their headline numbers",
    "data": "list, describe and download data sets",
}

USAGE = """usage: triptych [--debug] VERB ...

Learning without labels: train, measure, look.

{verbs}

triptych VERB --help explains a verb and all its options.
--debug shows the traceback of an error; --version shows the version."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for a mistake in the input, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [w for w in words if w != "--debug"]
    first = os.environ.get("RANK") == "0"
    if not launched():
        return _run(words, debug)
    if not first and not debug:
        # All of a launcher's processes do the same, and one says so; with --debug all do.
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    code = _run(words, debug)
    # Whether it was stopped the first one knows: the run's folder may not be here.
    leave(0 if code == 130 and not first else code)


def _run(words: list[str], debug: bool) -> int:
    for stream in (sys.stdout, sys.stderr):
        # Names of files and classes may hold what this terminal, or none, has characters for.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _one_line  # type: ignore[assignment]
    try:
        code = _dispatch(words)
        # What is still to be written must fail here, where it is understood, and not when Python ends.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of a pipe went away (`triptych runs | head`): no fault of anybody's.
        _give_up_output()
        return 0
    except (TriptychError, OSError, MemoryError) as error:
        if debug:
            raise
        print(f"triptych: {printable(_sentence(error))}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _give_up_output()
        return 2
    except KeyboardInterrupt:
        print("\ntriptych: stopped", file=sys.stderr)
        return 130


def _give_up_output() -> None:
    """Nobody takes what is still to be written; Python would try once more when it ends, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError):
        # Python's own says nothing, or how much was asked for.
        return str(NoMemoryError())
    if isinstance(error, OSError) and error.strerror:
        named = f": '{error.filename}'" if error.filename is not None else ""
        return f"{error.strerror}{named}"
    return str(error) or type(error).__name__


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, VERBS))
        print(USAGE.format(verbs="\n".join(f"  {v:<{width}}  {a}" for v, a in VERBS.items())))
        return 0
    if words[0] == "--version":
        print(f"triptych {__version__}")
        return 0
    if words[0] not in VERBS:
        raise unknown("verb", words[0], VERBS)
    module = importlib.import_module(f"triptych.cli.{words[0]}")
    code: int = module.run(words[1:])
    return code


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object
) -> None:
    print(f"triptych: {printable(str(message))}", file=sys.stderr)
