"""``triptych VERB …``: find the verb's file, and turn an error into one sentence."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence

from triptych import __version__
from triptych.errors import TriptychError, unknown

__all__ = ["main"]

VERBS = {
    "demo": "all three panels on the embedded digits, to one page: the whole tour in minutes",
    "reproduce": "all three panels at a scale of your choice, timed beforehand, to one page",
    "train": "train a method into a run folder, or go on with one",
    "evaluate": "measure a run and draw its figures",
    "study": "train arms over seeds, paired and side by side, and compare them",
    "report": "write what runs and studies found as one HTML page",
    "explore": "write a run as one page in which its model can be played with, and open it",
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
    warnings.showwarning = _one_line  # type: ignore[assignment]
    try:
        return _dispatch(words)
    except BrokenPipeError:
        # The reader of a pipe went away (`triptych runs | head`): no fault of anybody's.
        sys.stderr.close()
        return 0
    except (TriptychError, OSError) as error:
        if debug:
            raise
        from triptych.data.names import printable

        # Paths and names in it are other people's: one line, and nothing that a terminal obeys.
        print(f"triptych: {printable(_sentence(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntriptych: stopped", file=sys.stderr)
        return 130


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename or ''}"
    return str(error)


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
    print(f"triptych: {message}", file=sys.stderr)
