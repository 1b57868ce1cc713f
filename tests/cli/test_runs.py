"""``triptych runs``: every run below a folder, whatever is wrong with the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.cli.main import main
from triptych.runs import Run


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/one", "runs/demo/game", "runs/demo/ablation/b/seed-0"):
        Run.create(tmp_path / name, {"method": {"name": "mine"}})
    (tmp_path / "runs/demo/reproduce.json").write_text("{}")
    (tmp_path / "runs/demo/ablation/study.toml").write_text("")
    return tmp_path


def named(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """The first column, below its head."""
    assert main(["runs", *words]) == 0
    return [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]


def test_runs_of_studies_and_reproductions_are_listed(root, capsys):
    every = ["demo/ablation/b/seed-0", "demo/game", "one"]
    assert named(capsys) == named(capsys, "runs") == named(capsys, "--root", "runs") == every
    assert named(capsys, "runs/demo") == ["ablation/b/seed-0", "game"]
    assert named(capsys, "runs/demo/ablation") == ["b/seed-0"]
    assert named(capsys, "runs/one") == ["one"]


def test_a_damaged_run_hides_no_other(root, capsys):
    (root / "runs/demo/game/config.toml").write_text("=")
    (root / "runs/one/results.json").write_text("{")
    assert main(["runs"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[1:]] == ["demo/ablation/b/seed-0", "demo/game", "one"]
    assert ["damaged" in line for line in said[1:]] == [False, True, True]


def test_a_folder_without_runs_is_said_to_have_none(root, capsys):
    assert main(["runs", "elsewhere"]) == 0
    assert "there are no runs in 'elsewhere'" in capsys.readouterr().out


def test_an_option_that_there_is_not_is_refused(root, capsys):
    assert main(["runs", "--rot", "x"]) == 2
    assert "did you mean '--root'" in capsys.readouterr().err
