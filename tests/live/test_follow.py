"""A log that grows, is cut off, goes on elsewhere or is gone, read by what is new in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from triptych.live import follow
from triptych.live.follow import KEPT, Followed, Log
from triptych.runs import Run


def line(step: int, **logged: float | str) -> str:
    return json.dumps({"step": step, "epoch": step / 10, "seconds": float(step), **logged}) + "\n"


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def steps(log: Log) -> list[int]:
    return [found["step"] for found in log.lines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_only_what_is_new_is_read(path: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[bytes] = []
    entry = follow.records.entry
    monkeypatch.setattr(
        follow.records, "entry", lambda raw, *of: (read.append(raw), entry(raw, *of))[1]
    )
    log = Log(path)
    assert not log.follow()
    add(path, line(1) + line(2))
    assert log.follow() and not log.follow()
    add(path, line(3))
    assert log.follow()
    assert steps(log) == [1, 2, 3]
    assert len(read) == 3


def test_a_line_is_read_when_it_is_whole(path: Path):
    log, whole = Log(path), line(2, alarm="naïve")
    data = whole.encode()
    path.write_bytes(line(1).encode() + data[:-9])
    assert log.follow() and steps(log) == [1]
    with path.open("ab") as file:
        file.write(data[-9:])
    assert log.follow() and steps(log) == [1, 2]
    assert log.latest is not None and log.latest["alarm"] == "naïve"


def test_a_run_that_goes_on_drops_lines_and_the_log_is_read_anew(tmp_path: Path):
    run = Run.create(tmp_path / "run", {})
    for step in range(1, 6):
        run.log({"step": step})
    log = Log(run.path / "metrics.jsonl")
    log.follow()
    run.rewind(2)
    for step in (3, 4, 5, 6, 7):
        run.log({"step": step, "again": 1.0})
    assert log.follow()
    assert [(e["step"], "again" in e) for e in log.lines()] == [
        *((1, False), (2, False)),
        *((step, True) for step in (3, 4, 5, 6, 7)),
    ]


def test_a_log_that_is_cut_shorter_is_read_anew(path: Path):
    log = Log(path)
    add(path, line(1) + line(2) + line(3))
    log.follow()
    os.truncate(path, len(line(1)))
    assert log.follow() and steps(log) == [1]


def test_another_text_in_the_same_place_is_seen(path: Path):
    """As a copy over the file leaves it: longer than before, and nothing of it where it was."""
    log = Log(path)
    add(path, line(1) + line(2))
    log.follow()
    path.write_text(line(7) + line(8) + line(9))
    assert log.follow() and steps(log) == [7, 8, 9]


def test_a_log_that_is_gone_is_empty_and_may_come_back(path: Path):
    log = Log(path)
    add(path, line(1))
    log.follow()
    path.unlink()
    assert log.follow() and steps(log) == [] and not log.follow()
    add(path, line(5))
    assert log.follow() and steps(log) == [5]


def test_what_is_damaged_is_said_and_what_was_before_stays(path: Path):
    log = Log(path)
    add(path, line(1) + "{nonsense}\n" + line(3))
    assert log.follow()
    assert steps(log) == [1]
    assert f"the line at byte {len(line(1))}" in log.wrong and str(path) in log.wrong
    assert not log.follow()
    path.write_text(line(1) + line(2))
    assert log.follow() and steps(log) == [1, 2] and not log.wrong


def test_what_is_no_file_is_refused_at_once(path: Path):
    os.mkfifo(path)
    log = Log(path)
    assert log.follow() and "it is no file" in log.wrong
    assert not log.follow()


def test_of_a_long_log_the_end_is_read_piece_by_piece(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follow, "BEHIND", 10_000)
    monkeypatch.setattr(follow, "PIECE", 3_000)
    path.write_text("".join(map(line, range(1000))))
    log = Log(path)
    looks = 0
    while log.follow():
        looks += 1
        assert log.place - log.skipped <= looks * 3_000
    assert looks in (4, 5)
    found = steps(log)
    assert found == list(range(found[0], 1000))
    assert path.stat().st_size - 10_000 <= log.skipped <= path.stat().st_size - 9_900
    assert not log.wrong


def test_a_line_without_an_end_is_not_read_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follow, "PIECE", 3_000)
    path.write_text("x" * 10_000)
    log = Log(path)
    assert log.follow() and "a line of more than 3,000 bytes" in log.wrong
    assert not log.follow()


def test_of_many_lines_few_are_kept_and_none_of_the_rare_ones_is_lost(path: Path):
    many = 5_000
    add(path, "".join(line(step, loss=1.0) for step in range(many)))
    add(path, line(many, alarm="collapsed") + line(many, **{"valid/loss": 2.0}))
    log = Log(path)
    log.follow()
    found = log.lines()
    trained = [e["step"] for e in found if "loss" in e]
    assert KEPT <= len(trained) <= 2 * KEPT
    assert trained[0] == 0 and trained[-1] == many - 1 and trained == sorted(trained)
    assert [set(e) - {"step", "epoch", "seconds"} for e in found[-2:]] == [
        {"alarm"},
        {"valid/loss"},
    ]


def test_kinds_without_number_take_no_room_without_limit(path: Path):
    add(path, "".join(line(step, **{f"a/{step}": 1.0}) for step in range(3_000)))
    log = Log(path)
    log.follow()
    assert len(log.kinds) == follow.KINDS + 1
    assert len(log.lines()) <= follow.KINDS + 2 * KEPT


def test_a_run_in_training_is_known_by_its_lock_and_its_end(tmp_path: Path):
    run = Run.create(tmp_path / "run", {"train": {"duration": "10 steps"}})
    with run.lock():
        run.log({"step": 5, "epoch": 0.5, "seconds": 20.0})
        followed = Followed(run.path)
        assert followed.follow()
        assert (followed.status(), followed.share(), followed.left()) == ("running", 0.5, 20.0)
        assert not followed.ask()
    assert followed.ask() and followed.status() == "interrupted"
    run.finish("DONE", "trained")
    assert followed.follow() and followed.status() == "done"


def test_the_time_that_is_left_is_by_the_clock_once_that_was_seen(tmp_path: Path):
    """Validation is not in the seconds of a log; what was seen of the file's own times is."""
    run = Run.create(tmp_path / "run", {"train": {"duration": "10 epochs"}})
    followed, log = Followed(run.path), run.path / "metrics.jsonl"

    def logged(epoch: float, at: float) -> None:
        run.log({"step": int(100 * epoch), "epoch": epoch, "seconds": 2.0 * epoch})
        os.utime(log, (at, at))
        followed.follow()

    logged(1.0, 1000.0)
    assert followed.left() == pytest.approx(18.0)
    logged(2.0, 1005.0)
    assert followed.left() == pytest.approx(16.0)
    logged(3.0, 1100.0)
    # 100 seconds for two epochs, and seven to come.
    assert followed.left() == pytest.approx(350.0)
    run.rewind(300)
    logged(4.0, 9000.0)
    assert followed.left() == pytest.approx(12.0)
    assert followed.total() == 1000


def test_files_are_read_again_only_when_they_were_written(tmp_path: Path):
    run = Run.create(tmp_path / "run", {"seed": 1})
    followed = Followed(run.path)
    first = followed.config
    assert followed.config is first
    run.write("config.toml", "seed = 23\n")
    assert followed.config == {"seed": 23}
