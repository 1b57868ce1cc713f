"""A figure as the page has it: its body alone, with a twin for every colour, and nothing that a name could break."""

import re
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest

from triptych.reporting.figures.likelihood import k_curve
from triptych.reporting.figures.pictures import samples
from triptych.reporting.figures.style import Page, Words
from triptych.reporting.looks import LEVEL, LOOKS
from triptych.reporting.parts.pictures import picture
from triptych.reporting.parts.vector import TWINS

pytestmark = pytest.mark.usefixtures("style")

HEAD = "data:image/svg+xml;charset=utf-8,"


def svg(shown) -> str:
    assert shown.url.startswith(HEAD)
    return unquote(shown.url.removeprefix(HEAD))


def test_every_colour_has_a_twin_for_a_dark_screen_and_no_text_is_burned_in(plant):
    plant.curve()
    figure = k_curve(plant.run)
    shown = picture(figure, "k-curve")
    text = svg(shown)
    light, dark = re.search(
        r":root{(.*?)}@media \(prefers-color-scheme:dark\){:root{(.*?)}}", text
    ).groups()
    pairs = list(zip(re.findall(r"#\w{6}", light), re.findall(r"#\w{6}", dark), strict=True))
    assert pairs and all(TWINS[one] == other for one, other in pairs)
    assert len(re.findall(r"#[0-9a-f]{6}", text)) == 2 * len(pairs), (
        "none stands beside its variable"
    )
    said = [
        "".join(e.itertext())
        for e in ElementTree.fromstring(text).iter()
        if e.tag.endswith("}text")
    ]
    assert "K, importance samples an image" in said
    assert not {shown.title, shown.protocol, shown.caption} & {*said}
    assert figure.texts[0].get_visible(), "the figure itself is as it was"


def test_a_sheet_has_a_pixel_for_a_pixel_and_no_paper(plant):
    plant.pictures()
    text = svg(picture(samples(plant.run), "samples"))
    assert text.count("data:image/webp") == 1 and "data:image/png" not in text
    assert "#ffffff" not in text, "what it lies on shows through"


def test_a_text_that_looks_like_an_image_stays_a_text(style):
    page = Page(Words("", "", ""), 85.0, 30.0)
    page.axes(10, 5, 60, 20).set_title("data:image/png;base64,AAAA <image xlink:href=''/>")
    assert "data:image/png;base64,AAAA &lt;image" in svg(picture(page.figure, "named"))


def test_every_look_of_a_line_has_its_dark_twin():
    assert all(TWINS[look.light] == look.dark for look in (*LOOKS, LEVEL))
