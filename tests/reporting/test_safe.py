"""Folders of strangers: what is no file, leads nowhere or is too much in all is refused in one sentence."""

import os

import numpy as np
import pytest
from PIL import Image

from triptych.errors import DamagedError, TriptychError
from triptych.reporting import safe
from triptych.reporting.page.page import compose, write_tables
from triptych.reporting.safe import check
from triptych.runs import Result, Run


@pytest.fixture
def run(tmp_path):
    made = Run.create(tmp_path / "r", {"method": {"name": "vae"}, "data": {"name": "x"}})
    made.finish("DONE", "trained")
    return made


def refused(run, words):
    with pytest.raises(TriptychError, match=words) as caught:
        check(run.path)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_refused_and_not_waited_for(run):
    os.mkfifo(run.path / "metrics.jsonl")
    refused(run, r"metrics.jsonl' is neither a file nor a folder")


def test_links_in_a_circle_are_refused(run):
    (run.path / "a.json").symlink_to("b.json")
    (run.path / "b.json").symlink_to("a.json")
    refused(run, r"r/[ab].json' is a link that leads nowhere")
    circle = run.path.parent / "circle"
    circle.symlink_to(circle)
    with pytest.raises(TriptychError, match=r"circle' is a link that leads nowhere"):
        check(circle)


def test_a_link_to_what_is_not_there_is_refused(run):
    (run.path / "x.json").symlink_to("gone.json")
    refused(run, r"x.json' is a link to something that is not there")


def test_a_link_inside_of_the_folder_is_none_of_these(run):
    (run.path / "x.json").symlink_to("DONE")
    check(run.path)


@pytest.mark.parametrize("name", ["DONE", "FAILED", "results.json"])
def test_a_text_that_would_fill_the_memory_is_refused(run, name):
    with (run.path / name).open("wb") as file:
        file.truncate(64_000_001)
    refused(run, rf"{name}' has 64,000,001 bytes, far more")


def moments(run, side, count):
    """One sheet, and the same under other names."""
    folder = run.path / "samples" / "moments"
    folder.mkdir()
    Image.new("L", (side, side)).save(folder / "00000001.png")
    for step in range(2, count + 1):
        os.link(folder / "00000001.png", folder / f"{step:08d}.png")


def test_sheets_that_are_too_many_together_are_refused(run):
    moments(run, 4000, 19)
    refused(run, r"r' has 304,000,000 pixels in samples/moments, far more")


def test_sixty_sheets_of_large_images_pass_and_so_do_those_of_each_run_of_a_study(run):
    moments(run, 8 * 256, 60)
    moments(Run.create(run.path.parent / "s", {}), 8 * 256, 60)
    check(run.path.parent)


def test_arrays_that_are_too_many_together_are_refused(run, monkeypatch):
    monkeypatch.setattr(safe, "ALL_ARRAYS", 3000)
    for name in "ab":
        run.save_arrays(name, x=np.zeros(1000, np.uint8))
    check(run.path)
    run.save_arrays("c", x=np.zeros(1000, np.uint8))
    refused(run, r"r' has 3,384 bytes of arrays unpacked, far more")


@pytest.mark.parametrize(
    ("place", "value"), [(6, 255), (9, 8), (10, 9)], ids=["version", "name", "method"]
)
def test_an_archive_of_a_kind_that_nobody_knows_is_left_to_whoever_reads_it(run, place, value):
    """The version that reads it, a name that says it is UTF-8 and is none, another way to compress."""
    run.save_arrays("a", **{"\xe9": np.zeros(3)})
    path = run.path / "samples" / "a.npz"
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[directory + place] = value
    if place == 9:
        data[directory + 46] = 0xFF
    path.write_bytes(data)
    check(run.path)
    with pytest.raises(DamagedError, match=r"samples/a\.npz' is damaged"):
        run.arrays("a")


def test_an_alarm_stands_at_its_step(run):
    (run.path / "metrics.jsonl").write_text('{"step": 1000, "alarm": "hello"}\n')
    assert "<strong>Alarm at step 1,000:</strong> hello" in compose([run.path]).html


def test_a_line_without_a_number_of_its_step_is_named_once(run):
    (run.path / "metrics.jsonl").write_text('{"step": "x", "alarm": "hello"}\n')
    html = compose([run.path]).html
    assert (
        html.count("metrics.jsonl&#39; is damaged: line 1: step is missing or of another kind") == 1
    )


def test_half_a_character_does_not_stop_the_tables(run):
    run.record({"test/elbo": Result(-90.0, 0.1, 10, {"K": 1}, "not \ud800 honest")})
    written = write_tables([run.path], run.path.parent / "out.html")
    assert [path.suffix for path in written] == [".csv", ".tex"]
    assert "not ? honest" in written[0].read_text(encoding="utf-8")
