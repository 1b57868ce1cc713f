"""``triptych report``: what it writes, and what it says of it."""

from pathlib import Path

import pytest

from triptych.cli import report
from triptych.errors import TriptychError
from triptych.reporting.page import page
from triptych.runs import Result, Run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    planted = Run.create(tmp_path / "a-run", {"method": {"name": "vae"}, "data": {"name": "x"}})
    for epoch in (1.0, 2.0):
        planted.log({"step": int(epoch), "epoch": epoch, "valid/elbo": -100.0 + epoch})
    planted.record({"test/elbo": Result(-98.0, 0.5, 10, {"K": 1})})
    planted.finish("DONE", "trained")
    return planted.path


def test_the_page_has_tables_and_figures_beside_it_and_all_are_named(run, tmp_path, capsys):
    out = tmp_path / "new" / "r.html"
    assert report.run([str(run), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"figures   {out.parent / 'r-files' / 'figures'} (2 files, PDF and SVG)" in said.out
    found = sorted(
        p.relative_to(out.parent).as_posix() for p in out.parent.rglob("*") if p.is_file()
    )
    assert found == [
        "r-files/figures/1-a-run-elbo-curve.pdf",
        "r-files/figures/1-a-run-elbo-curve.svg",
        "r-files/tables/1-a-run.csv",
        "r-files/tables/1-a-run.tex",
        "r.html",
    ]


def test_a_heavy_page_is_written_with_a_warning(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(page, "HEAVIEST", 1000)
    assert report.run([str(run), "--out", str(tmp_path / "r.html")]) == 0
    assert "note      the page has 0.1 MB, more than the 0.0 MB" in capsys.readouterr().err
    assert (tmp_path / "r.html").exists()


def test_a_comparison_is_of_two(run, tmp_path):
    with pytest.raises(TriptychError, match="takes two runs or studies, and here are 1"):
        report.run(["--compare", str(run), "--out", str(tmp_path / "r.html")])


def test_the_reference_stands_on_the_page_only_where_it_is_asked_for(tmp_path):
    from triptych.experiment import default_config

    run = Run.create(tmp_path / "r", default_config("vae", "reference").tables())
    run.log({"step": 1, "epoch": 1.0, "valid/elbo": -168.0})
    for words, asked in (([], False), (["--reference"], True)):
        out = tmp_path / f"{asked}.html"
        assert report.run([*words, str(run.path), "--out", str(out)]) == 0
        assert ("The reference report, figure by figure" in out.read_text()) == asked
        assert ("−100.49" in out.read_text()) == asked
