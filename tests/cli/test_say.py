"""What is printed: names of somebody else's move nothing, and an output that ends is no fault of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.cli.main import main
from triptych.runs import Result, Run

EVIL = ("[/x]", "[red]bold[/]", "\x1b[2J\x1b[31m", "a\rb", "\u202egpj", "\x9b1m", "one\nline")


def triptych(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "triptych", *words]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, check=False
    )


def obeyed(said: str) -> set[str]:
    """Characters that are meant for a terminal."""
    return {c for c in said.replace("\n", "") if not c.isprintable()}


@pytest.mark.parametrize("evil", EVIL)
def test_the_table_of_runs_shows_names_and_obeys_none(tmp_path, capsys, monkeypatch, evil):
    monkeypatch.setenv("COLUMNS", "300")
    run = Run.create(tmp_path / evil.replace("/", "-"), {"method": {"name": evil}, "data": {}})
    run.log({"step": 1, "epoch": 1.0, "alarm": evil})
    run.finish("FAILED", f"it broke: {evil}")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text(f"{evil} = [")
    assert main(["runs", "--root", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert not obeyed(said)
    plain = evil.encode("unicode_escape").decode() if not evil.isprintable() else evil
    assert f"it broke: {plain}" in said
    assert "damaged" in said
    assert main(["runs", "--root", f"nothing {evil}"]) == 0
    assert not obeyed(capsys.readouterr().out)


@pytest.mark.parametrize("evil", EVIL)
def test_notes_and_reasons_of_results_are_shown_and_obeyed_nowhere(tmp_path, capsys, evil):
    run = Run.create(tmp_path / "a", {"method": {"name": "vae"}, "data": {"name": "x"}})
    run.record({f"x{evil}": Result(evil, None, 3, {"split": evil}, evil)})
    run.record({f"y{evil}": Result.left_out(evil, {})})
    from triptych.cli.evaluate import show

    show(run.path)
    said = capsys.readouterr()
    assert not obeyed(said.out + said.err)


def test_class_folders_may_have_any_names(tmp_path, capsys):
    for number, name in enumerate(("[red]", "\x1b[31m")):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for image in range(20):
            level = np.full((8, 8), 10 * image + number, np.uint8)
            Image.fromarray(level).save(folder / f"{image}.png")
    assert main(["data", "info", str(tmp_path / "images")]) == 0
    said = capsys.readouterr().out
    assert "[red]" in said
    assert not obeyed(said)


def test_a_bar_of_any_name_is_drawn(tmp_path):
    program = (
        "from triptych.progress import bars\n"
        "with bars() as progress:\n    progress('[/x] \\x1b[2J [red]', 1, 2)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": "100"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"[/x]" in done.stderr
    assert b"\x1b[2J" not in done.stderr


def test_an_output_that_ends_early_is_no_error(tmp_path):
    for number in range(300):
        Run.create(tmp_path / f"run-{number}", {"method": {"name": "vae"}})
    command = [sys.executable, "-m", "triptych", "runs", "--root", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_a_full_disk_is_one_sentence(tmp_path):
    Run.create(tmp_path / "a", {})
    command = [sys.executable, "-m", "triptych", "runs", "--root", str(tmp_path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "triptych: No space left on device\n")


def test_a_terminal_without_the_characters_gets_their_escapes(tmp_path):
    Run.create(tmp_path / "数", {"method": {"name": "vae"}})
    done = triptych("runs", "--root", ".", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert rb"\u6570" in done.stdout


def test_an_error_of_the_system_names_its_file_and_one_without_a_file_does_not(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert (
        main(["report", str(tmp_path / "file" / "below"), "--out", str(tmp_path / "x.html")]) == 2
    )
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "file/below" in said


def test_a_page_and_an_evaluation_say_what_they_could_not_read(tmp_path, capsys):
    run = Run.create(tmp_path / "a", {"method": {"name": "vae"}, "data": {"name": "x"}})
    run.log({"step": 1, "epoch": 1.0, "train/elbo": -1.0})
    (run.path / "results.json").write_text(json.dumps({"a": 3}))
    assert main(["report", str(run.path), "--out", str(tmp_path / "page.html")]) == 0
    said = capsys.readouterr().err
    assert said.count("results.json' is damaged: a is missing or of another kind") == 1
    html = (tmp_path / "page.html").read_text()
    assert "results.json&#39; is damaged" in html
