"""The style sheet of the page and the figures for papers have one table of looks."""

import re
from importlib.resources import files

import pytest

from triptych.reporting.looks import ARMS, LEVEL, LOOKS, OVERLAID, SPLITS

CSS = (files("triptych.reporting.page") / "assets" / "style.css").read_text(encoding="utf-8")
WIDTH = 2.0
"""Pixels of a chart's lines."""


def variables(kind: str) -> list[dict[str, str]]:
    """The colours of every block of variables that has them, in its order."""
    blocks = re.findall(r":root \{([^}]*--s0:[^}]*)\}", CSS)
    return [dict(re.findall(rf"--({kind}): (#[0-9a-f]+);", block)) for block in blocks]


def test_colours_are_the_same_and_have_a_lighter_twin_in_the_dark_and_none_on_paper():
    light = {f"s{number}": look.light for number, look in enumerate(LOOKS)}
    dark = {f"s{number}": look.dark for number, look in enumerate(LOOKS)}
    assert variables(r"s\d") == [light, dark, light]
    assert variables("level") == [{"level": end} for end in (LEVEL.light, LEVEL.dark, LEVEL.light)]


def test_dashes_are_the_same():
    assert f".series {{ fill: none; stroke-width: {WIDTH:g};" in CSS
    drawn = dict(re.findall(r"^\.s(\d) \{ stroke: var\(--s\1\);(.*) \}$", CSS, re.M))
    assert len(drawn) == len(LOOKS)
    for number, look in enumerate(LOOKS):
        dash = " ".join(f"{WIDTH * length:g}" for length in look.dash)
        assert drawn[str(number)] == (f" stroke-dasharray: {dash};" if dash else "")
    over = " ".join(f"{WIDTH * length:g}" for length in LOOKS[OVERLAID].dash)
    assert f".series.over {{ stroke-width: 1.2; stroke-dasharray: {over}; }}" in CSS


def test_no_two_arms_and_no_two_splits_look_alike():
    assert len({look.light for look in LOOKS[:ARMS]}) == ARMS
    assert len({look.dash for look in LOOKS[:ARMS]}) == ARMS
    assert len(set(SPLITS.values())) == len(SPLITS)


@pytest.mark.parametrize(("paper", "side"), [("#ffffff", "light"), ("#1f2125", "dark")])
def test_every_line_can_be_seen_on_its_paper(paper: str, side: str):
    """At least 3 to 1, as WCAG asks of what is drawn."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for look in (*LOOKS, LEVEL):
        ends = sorted((luminance(getattr(look, side)), luminance(paper)))
        assert (ends[1] + 0.05) / (ends[0] + 0.05) >= 3
