"""What is written next to a page: every number and figure, and nothing a folder could smuggle in."""

import os
from xml.etree import ElementTree

from triptych import files
from triptych.reporting.page.page import (
    compose,
    write_figures,
    write_tables,
    write_whole,
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
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "out-files/tables/1-a_run.csv",
        "out-files/tables/1-a_run.tex",
    ]
    assert "test/log_likelihood,-95.6,0.25,10000,K 200," in written[0].read_text()
    assert r"test log-likelihood & $-$95.60 $\pm$ 0.25 & 10,000 \\" in written[1].read_text()


def test_signs_of_order_are_maths_to_latex():
    assert r"$<$ 0.001 & $>$ 1 \\" in latex_table(["a", "b"], [["< 0.001", "> 1"]])


def test_figures_for_papers_are_the_same_bytes_each_time(planted, tmp_path):
    run = planted(tmp_path / "run", reference_config())
    written = write_figures(compose([run.path]).sections, tmp_path / "out.html")
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "out-files/figures/1-run-elbo-curve.pdf",
        "out-files/figures/1-run-elbo-curve.svg",
    ]
    first = [p.read_bytes() for p in written]
    write_figures(compose([run.path]).sections, tmp_path / "out.html")
    assert first == [p.read_bytes() for p in written]


def test_what_is_as_before_is_not_touched(planted, tmp_path):
    run, out = planted(tmp_path / "run", results=likelihood(-95.6)), tmp_path / "out.html"

    def write():
        """When each file was written, having pretended that all are old."""
        written = write_tables([run.path], out) + write_figures(compose([run.path]).sections, out)
        times = {path.suffix: path.stat().st_mtime for path in written}
        for path in written:
            os.utime(path, (1, 1))
        return times

    assert min(write().values()) > 1
    assert write() == dict.fromkeys((".csv", ".tex", ".pdf", ".svg"), 1)
    run.log({"step": 201, "epoch": 21.0, "valid/elbo": -90.0})
    changed = write()
    assert changed[".csv"] == changed[".tex"] == 1
    assert min(changed[".pdf"], changed[".svg"]) > 1


def test_the_words_of_a_figure_are_in_what_its_files_say_of_themselves(planted, tmp_path):
    run = planted(tmp_path / "run", reference_config())
    pdf, svg = write_figures(compose([run.path]).sections, tmp_path / "out.html")
    title = "ELBO over the training"
    assert f"/Title ({title})".encode() in pdf.read_bytes()
    told = ElementTree.fromstring(svg.read_text())
    texts = ["".join(e.itertext()) for e in told.iter() if e.tag.endswith("}text")]
    about = ["".join(e.itertext()).strip() for e in told.iter() if e.tag.endswith("}description")]
    assert about[0].startswith("binarized-mnist\xa0· Bernoulli")
    assert title in [e.text for e in told.iter() if e.tag.endswith("}title")]
    assert "epoch" in texts and title not in texts
    assert not [t for t in texts if "mnist" in t]
    assert "prefers-color-scheme" not in svg.read_text(), "paper is white"


def test_what_a_killed_report_left_half_written_goes_with_the_next(planted, tmp_path):
    run, out = planted(tmp_path / "r", results=likelihood(-95.6)), tmp_path / "out.html"
    whole = write_whole(compose([run.path]), [run.path], out)
    # As `files.staged` names them, of a process that is not there any more.
    left = [
        path.with_name(f".{path.name}.triptych-{files._here()}-999999999-00000000")
        for path in (*whole.figures, *whole.tables)
    ]
    for path in left:
        path.write_text("half")
    write_whole(compose([run.path]), [run.path], out)
    assert left and not any(path.exists() for path in left)


def test_files_of_before_there_was_one_folder_are_left_alone(planted, tmp_path):
    run, out = planted(tmp_path / "run", results=likelihood(-95.6)), tmp_path / "out.html"
    (tmp_path / "out-figures").mkdir()
    old = [tmp_path / "out-1-run.csv", tmp_path / "out-figures" / "1-run-elbo-curve.svg"]
    for path in old:
        path.write_text("mine")
    write_tables([run.path], out)
    write_figures(compose([run.path]).sections, out)
    assert [path.read_text() for path in old] == ["mine", "mine"]


def test_names_of_runs_do_not_lead_out_of_the_folder_of_the_page(planted, tmp_path):
    run = planted(tmp_path / "..; $(x) &", results=likelihood(-95.6))
    (tmp_path / "here").mkdir()
    out = tmp_path / "here" / "out.html"
    written = write_tables([run.path], out) + write_figures(compose([run.path]).sections, out)
    assert all(path.resolve().is_relative_to(tmp_path / "here") for path in written)
    assert written[0].name == "1-x.csv"


def test_texts_of_a_table_are_no_formulas_and_numbers_stay_numbers(planted, tmp_path):
    evil = "=HYPERLINK(1)"
    run = planted(tmp_path / "r", results={evil: Result(-1.5, 0.5, 3, {"-2": "+3"}, "@x")})
    line = write_tables([run.path], tmp_path / "out.html")[0].read_text().splitlines()[1]
    assert line == "'=HYPERLINK(1),-1.5,0.5,3,'-2 +3,'@x"
