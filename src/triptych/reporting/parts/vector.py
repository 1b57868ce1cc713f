"""A figure's SVG as the page has it: with colours for a dark screen too, nothing that is not seen, and as a URL."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from io import BytesIO

from PIL import Image

from triptych.reporting.looks import LEVEL, LOOKS

__all__ = ["TWINS", "as_url", "for_page"]

TWINS: Mapping[str, str] = {
    **{look.light: look.dark for look in (*LOOKS, LEVEL)},
    # Paper is the page's card; greys are the page's.
    **{"#ffffff": "#1f2125", "#e4e4e4": "#3a3d43"},
    **{"#f0f0f0": "#2b2e33", "#d4d4d4": "#4c4f56", "#c4c4c4": "#73767d"},
    # The rest of the palette.
    **{"#009e73": "#5ccfa5", "#cc79a7": "#e59cc3", "#e69f00": "#f0bd4a", "#56b4e9": "#b8dcf2"},
    # Classes on a map.
    **{"#cc6677": "#e58a99", "#332288": "#9a90ee", "#ddcc77": "#ddcc77", "#117733": "#4fb477"},
    **{"#88ccee": "#88ccee", "#882255": "#d264a0", "#44aa99": "#5cc9b6", "#999933": "#b9b955"},
    **{"#aa4499": "#cf7bc3"},
}
"""Every colour of the figures on paper → the same on a dark screen. What has no twin, black for one, is the same on both."""

_TAG = re.compile(r"<[^>]+>")
_LENGTHS = re.compile(r' (?:d|x|y)="[^"]*"')
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_NOT_TURNED = re.compile(r' transform="rotate\(-?0(?: [^)]*)?\)"')
_STYLE = re.compile(r' style="([^"]*)"')
_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")
_ID = re.compile(r' id="([^"]*)"')
_USED = re.compile(r"(href=\"|url\()#([^\")]+)")
_PNG = re.compile(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)")
_PAPER = re.compile(r'<g id="patch_1">\s*<path[^>]*/>\s*</g>')
_UNSEEN = re.compile(
    r"^.*?(?=<svg)|<title>.*?</title>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL
)
_SIZE = re.compile(r' (?:width|height)="[^"]*pt"')


def for_page(svg: str, inlined: Callable[[Image.Image], str]) -> str:
    """A figure's SVG without paper of its own, small, and dark where the screen is; its images as ``inlined`` makes them.

    What a browser shows is the same, but for lengths below a hundredth of a point. Texts were escaped when they were
    written, so that a tag here is a tag.
    """
    svg = _PAPER.sub("", _UNSEEN.sub("", svg), count=1)
    # Names that something refers to, as short as they can be.
    names = {
        name: f"i{place}"
        for place, name in enumerate(dict.fromkeys(found[1] for found in _USED.findall(svg)))
    }
    rules: dict[str, str] = {}

    def lean(tag: re.Match[str]) -> str:
        text = _NOT_TURNED.sub("", tag[0]).replace("xlink:href", "href")
        if text.startswith("<image"):
            # Nowhere else: a text may say what looks like an image.
            text = _PNG.sub(lambda found: inlined(_image(found[1])), text)
        text = _ID.sub(lambda found: f' id="{names[found[1]]}"' if found[1] in names else "", text)
        text = _USED.sub(lambda found: f"{found[1]}#{names[found[2]]}", text)
        text = _LENGTHS.sub(lambda found: _DECIMALS.sub(r"\1", found[0]), text)
        return _STYLE.sub(lambda found: f' class="{_named(rules, found[1])}"', text)

    svg = re.sub(r">\s+<", "><", _SIZE.sub("", _TAG.sub(lean, svg))).strip()
    # Every browser of today takes the one for the other.
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "", 1)
    return svg.replace("<defs>", f"{_sheet(rules)}<defs>", 1)


def as_url(svg: str) -> str:
    """A ``data:`` URL of an SVG, which most of its letters go into as they are."""
    plain = re.sub(r"[ \r\n\t]+", " ", svg)
    for letter in "%#<>\"'&":
        plain = plain.replace(letter, f"%{ord(letter):02X}")
    return f"data:image/svg+xml;charset=utf-8,{plain}"


def _named(rules: dict[str, str], style: str) -> str:
    """The class of a style, which many parts of a figure share."""
    return rules.setdefault(style, f"s{len(rules)}")


def _sheet(rules: Mapping[str, str]) -> str:
    """The classes, with a variable for every colour that has a twin."""
    colours: dict[str, str] = {}

    def varied(found: re.Match[str]) -> str:
        if found[0] not in TWINS:
            return found[0]
        return f"var({colours.setdefault(found[0], f'--c{len(colours)}')})"

    told = [f".{name}{{{_COLOUR.sub(varied, style)}}}" for style, name in rules.items()]
    light = "".join(f"{name}:{colour};" for colour, name in colours.items())
    dark = "".join(f"{name}:{TWINS[colour]};" for colour, name in colours.items())
    schemes = f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"
    return f"<style>{schemes}{''.join(told)}</style>"


def _image(coded: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(coded)))
