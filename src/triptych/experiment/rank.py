"""One of the processes that share a run: ``python -m triptych.experiment.rank JOB``, begun by a launcher.

The job is a line of JSON: the verb, and what `triptych.experiment.resume` or `triptych.experiment.evaluate` takes.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

from triptych import experiment
from triptych.config import merge
from triptych.errors import LostError, TriptychError, printable
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment.launch import LOST
from triptych.processes import interrupt_at_end_of_input
from triptych.ranks import leave

__all__ = ["main"]


def work(verb: str, run: str, config: dict[str, Any] | None = None, **where: str | None) -> None:
    """Do this rank's part."""
    if verb == "evaluate":
        experiment.evaluate(run, merge(EvaluateConfig(), config or {}), **where)  # type: ignore[arg-type]
    else:
        experiment.resume(run, **where)  # type: ignore[arg-type]


def main() -> int:
    """The exit code: 0 also where somebody stopped a training, 1 for a fault, 2 for wrong input or a run that broke, 130, `LOST`."""
    interrupt_at_end_of_input()
    try:
        work(**json.loads(sys.argv[1]))
    except KeyboardInterrupt:
        # Where it was not at a step, at which all stop: the launcher ends the others.
        return 130
    except TriptychError as error:
        print(printable(str(error)), file=sys.stderr)
        return LOST if isinstance(error, LostError) else 2
    except Exception:
        # Said here: a process that Python takes apart in the midst of a meeting may be aborted before.
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    leave(main())
