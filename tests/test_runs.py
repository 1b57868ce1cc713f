"""Run folders: numbering, locks and metrics, with real processes where two of them meet."""

import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych import checkpoint, files, npy
from triptych.arrays import made_with, pack, unpack
from triptych.errors import DamagedError, TriptychError
from triptych.runs import Result, Run, kind, list_runs
from triptych.weights import Weights


def python(program: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


CREATE_MANY = """
import sys
from pathlib import Path
from triptych.runs import Run
sys.stdin.readline()
for _ in range(25):
    Run.create_numbered(Path(sys.argv[1]), sys.argv[2], {"seed": 1})
"""


@pytest.mark.parametrize("titles", [("vae-a", "vae-a", "vae-a"), ("vae-a", "wgan-b", "simsiam-c")])
def test_processes_that_start_at_once_get_numbers_of_their_own(tmp_path: Path, titles):
    """A number is how a person speaks of a run, so it has one, whatever the titles."""
    processes = [python(CREATE_MANY, str(tmp_path), title) for title in titles]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, problems = process.communicate(timeout=60)
        assert process.returncode == 0, problems
    runs = list_runs(tmp_path)
    numbers = [int(run.path.name[:5]) for run in runs]
    assert len(runs) == 75
    assert all(run.config == {"seed": 1} for run in runs)
    assert sorted(numbers) == list(range(75))


def test_a_number_is_one_more_than_the_highest(tmp_path: Path):
    first = Run.create_numbered(tmp_path / "new" / "root", "a", {})
    assert first.path.name == "00000-a"
    (tmp_path / "new/root/00041-x").mkdir()
    (tmp_path / "new/root/notes").mkdir()
    assert Run.create_numbered(tmp_path / "new/root", "VAE on my images/☺ ", {}).path.name == (
        "00042-VAE-on-my-images"
    )
    assert Run.create_numbered(tmp_path / "new/root", "///", {}).path.name == "00043-run"


def test_what_exists_is_left_alone(tmp_path: Path):
    run = Run.create(tmp_path / "a", {"seed": 1})
    with pytest.raises(TriptychError, match=r"exists already.*--resume"):
        Run.create(tmp_path / "a", {"seed": 2})
    assert run.config == {"seed": 1}
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TriptychError, match="exists already"):
        Run.create(tmp_path / "file", {})
    with pytest.raises(TriptychError, match="cannot make the run folder"):
        Run.create(tmp_path / "file" / "below", {})
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "half" / "checkpoints").mkdir(parents=True)
    with pytest.raises(TriptychError, match=r"exists already and is no run; .* or delete it"):
        Run.create(tmp_path / "half", {})


def test_only_a_run_folder_opens(tmp_path: Path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TriptychError, match="not a run folder"):
            Run.open(path)


HOLD = """
import sys
from pathlib import Path
from triptych.runs import Run
with Run.open(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_run_is_trained_by_one_process_and_a_dead_one_lets_go(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    assert run.status() == "interrupted"
    process = python(HOLD, str(run.path))
    try:
        assert process.stdout.readline() == "held\n"
        assert run.status() == "running"
        with pytest.raises(TriptychError, match="another process is training"), run.lock():
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert run.status() == "interrupted"
    with run.lock():
        assert run.status() == "running"


def test_how_a_run_ended(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    assert run.reason() == ""
    run.finish("FAILED", "the loss was not finite")
    assert (run.status(), run.reason()) == ("failed", "the loss was not finite")
    run.reopen()
    assert (run.status(), run.reason()) == ("interrupted", "")
    run.finish("DONE", "trained for 20 epochs")
    assert (run.status(), run.reason()) == ("done", "trained for 20 epochs")


def test_a_run_that_goes_on_deletes_nothing_behind_a_link(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.png").write_bytes(b"mine")
    (run.path / "figures").rmdir()
    (run.path / "figures").symlink_to(tmp_path / "photos")
    run.reopen()
    assert (tmp_path / "photos" / "holiday.png").read_bytes() == b"mine"


LINES = [
    {"step": 1, "epoch": 0.5, "a": -1.5},
    {"step": 2, "epoch": 1.0, "b": 1e-30},
    {"step": 3, "epoch": 1.5, "a": 0.1},
]


def logged(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "a", {})
    for line in LINES:
        run.log(line)
    return run


def test_metrics_come_back_as_they_were_logged(tmp_path: Path):
    run = logged(tmp_path)
    assert run.metrics() == LINES
    assert run.curve("a") == ([0.5, 1.5], [-1.5, 0.1])
    assert run.curve("absent") == ([], [])
    assert Run.create(tmp_path / "empty", {}).metrics() == []


def test_a_last_line_cut_at_any_byte_is_dropped_and_then_replaced(tmp_path: Path):
    run = logged(tmp_path)
    path = run.path / "metrics.jsonl"
    whole = path.read_bytes()
    second_ends = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for cut in range(second_ends, len(whole)):
        path.write_bytes(whole[:cut])
        assert run.metrics() == LINES[:2]
        run.rewind(2)
        run.log(LINES[2])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("step", [0, 1, 2, 3, 99])
def test_rewinding_drops_what_came_after_and_keeps_the_rest_to_the_byte(tmp_path: Path, step: int):
    run = logged(tmp_path)
    path = run.path / "metrics.jsonl"
    before = path.read_text().splitlines(keepends=True)
    run.rewind(step)
    assert path.read_text() == "".join(before[:step])


def test_results_are_merged_by_name_and_carry_their_protocol(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    assert run.results() == {}
    run.record({"test/elbo": Result(-100.5, 0.3, 10, {"split": "test"})})
    run.record(
        {"a": Result([1, 2], None, 3, {}, "why"), "test/elbo": Result(-99.0, 0.2, 10, {"K": 1})}
    )
    assert run.results() == {
        "a": {"value": [1, 2], "stderr": None, "n": 3, "protocol": {}, "note": "why"},
        "test/elbo": {"value": -99.0, "stderr": 0.2, "n": 10, "protocol": {"K": 1}, "note": ""},
    }
    (run.path / "results.json").write_text('{"a": ')
    with pytest.raises(TriptychError, match="damaged"):
        run.results()


def test_arrays_come_back(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    assert run.arrays("x") is None
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    run.save_arrays("x", images=images, kl=np.array([0.5, 0.25]))
    found = run.arrays("x")
    assert (found["images"] == images).all()
    assert found["images"].dtype == np.uint8
    assert found["kl"].tolist() == [0.5, 0.25]
    assert [p.name for p in (run.path / "samples").iterdir()] == ["x.npz"]


REWRITE = """
import sys
from pathlib import Path
from triptych.runs import Run
run = Run.open(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    text = f"{n:05d}" * 10_000
    run.write("results.json", '{"n": {"value": "' + text + '", "stderr": null, "n": 1, "protocol": {}}}')
    if n == 1:
        print("writing", flush=True)
"""


def test_a_reader_never_sees_half_a_file_even_when_the_writer_is_killed(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    process = python(REWRITE, str(run.path))
    try:
        process.stdout.readline()
        ends, seen = time.monotonic() + 0.3, set()
        while time.monotonic() < ends:
            seen.add(run.results()["n"]["value"])
    finally:
        process.kill()
        process.communicate()
    assert len(seen) > 1, "the reader must have looked while the writer wrote"
    last = run.results()["n"]["value"]
    assert last == last[:5] * 10_000


def test_list_runs_finds_run_folders_alone_and_in_order(tmp_path: Path):
    for name in ("b", "a", "c"):
        Run.create(tmp_path / "runs" / name, {})
    (tmp_path / "runs" / "other" / "within").mkdir(parents=True)
    Run.create(tmp_path / "runs" / "other" / "within" / "not-searched", {})
    Run.create(tmp_path / "runs" / ".half-made", {})
    found = list_runs(tmp_path / "runs")
    assert [run.path.name for run in found] == ["a", "b", "c"]
    assert list_runs(str(tmp_path / "absent")) == []


@pytest.fixture
def reproduction(tmp_path: Path) -> Path:
    """Runs, and a study of two arms, in a reproduction in a folder."""
    root = tmp_path / "runs"
    for name in ("first", "demo/game", "demo/ablation/b/seed-0", "demo/ablation/a/seed-10"):
        Run.create(root / name, {})
    (root / "demo/reproduce.json").write_text("{}")
    (root / "demo/ablation/study.toml").write_text("")
    (root / "demo/ablation/figures").mkdir()
    # Were it followed, there would be no end.
    (root / "demo/ablation/itself").symlink_to(root / "demo/ablation")
    return root


def test_runs_of_studies_and_reproductions_are_found(reproduction: Path):
    inside = ["ablation/a/seed-10", "ablation/b/seed-0", "game"]

    def names(folder: Path) -> list[str]:
        return [str(run.path.relative_to(folder)) for run in list_runs(folder)]

    assert names(reproduction) == [*(f"demo/{name}" for name in inside), "first"]
    assert names(reproduction / "demo") == inside
    assert names(reproduction / "demo/ablation") == ["a/seed-10", "b/seed-0"]
    assert names(reproduction / "demo/ablation/a") == ["seed-10"]
    assert names(reproduction / "first") == ["."]


def test_a_folder_that_cannot_be_looked_into_hides_no_other(reproduction: Path, monkeypatch):
    refused = reproduction / "demo"
    real = Path.iterdir

    def iterdir(path: Path):
        if path == refused:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [run.path.name for run in list_runs(reproduction)] == ["first"]


def test_a_path_may_be_a_text(tmp_path: Path):
    run = Run.create(str(tmp_path / "a"), {"seed": 3})
    assert Run.open(str(tmp_path / "a")).config == {"seed": 3}
    assert run.path == Run(str(tmp_path / "a")).path == tmp_path / "a"
    assert Run.create_numbered(str(tmp_path / "root"), "x", {}).path.name == "00000-x"


def test_a_frame_has_a_row_a_step(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    for line in (
        {"step": 5, "epoch": 0.5, "train/loss": 3.0},
        {"step": 5, "epoch": 0.5, "valid/loss": 4.0},
        {"step": 10, "epoch": 1.0, "train/loss": 1.0},
    ):
        run.log(line)
    frame = run.frame()
    assert list(frame.index) == [5, 10]
    assert list(frame.columns) == ["epoch", "train/loss", "valid/loss"]
    assert frame["train/loss"].tolist() == [3.0, 1.0]
    assert frame["valid/loss"].isna().tolist() == [False, True]
    assert Run.create(tmp_path / "empty", {}).frame().empty


def test_without_pandas_a_frame_says_what_to_install(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(TriptychError, match="pip install pandas"):
        Run.create(tmp_path / "a", {}).frame()


def test_a_run_is_shown_on_a_line_whatever_is_in_its_folder(tmp_path: Path):
    run = Run.create(tmp_path / "a", {"method": {"name": "m"}, "data": {"name": "/x/mine"}})
    run.log({"step": 1200})
    run.finish("DONE", "trained")
    assert repr(run) == f"<Run '{tmp_path / 'a'}': m on mine, done, step 1,200>"
    (run.path / "config.toml").write_text("=")
    assert "is not valid TOML" in repr(run)
    hostile = Run(tmp_path / "\x1b[2J")
    assert "\x1b" not in repr(hostile) and "\\x1b[2J" in repr(hostile)


def test_what_an_array_file_was_made_with_is_read_without_the_others(tmp_path: Path, monkeypatch):
    run = Run.create(tmp_path / "a", {})
    run.made_with = Weights("last", 3, "abc")
    run.save_arrays("big", images=np.zeros((100, 100)), other=np.ones(3))
    read = []
    real = npy.member
    monkeypatch.setattr(npy, "member", lambda a, of: read.append(of.filename) or real(a, of))
    assert run.left_out() == {}
    assert read == ["made_with.npy"]
    assert set(run.arrays("big")) == {"images", "other"}


@pytest.mark.parametrize("channels", [1, 3])
def test_moments_come_back_as_they_were_kept(tmp_path, channels):
    run = Run.create(tmp_path / "run", {})
    kept = np.random.default_rng(0).integers(0, 256, (64, channels, 6, 5), np.uint8)
    run.save_moment(20, kept)
    run.save_moment(3, kept[::-1])
    found = run.moments()
    assert list(found) == [3, 20]
    assert (found[20] == kept).all()
    assert (found[3] == kept[::-1]).all()


def test_moments_fill_the_memory_one_at_a_time(tmp_path):
    run = Run.create(tmp_path / "run", {})
    images = np.zeros((64, 3, 64, 64), np.uint8)
    for step in range(1, 11):
        run.save_moment(step, images)
    tracemalloc.start()
    assert sum(int(images.sum()) for images in run.moments().values()) == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * images.nbytes


def test_alarms_are_read_from_the_metrics_and_go_with_them(tmp_path):
    run = Run.create(tmp_path / "run", {})
    run.log({"step": 10, "x": 1.0})
    run.log({"step": 20, "alarm": "it broke"})
    assert run.alarms() == [(20, "it broke")]
    run.rewind(10)
    assert run.alarms() == []


def test_what_was_left_out_stands_in_the_results_with_its_reason(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    why = "the validation split has no labels"
    run.record({"a": Result(1.0, None, 3, {}, "x"), "b": Result.left_out(why, {"split": "valid"})})
    assert list(run.results()) == ["a"]
    assert run.left_out() == {"b": why}
    stored = json.loads((run.path / "results.json").read_text())["b"]
    assert stored == {
        "value": None,
        "stderr": None,
        "n": 0,
        "protocol": {"split": "valid"},
        "note": why,
    }
    run.record({"b": Result(2.0, None, 4, {})})
    assert run.left_out() == {}
    assert run.results()["b"]["value"] == 2.0


MAKE = """
import builtins, io, os, signal, sys
from pathlib import Path
from triptych.runs import Run
die_at, seen = int(sys.argv[2]), 0

def audit(event, arguments):
    global seen
    if event in ("open", "os.mkdir", "os.rename") and sys.argv[1] in str(arguments[0]):
        seen += 1
        if seen == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(audit)
Run.create(Path(sys.argv[1]) / "run", {"seed": 1}, {"environment.json": "{}"})
print(seen)
"""


def test_a_run_folder_is_there_whole_or_not_at_all_wherever_the_process_is_killed(tmp_path: Path):
    """At every call that makes, opens or renames something, one after the other."""
    calls = python(MAKE, str(tmp_path / "whole"), "0").communicate()[0]
    assert int(calls) >= 9
    for number in range(1, int(calls) + 1):
        root = tmp_path / f"root-{number}"
        killed = python(MAKE, str(root), str(number))
        killed.communicate()
        assert killed.returncode == -signal.SIGKILL
        assert not (root / "run").exists()
        assert list_runs(root) == []
        run = Run.create(root / "run", {"seed": 2}, {"environment.json": "{}"})
        assert run.config == {"seed": 2}
        assert [path.name for path in root.iterdir()] == ["run"]


def test_what_a_killed_training_left_half_written_goes_with_the_next_one(tmp_path: Path):
    run = Run.create(tmp_path / "run", {"seed": 1})
    (run.path / "samples" / "moments").mkdir()
    dead = f"triptych-{files._here()}-{2**22 + 1}-00000000"
    for name in (
        "config.toml",
        "checkpoints/last.safetensors",
        "samples/x.npz",
        "samples/moments/1.png",
    ):
        path = run.path / name
        path.with_name(f".{path.name}.{dead}").write_bytes(b"half")
    assert len(list(run.path.rglob(".*triptych-*"))) == 4
    with run.lock():
        pass
    assert list(run.path.rglob(".*triptych-*")) == []


@pytest.mark.parametrize("number", range(1, 4))
def test_a_run_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch, number: int):
    """A disk that is full at the first, second or third file."""
    count, real = 0, Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        nonlocal count
        count += 1
        if count == number:
            real(path, data[:1])
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    files = {"environment.json": "{}", "notes.txt": "mine"}
    with pytest.raises(TriptychError, match=r"folder '.*/a': No space left on device; make room"):
        Run.create(tmp_path / "a", {"seed": 1}, files)
    assert list(tmp_path.iterdir()) == []


ODD_FILES = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "bytes that are no text": lambda path: path.write_bytes(b'{"a": "\xff\xfe"}\n'),
    "deep lists": lambda path: path.write_text("[" * 100_000 + "]" * 100_000 + "\n"),
}


@pytest.mark.parametrize("make", ODD_FILES.values(), ids=ODD_FILES)
@pytest.mark.parametrize("name", ["results.json", "metrics.jsonl"])
def test_what_is_no_text_file_is_named_and_not_waited_for(tmp_path: Path, name: str, make):
    run = Run.create(tmp_path / "a", {})
    make(run.path / name)
    with pytest.raises(TriptychError, match=rf"{name}' is (damaged|no text)") as caught:
        run.results() if name == "results.json" else run.metrics()
    assert str(caught.value).isprintable()


BAD_LINES = {
    '{"epoch": 1}': "step is missing or of another kind",
    '{"step": -1}': "step is missing",
    '{"step": true}': "step is missing",
    '{"step": 1.5}': "step is missing",
    '{"step": NaN}': "step is missing",
    '{"step": 1, "epoch": "1"}': "epoch is missing",
    '{"step": 1, "epoch": Infinity}': "epoch is missing",
    '{"step": 1, "seconds": -1}': "seconds is missing",
    '{"step": 1, "train/loss": "0.5"}': "train/loss is missing",
    '{"step": 1, "train/loss": null}': "train/loss is missing",
    '{"step": 1, "train/loss": [1]}': "train/loss is missing",
    '{"step": 1000000000000000000000000000000}': "10000000000000000000 is larger than any number",
    "[]": "it is missing",
    "3": "it is missing",
    "{": "Expecting",
}


@pytest.mark.parametrize(("line", "said"), BAD_LINES.items())
def test_a_line_of_another_shape_is_named_by_its_number(tmp_path: Path, line: str, said: str):
    run = Run.create(tmp_path / "a", {})
    run.log({"step": 1, "epoch": 1.0, "train/loss": float("nan")})
    assert len(run.metrics()) == 1
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(TriptychError, match=rf"metrics\.jsonl' is damaged: line 2: {said}"):
        run.metrics()


BAD_RESULTS = {
    "[]": "it is missing",
    '{"a": 3}': "a is missing or of another kind",
    '{"a": {"value": 1, "stderr": null, "n": 1}}': "a: protocol is missing",
    '{"a": {"value": 1, "stderr": -1, "n": 1, "protocol": {}}}': "a: stderr is missing",
    '{"a": {"value": 1, "stderr": "1", "n": 1, "protocol": {}}}': "a: stderr is missing",
    '{"a": {"value": 1, "stderr": null, "n": -1, "protocol": {}}}': "a: n is missing",
    '{"a": {"value": 1, "stderr": null, "n": 1, "protocol": {"K": []}}}': "a: protocol: K is miss",
    '{"a": {"value": 1, "stderr": null, "n": 1, "protocol": {}, "note": 3}}': "a: note is missing",
    '{"a": {"value": NaN, "stderr": null, "n": 1, "protocol": {}}}': "NaN is no number",
    '{"a": {"value": 1e999, "stderr": null, "n": 1, "protocol": {}}}': "1e999 is no number",
}


@pytest.mark.parametrize(("text", "said"), BAD_RESULTS.items())
def test_results_of_another_shape_are_named(tmp_path: Path, text: str, said: str):
    run = Run.create(tmp_path / "a", {})
    (run.path / "results.json").write_text(text)
    with pytest.raises(TriptychError, match=rf"results\.json' is damaged: {said}"):
        run.results()


def test_a_number_that_is_not_finite_is_recorded_as_not_measured(tmp_path: Path):
    run = Run.create(tmp_path / "a", {})
    run.record({"x": Result(float("nan"), None, 3, {"K": 1}), "y": Result([1.0], 0.5, 3, {})})
    assert list(run.results()) == ["y"]
    assert run.left_out() == {"x": "what was measured is not a finite number"}


def test_a_study_is_no_run_and_its_runs_are_named(tmp_path: Path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.toml").write_text("")
    Run.create(tmp_path / "s" / "narrow" / "seed-0", {})
    assert [kind(p) for p in (tmp_path, tmp_path / "s", tmp_path / "s" / "narrow" / "seed-0")] == [None, "study", "run"]  # fmt: skip
    with pytest.raises(TriptychError, match="it holds narrow/seed-0: name one of them"):
        Run.open(tmp_path / "s")


def test_what_anybody_may_have_written_beside_a_run_is_refused_or_says_nothing(tmp_path: Path):
    run = Run.create(tmp_path / "odd", {"method": {"name": "vae"}})
    checkpoint.save(run.checkpoint("last"), {"weights.a": torch.zeros(1)}, {"step": 3})
    pack(run.path / "samples" / "a.npz", {"x": np.zeros(2)}, {"weights": ["no digest"]})
    # What does not say its weights belongs to all.
    assert run.arrays("a")["x"].tolist() == [0.0, 0.0]
    assert run.left_out() == {}
    field = {"value": 1.0, "stderr": None, "n": 2, "protocol": {}}
    run.write("results.json", json.dumps({"a": {**field, "more": 3}}))
    assert run.recorded() == {"a": Result(1.0, None, 2, {})}
    run.write("results.json", json.dumps({"a": {**field, "protocol": {"step": "three"}}}))
    with pytest.raises(DamagedError, match="a: protocol: step is missing or of another kind"):
        run.recorded()
    run.write("environment.json", json.dumps({"data": ["no table"]}))
    with pytest.raises(DamagedError, match=r"environment\.json' is damaged: data is missing or of"):
        run.environment()


def test_a_picture_of_a_training_that_is_none_is_named(tmp_path: Path):
    run = Run.create(tmp_path / "pictures", {})
    run.save_moment(3, np.full((4, 1, 2, 2), 7, np.uint8))
    folder = run.path / "samples" / "moments"
    (folder / "not a step.png").touch()
    (folder / "00000004.png").write_bytes((folder / "00000003.png").read_bytes()[:40])
    os.mkfifo(folder / "00000005.png")
    found = run.moments(2)
    assert list(found) == [3, 4, 5]
    assert found[3].tolist() == np.full((4, 1, 2, 2), 7).tolist()
    for step in (4, 5):
        with pytest.raises(DamagedError, match=rf"0000000{step}\.png' is damaged"):
            found[step]
    with pytest.raises(DamagedError, match="delete it"):
        run.moments(3)[3]


def test_an_array_of_texts_that_are_none_is_refused(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, made_with=np.array([0x110000], "<u4").view("<U1"))
    with pytest.raises(DamagedError, match="'made_with' has characters that there are not"):
        unpack(path)
    assert made_with(path) == {}
