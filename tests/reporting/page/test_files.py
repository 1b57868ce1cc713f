"""What is written next to a page: every number and figure, and nothing a folder could smuggle in."""

from triptych.reporting.page.page import (
    compose,
    write_figures,
    write_tables,
)
from triptych.reporting.parts.tables import latex_table
from triptych.runs import Result


def reference_config():
    from triptych import experiment

    return experiment.default_config("vae", "reference").tables()


def likelihood(value):
    return {"test/log_likelihood": Result(value, 0.25, 10_000, {"K": 200})}


def test_tables_for_papers_hold_every_number(planted, tmp_path):
    run = planted(tmp_path / "a_run", results=likelihood(-95.6))
    written = write_tables([run.path], tmp_path / "out.html")
    assert [p.name for p in written] == ["out-1-a_run.csv", "out-1-a_run.tex"]
    assert "test/log_likelihood,-95.6,0.25,10000,K 200," in written[0].read_text()
    assert r"test log-likelihood & $-$95.60 $\pm$ 0.25 & 10,000 \\" in written[1].read_text()


def test_signs_of_order_are_maths_to_latex():
    assert r"$<$ 0.001 & $>$ 1 \\" in latex_table(["a", "b"], [["< 0.001", "> 1"]])


def test_figures_for_papers_are_the_same_bytes_each_time(planted, tmp_path):
    run = planted(tmp_path / "run", reference_config())
    written = write_figures(compose([run.path]).sections, tmp_path / "out.html")
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "out-figures/1-run-elbo-curve.pdf",
        "out-figures/1-run-elbo-curve.svg",
    ]
    first = [p.read_bytes() for p in written]
    write_figures(compose([run.path]).sections, tmp_path / "out.html")
    assert first == [p.read_bytes() for p in written]


def test_figures_that_are_as_before_are_not_drawn_again(planted, tmp_path, monkeypatch):
    from triptych.reporting.page import files

    saved, save = [], files.save
    monkeypatch.setattr(
        files, "save", lambda f, path, mark: saved.append(path) or save(f, path, mark)
    )
    run = planted(tmp_path / "run")

    def write():
        return write_figures(compose([run.path]).sections, tmp_path / "out.html")

    assert write() == saved
    assert all(b"triptych-" in path.read_bytes() for path in saved)
    saved.clear()
    assert [path.suffix for path in write()] == [".pdf", ".svg"] and saved == []
    run.log({"step": 201, "epoch": 21.0, "valid/elbo": -90.0})
    assert write() == saved


def test_names_of_runs_do_not_lead_out_of_the_folder_of_the_page(planted, tmp_path):
    run = planted(tmp_path / "..; $(x) &", results=likelihood(-95.6))
    (tmp_path / "here").mkdir()
    out = tmp_path / "here" / "out.html"
    written = write_tables([run.path], out) + write_figures(compose([run.path]).sections, out)
    assert all(path.resolve().is_relative_to(tmp_path / "here") for path in written)
    assert written[0].name == "out-1-x.csv"


def test_texts_of_a_table_are_no_formulas_and_numbers_stay_numbers(planted, tmp_path):
    evil = "=HYPERLINK(1)"
    run = planted(tmp_path / "r", results={evil: Result(-1.5, 0.5, 3, {"-2": "+3"}, "@x")})
    line = write_tables([run.path], tmp_path / "out.html")[0].read_text().splitlines()[1]
    assert line == "'=HYPERLINK(1),-1.5,0.5,3,'-2 +3,'@x"
