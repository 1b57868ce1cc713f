"""A run that finds no memory beside others is not to blame for it; alone it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from triptych.environment import enough_memory
from triptych.processes import Child
from triptych.runs import Run
from triptych.studies import pool, worker
from triptych.studies.pool import Pool, Task
from triptych.studies.process import NO_ROOM, Errand, begin
from triptych.studies.worker import as_worker, settled

MARKS = """
import sys, time
from pathlib import Path
run, needs, lasts = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
card = run.parent / "card"
card.mkdir(exist_ok=True)
(card / run.name).touch()
with (run.parent / "log").open("a") as log:
    log.write(f"{run.name} {sorted(p.name for p in card.iterdir())}\\n")
time.sleep(lasts / 2)
room = needs + len(list(card.iterdir())) <= 3
time.sleep(lasts / 2)
(card / run.name).unlink()
if not room:
    print("OutOfMemoryError: CUDA out of memory.", file=sys.stderr)
    sys.exit(75)
run.mkdir(exist_ok=True)
(run / "DONE").touch()
"""
"""A run of so many seconds: it ends for want of memory where it ``needs`` more than the others leave of three."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POLL", 0.05)


def task(path: Path, needs: int, lasts: float) -> Task:
    log = path.parent / "logs" / path.name

    def begin() -> Child:
        with log.open("ab") as said:
            return Child(
                [sys.executable, "-c", MARKS, str(path), str(needs), str(lasts)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
            )

    return Task(path, log, begin, lambda: settled(path, False))


def test_without_room_beside_others_it_is_done_alone_and_nobody_is_blamed(tmp_path: Path):
    small, large, last = (tmp_path / name for name in ("small", "large", "last"))
    for path in (small, large, last):
        Run.create(path, {})
    told: list[dict[Path, str]] = []
    crowd = Pool([task(small, 0, 3.0), task(large, 2, 1.0), task(last, 0, 2.0)], 2)
    assert not crowd.work(lambda: told.append(crowd.put_back()))
    assert crowd.problems == {}
    assert all((path / "DONE").exists() for path in (small, large, last))
    assert {path for said in told for path in said} == {large}
    assert "tried again alone" in next(said for said in told if said)[large]
    seen = [line.split(" ", 1) for line in (tmp_path / "log").read_text().splitlines()]
    assert [name for name, _ in seen].count("large") == 2
    assert seen[-1] == ["large", "['large']"], "after all others, and alone"


def test_without_room_alone_it_has_failed(tmp_path: Path):
    for name in ("small", "huge"):
        Run.create(tmp_path / name, {})
    crowd = Pool([task(tmp_path / "huge", 5, 0.5), task(tmp_path / "small", 0, 1.5)], 2)
    assert not crowd.work(lambda: None)
    assert Run(tmp_path / "huge").status() == "failed"
    assert Run(tmp_path / "huge").reason() == "OutOfMemoryError: CUDA out of memory."
    seen = (tmp_path / "log").read_text().splitlines()
    assert sum(line.startswith("huge") for line in seen) == 2, "once alone, and not again"
    assert crowd.problems == {}


def test_without_room_before_there_is_a_run_it_has_no_outcome(tmp_path: Path):
    huge = tmp_path / "huge"
    crowd = Pool([task(huge, 5, 0.1)], 2)
    crowd.work(lambda: None)
    assert crowd.problems == {huge: "OutOfMemoryError: CUDA out of memory."}
    assert not huge.exists()


def test_a_worker_that_dies_before_it_has_read_is_its_own_affair(tmp_path: Path):
    """More than a pipe holds is told to a process that reads nothing."""
    log, run = tmp_path / "logs" / "run", tmp_path / "run"
    errand = Errand(tmp_path, "run", "logs/run", "triptych.nothing", "run", line="x" * 2**20)
    there_is_none = Task(run, log, lambda: begin(errand), lambda: False)
    crowd = Pool([there_is_none], 1)
    assert not crowd.work(lambda: None)
    assert "No module named" in crowd.problems[run]


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", NO_ROOM, "interrupted"),
        ("CUBLAS_STATUS_ALLOC_FAILED", NO_ROOM, "interrupted"),
        ("illegal memory access", None, "failed"),
    ],
)
def test_a_worker_leaves_want_of_memory_to_who_began_it(
    tmp_path: Path, monkeypatch, capsys, words, code, status
):
    run = Run.create(tmp_path / "run", {})
    monkeypatch.setattr(worker, "interrupt_at_end_of_input", lambda also: None)

    def trained() -> None:
        # As a training does that breaks.
        run.finish("FAILED", words)
        raise RuntimeError(words)

    def said() -> None:
        with enough_memory("take a smaller --batch-size"):
            raise RuntimeError(words)

    if code is not None:
        assert as_worker(tmp_path, said) == code, "nor is the sentence that a training makes of it"
        assert "not enough memory on the GPU" in capsys.readouterr().err
    if code is None:
        with pytest.raises(RuntimeError, match=words):
            as_worker(run.path, trained)
    else:
        assert as_worker(run.path, trained) == code
        assert words in capsys.readouterr().err
    assert run.status() == status
