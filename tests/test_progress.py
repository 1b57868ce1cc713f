"""The bars that a person sees."""

from __future__ import annotations

from triptych.data import DataConfig, load
from triptych.progress import bars


def test_a_load_draws_a_bar_and_a_repeated_one_nothing(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path))
    monkeypatch.setenv("FORCE_COLOR", "1")
    with bars() as progress:
        load(DataConfig("mnist-5k"), progress=progress)
    said = capsys.readouterr()
    assert "reading train (images)" in said.err
    assert said.out == ""
    with bars() as progress:
        load(DataConfig("mnist-5k"), progress=progress)
    assert capsys.readouterr().err == ""
