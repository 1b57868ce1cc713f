"""The runs of a study in the queue of Slurm: submitted as one array of jobs, and never twice."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from triptych import files, records
from triptych.errors import TriptychError, printable
from triptych.records import Shape
from triptych.studies.process import Errand
from triptych.studies.slurm_job import Job, Queued, queue, saving
from triptych.studies.where import Where

__all__ = ["MINUTES", "ids", "log", "queued", "submit"]

MINUTES = 60
"""The time limit of a job if nobody says one: a run that takes longer has several turns."""

TURNS = 1000
"""How often a job may reach its limit; one that gains nothing in a turn ends before."""

FILE = "slurm.json"
"""The jobs of a study, in its folder."""


def _id(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{1,12}(_\d{1,9})?", value) is not None


JOBS: Shape = {"jobs": {...: _id}}
"""The job that was submitted last for each run."""


def ids(folder: Path) -> dict[str, str]:
    """The job that was submitted last for each run, by the run's folder in the study's. Raises `DamagedError`."""
    remedy = "delete it once squeue shows no job of the study"
    found = records.parsed(folder / FILE, JOBS, remedy) or {"jobs": {}}
    jobs: dict[str, str] = found["jobs"]
    return jobs


def queued(folder: Path) -> dict[str, Queued]:
    """The runs of a study that wait or run just now, by their folders in it.

    Raises `TriptychError` where the study has jobs and the queue cannot be asked.
    """
    jobs = ids(folder)
    found = queue(jobs.values())
    return {run: found[job] for run, job in jobs.items() if job in found}


def submit(name: str, errands: Sequence[Errand], where: Where, jobs: int | None) -> str:
    """Put runs of one study that are not in the queue into it, ``jobs`` at once, and return; what was done, in words.

    Raises `TriptychError` where there is no Slurm, and for what it refuses.
    """
    folder = errands[0].folder
    busy, jobs_of = queued(folder), ids(folder)
    to_do = [errand for errand in errands if errand.run not in busy]
    if to_do:
        (folder / "logs").mkdir(exist_ok=True)
        jobs_of |= _submitted(name, folder, to_do, where, jobs)
        files.write(folder / FILE, json.dumps({"jobs": jobs_of}, indent=1) + "\n")
    new = _arrays(jobs_of[errand.run] for errand in to_do)
    old = _arrays(jobs_of[run] for run in busy)
    said = [f"{_runs(to_do)} of '{name}' submitted to Slurm as job {new}"] if to_do else []
    said += [f"{_runs(busy)} in its queue already as job {old}"] if busy else []
    return (
        f"{', '.join(said)}\nlook      {shlex.join(['triptych', 'study', str(folder), '--status'])}"
        f"\nend       scancel {' '.join(dict.fromkeys(f'{old} {new}'.split()))}"
    )


def _runs(them: Collection[object]) -> str:
    return f"{len(them)} run{'' if len(them) == 1 else 's'}"


def _arrays(jobs: Iterable[str]) -> str:
    """What scancel takes for them."""
    return " ".join(dict.fromkeys(job.partition("_")[0] for job in jobs))


def log(folder: Path, job: str) -> Path:
    """What a job and Slurm said, beside the run's own process."""
    return folder / "logs" / "slurm" / f"{job}_0_log.err"


def _submitted(
    name: str, folder: Path, errands: Sequence[Errand], where: Where, jobs: int | None
) -> dict[str, str]:
    """The job of each run, by its folder."""
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    if not re.fullmatch(r"[^%\\\x00-\x1f\x7f]+", str(folder)):
        # Slurm puts its own words for some of them, and a script of it has one line a setting.
        raise TriptychError(
            f"a job of Slurm cannot work in '{folder}': its name has a percent sign, a backslash or a control character"
        )
    minutes = where.minutes or MINUTES
    threads = max(1, *(errand.threads for errand in errands))
    settings: dict[str, Any] = {
        "name": f"triptych-{re.sub(r'[^A-Za-z0-9._-]', '-', name)[:60]}",
        "timeout_min": minutes,
        "cpus_per_task": threads,
        # What sbatch was told of it, srun does not take over since Slurm 22.05.
        "slurm_srun_args": [f"--cpus-per-task={dict(where.sbatch).get('cpus_per_task', threads)}"],
        "gpus_per_node": max((e.devices for e in errands if e.device == "cuda"), default=None),
        "slurm_partition": where.name or None,
        "slurm_array_parallelism": min(jobs or len(errands), len(errands)),
        "slurm_signal_delay_s": saving(minutes),
        # Some clusters begin no job again that does not ask for it.
        "slurm_additional_parameters": {"requeue": True, **dict(where.sbatch)},
    }
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            executor = submitit.AutoExecutor(
                folder / "logs" / "slurm",
                cluster="slurm",
                slurm_max_num_timeout=TURNS,
                # -P: a user's own file beside the study must not be imported for one of ours.
                slurm_python=f"{shlex.quote(sys.executable)} -P",
            )
            executor.update_parameters(**settings)
            submitted = executor.submit_array([Job(errand, minutes) for errand in errands])
    except (FailedJobError, FailedSubmissionError) as error:
        raise TriptychError(
            f"Slurm took no job: {printable(' '.join(str(error).split()))}"
        ) from None
    except (RuntimeError, FileNotFoundError):
        raise TriptychError(
            "there is no Slurm on this machine (no srun and sbatch); call from where its jobs are submitted"
        ) from None
    return {errand.run: job.job_id for errand, job in zip(errands, submitted, strict=True)}
