"""``triptych watch`` and ``triptych train --watch``: what is refused, and what is told of the page."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from triptych.cli.main import main
from triptych.cli.watch import show
from triptych.errors import TriptychError
from triptych.live import beside
from triptych.runs import Run

SMALL = ["--method.hidden", "4", "--method.latent", "2", "--steps", "2", "--threads", "1"]


def test_a_folder_has_to_be_named(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["watch"]) == 2
    assert "name a run, a study or a folder of runs" in capsys.readouterr().err
    assert main(["watch", str(tmp_path / "none")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main(["watch", str(tmp_path), "--ports", "1"]) == 2
    assert "did you mean '--port'" in capsys.readouterr().err


def test_ctrl_c_may_come_as_soon_as_the_page_is_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("triptych.cli.watch.show", interrupted)
    assert main(["watch", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_a_training_is_on_its_page_while_it_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told: list[bytes] = []
    monkeypatch.setattr(
        "triptych.cli.watch.show",
        lambda address, _: told.append(urllib.request.urlopen(f"{address}state").read()),
    )
    assert main(["train", "vae", *SMALL, "--watch", "--out", str(tmp_path / "run")]) == 0
    assert b'"name": "run"' in told[0]
    (tmp_path / "run" / "DONE").unlink()
    assert main(["train", "--watch", "--resume", str(tmp_path / "run")]) == 0
    assert b'"step": 2' in told[1]
    capsys.readouterr()


def test_the_token_is_in_no_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a browser is begun with is seen by every user of the machine; it leads one browser in, and then nobody."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("triptych.cli.watch.has_screen", lambda: True)
    (tmp_path / "runs").mkdir()
    with beside.Page([tmp_path / "runs"]) as page:
        show(page.address, page.entrance)
        token = page.address.split("/")[3]
        assert opened and token not in opened[0]
        with urllib.request.urlopen(opened[0]) as answer:
            assert answer.url == page.address and b"<h1>" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(opened[0])
        refused.value.close()
        show(page.address, "")
    assert len(opened) == 1
    assert capsys.readouterr().out == f"page      {page.address}\n" * 2


def test_a_training_goes_on_without_its_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise TriptychError("no port is free")

    monkeypatch.setattr(beside, "Page", refuse)
    assert main(["train", "vae", *SMALL, "--watch", "--out", str(tmp_path / "run")]) == 0
    assert "there is no page: no port is free" in capsys.readouterr().err
    assert Run.open(tmp_path / "run").status() == "done"
