"""``triptych explore``: what it refuses, before it reads anything."""

import pytest

from triptych.cli.main import main
from triptych.runs import Run


def test_a_link_out_of_the_folder_is_refused_before_anything_is_read(tmp_path, capsys, monkeypatch):
    run = Run.create(tmp_path / "r", {"method": {"name": "vae"}})
    (tmp_path / "private").write_text("secret")
    (run.path / "samples" / "x.npz").symlink_to(tmp_path / "private")
    read = []
    monkeypatch.setattr(
        "triptych.playable.export.write_playable", lambda *given: read.append(given)
    )
    assert main(["explore", str(run.path)]) == 2
    assert "leads out of" in capsys.readouterr().err
    assert not read


@pytest.mark.parametrize("name", ["study.json", "study.toml"])
def test_a_study_is_told_from_a_run_and_one_of_its_runs_is_named(tmp_path, capsys, name):
    (tmp_path / name).write_text("")
    assert main(["explore", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"triptych: '{tmp_path}' is a study; name one of its runs\n"
    Run.create(tmp_path / "default" / "seed-3", {})
    assert main(["explore", str(tmp_path)]) == 2
    such = tmp_path / "default" / "seed-3"
    assert f"is a study; name one of its runs, such as '{such}'" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_said_to_be_none(tmp_path, capsys):
    assert main(["explore", str(tmp_path / "nothing")]) == 2
    said = capsys.readouterr().err
    assert (
        said
        == f"triptych: '{tmp_path / 'nothing'}' is not a run folder: there is nothing of that name\n"
    )
