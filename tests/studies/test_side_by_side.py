"""Two processes at one folder or one page: one of them works, the other says so, and nobody reads half a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from triptych.studies.plan import load

FILE = """
[study]
method = "vae"
seeds = [0]
evaluate = false
metrics = ["valid/elbo"]
[arms.only]
"""

OPEN = """
import sys
from pathlib import Path
from triptych.errors import TriptychError
from triptych.studies.guard import alone
from triptych.studies.plan import load, open_folder, refuse_another
study = load(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    print("ready", flush=True)
    sys.stdin.readline()
    folder = Path("studies") / str(number)
    try:
        refuse_another(folder, study)
        with alone(folder):
            open_folder(folder, study)
        print("opened", flush=True)
    except TriptychError as error:
        print(error, flush=True)
"""

ROUNDS = 40


def start(program: str, *words: str, cwd: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, *words]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=cwd)


def test_processes_that_open_one_study_at_once_open_it_or_say_that_another_does(tmp_path: Path):
    (tmp_path / "mine.toml").write_text(FILE)
    processes = [start(OPEN, "mine.toml", str(ROUNDS), cwd=tmp_path) for _ in range(3)]
    said = []
    for _ in range(ROUNDS):
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        said += [process.stdout.readline() for process in processes]
    for process in processes:
        _, problems = process.communicate(timeout=60)
        assert process.returncode == 0, problems
    assert len(said) == 3 * ROUNDS
    assert {line for line in said if "another process works on" not in line} == {"opened\n"}
    study = load(tmp_path / "mine.toml").tables()
    for number in range(ROUNDS):
        folder = tmp_path / "studies" / str(number)
        assert load(folder / "study.toml").tables() == study
        assert {path.name for path in folder.iterdir()} <= {"study.toml", ".lock"}


WRITE = """
import sys, threading
from pathlib import Path
from triptych.files import write
path, size = Path("page.html"), 200_000
def many(letter):
    for _ in range(40):
        write(path, letter * size)
threads = [threading.Thread(target=many, args=(letter,)) for letter in sys.argv[1]]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_writers_of_one_file_do_not_meet_and_readers_see_it_whole(tmp_path: Path):
    """Threads share the number of their process, and containers have processes of one number."""
    writers = [start(WRITE, letters, cwd=tmp_path) for letters in ("ab", "cd")]
    path, seen = tmp_path / "page.html", set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            text = path.read_text()
            assert len(text) == 200_000
            assert text == text[0] * 200_000
            seen.add(text[0])
    for writer in writers:
        _, problems = writer.communicate()
        assert (writer.returncode, problems) == (0, "")
    assert len(seen) > 1, "the reader must have looked while they wrote"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_two_calls_of_one_study_end_in_one_outcome(tmp_path: Path):
    np.save(tmp_path / "mine.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))
    short = '[base]\nmethod.hidden = [4]\nmethod.latent = 2\ndata.name = "mine.npy"\n' + (
        'train.duration = "2 steps"\ntrain.batch_size = 8\n[arms.only]'
    )
    (tmp_path / "mine.toml").write_text(FILE.replace("[arms.only]", short))
    command = [sys.executable, "-m", "triptych", "study", "mine.toml", "--jobs", "1"]
    pipe = subprocess.PIPE
    calls = [
        subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path)
        for _ in range(2)
    ]
    ended = [(*call.communicate(timeout=300), call.returncode) for call in calls]
    assert 0 in [code for _, _, code in ended], ended
    for _, said, code in ended:
        assert code in (0, 2), said
        assert "Traceback" not in said
        if code == 2:
            assert "another process works on" in said
    assert (tmp_path / "studies/mine/only/seed-0/DONE").exists()


def test_a_folder_that_was_only_locked_is_where_a_study_begins(tmp_path: Path):
    from triptych.errors import TriptychError
    from triptych.studies.plan import open_folder

    (tmp_path / "mine.toml").write_text(FILE)
    study, folder = load(tmp_path / "mine.toml"), tmp_path / "a"
    folder.mkdir()
    (folder / ".lock").touch()
    open_folder(folder, study)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").touch()
    with pytest.raises(TriptychError, match="holds no study"):
        open_folder(tmp_path / "b", study)


@pytest.mark.parametrize("text", ["", "[study]", "[study]\ncheckpoint = 1\n[arms]", "arms = 3"])
def test_a_study_toml_of_another_shape_is_named(tmp_path: Path, text: str):
    from triptych.errors import TriptychError
    from triptych.studies.plan import refuse_another

    (tmp_path / "mine.toml").write_text(FILE)
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(TriptychError, match=r"study\.toml' is damaged: .*; choose another --out"):
        refuse_another(tmp_path, load(tmp_path / "mine.toml"))
