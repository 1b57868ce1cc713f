"""The files: drawn exactly where their data is, readable, repeatable, and without a trace elsewhere."""

import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from PIL import Image

from triptych.reporting.draw import FIGURES, draw

DATA: dict[str, Callable] = {
    "elbo-curve": lambda plant: plant.log("train", [1.0], [-150.0]),
    "k-curve": lambda plant: plant.curve(),
    "kl-per-dimension": lambda plant: plant.latents([0.1, 2.0]),
}
PICTURES = ("samples", "reconstructions", "traversal", "interpolation")


@pytest.mark.parametrize("name", DATA)
def test_a_figure_is_drawn_where_its_numbers_are(plant, name):
    DATA[name](plant)
    assert [path.name for path in draw(plant.run)] == [f"{name}.png", f"{name}.pdf"]


@pytest.mark.parametrize("name", PICTURES)
def test_a_figure_is_drawn_where_its_images_are(plant, name):
    plant.pictures()
    for other in set(PICTURES) - {name}:
        (plant.run.path / "samples" / f"{other}.npz").unlink()
    assert [path.name for path in draw(plant.run)] == [f"{name}.png", f"{name}.pdf"]


def test_an_empty_run_has_no_figure(plant):
    assert draw(plant.run) == []
    assert list((plant.run.path / "figures").iterdir()) == []


def test_every_figure_of_a_run_of_a_likelihood(drawn):
    run, files = drawn
    assert {path.stem for path in files} == set(DATA) | set(PICTURES)
    assert sorted(files) == sorted((run.path / "figures").iterdir())
    assert {path.stem for path in files} < FIGURES.keys()


def test_png_files_decode_and_show_something(drawn):
    for path in drawn[1][::2]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
            dpi = image.info["dpi"][0]
        millimetres = pixels.shape[1] / dpi * 25.4
        assert min(abs(millimetres - 85), abs(millimetres - 170)) < 0.5
        assert (pixels < 128).mean() > 0.005
        assert (pixels > 250).mean() > 0.05


def test_pdf_files_embed_truetype_fonts(drawn):
    for path in drawn[1][1::2]:
        content = path.read_bytes()
        assert content.startswith(b"%PDF")
        assert b"/FontFile2" in content
        assert b"/Type3" not in content


def test_fonts_in_a_pdf_have_the_letters_and_not_the_tables_by_which_they_are_set(drawn):
    """A PDF places every glyph itself; the shapes are those of the font."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    content = drawn[1][1].read_bytes()
    streams = [
        zlib.decompress(part) for part in re.findall(rb"stream\r?\n(x.*?)endstream", content, re.S)
    ]
    fonts = [TTFont(BytesIO(s)) for s in streams if s[:4] == b"\x00\x01\x00\x00"]
    assert fonts
    for font in fonts:
        assert {"glyf", "hmtx", "loca"} <= {*font.keys()}
        assert not {"GSUB", "GPOS", "GDEF"} & {*font.keys()}
        assert font["maxp"].numGlyphs > 1
    assert not {"GSUB", "GPOS"} & {*subset.Options().drop_tables}, "left as it was for others"


def test_drawing_again_gives_the_same_bytes_whatever_the_users_own_settings(drawn):
    run, files = drawn
    first = {path: path.read_bytes() for path in files}
    with matplotlib.rc_context({"axes.facecolor": "red", "lines.linewidth": 9, "font.size": 30}):
        before = dict(matplotlib.rcParams)
        assert {path: path.read_bytes() for path in draw(run)} == first
        assert dict(matplotlib.rcParams) == before
    assert sorted(files) == sorted((run.path / "figures").iterdir())


def test_neither_torch_nor_pyplot_is_imported(plant):
    DATA["elbo-curve"](plant)
    code = (
        "import sys; from pathlib import Path; import triptych.reporting\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)\n"
        "from triptych.runs import Run; from triptych.reporting.draw import draw\n"
        f"assert len(draw(Run.open(Path({str(plant.run.path)!r})))) == 2\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("title", ["a $x_{ folder$", "写真 📷", "x" * 300, "a\nb", ""])
def test_any_name_of_the_data_can_be_written(plant, title):
    plant.protocol["data"] = title
    plant.latents([0.1, 2.0, 0.5])
    assert len(draw(plant.run)) == 2
