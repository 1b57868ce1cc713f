"""Cut the font of the figures out of DejaVu Sans, which comes with matplotlib: ``python tools/fonts.py``.

A PDF embeds the letters that it has. To cut them out of the six thousand of DejaVu Sans takes most of the time that a
figure takes; out of these few hundred next to none. The licence asks that what was changed has another name.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib
from fontTools import subset  # type: ignore[import-untyped]

OUT = Path(__file__).parents[1] / "src" / "triptych" / "reporting" / "figures" / "fonts"

NAME = "Triptych Sans"

LETTERS = (
    # Latin, what is put above a letter, Greek; punctuation; small numbers; arrows and mathematics; marks.
    *((0x20, 0x17F), (0x300, 0x30F), (0x391, 0x3C9), (0x2009, 0x202F), (0x2030, 0x2033)),
    *((0x2070, 0x2094), (0x1D40, 0x1D43), (0x2190, 0x2199), (0x2200, 0x22A5)),
    *((0x25A1, 0x25A1), (0x25CB, 0x25CF), (0x2713, 0x2717)),
)
"""First and last of every range that is kept."""

DROPPED = ("GDEF", "GPOS", "GSUB", "MATH", "FFTM")
"""Tables that only a program needs that sets letters itself; which of them stand nearer to each other is in `kern` too."""


def cut(source: Path, out: Path, style: str) -> None:
    """Write one face with the letters, under the name."""
    options = subset.Options(
        hinting=True,
        legacy_kern=True,
        glyph_names=True,
        name_IDs=["*"],
        notdef_outline=True,
        recommended_glyphs=True,
    )
    options.drop_tables += DROPPED
    font = subset.load_font(str(source), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[c for first, last in LETTERS for c in range(first, last + 1)])
    cutter.subset(font)
    whole = f"{NAME} {style}".removesuffix(" Regular")
    names = {1: NAME, 3: whole, 4: whole, 6: whole.replace(" ", "", 1).replace(" ", "-"), 16: NAME}
    for record in font["name"].names:
        if record.nameID in names:
            record.string = names[record.nameID]
    # The same bytes each time.
    font.recalcTimestamp = False
    subset.save_font(font, str(out), options)


def main() -> None:
    """Write both faces, and the licence beside them."""
    here = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    OUT.mkdir(exist_ok=True)
    cut(here / "DejaVuSans.ttf", OUT / "TriptychSans.ttf", "Regular")
    cut(here / "DejaVuSans-Bold.ttf", OUT / "TriptychSans-Bold.ttf", "Bold")
    shutil.copyfile(here / "LICENSE_DEJAVU", OUT / "LICENSE_DEJAVU")


if __name__ == "__main__":
    main()
