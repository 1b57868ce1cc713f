"""A method's objective, typeset by the browser itself: LaTeX as MathML."""

from __future__ import annotations

from xml.etree import ElementTree

from latex2mathml.converter import convert
from markupsafe import Markup

__all__ = ["formula"]

ELEMENTS = frozenset(
    (
        *("math", "mrow", "mi", "mo", "mn", "mtext", "mspace", "mstyle", "mfrac", "msqrt", "mroot"),
        *("msub", "msup", "msubsup", "munder", "mover", "munderover", "mtable", "mtr", "mtd"),
        *("mpadded", "mphantom"),
    )
)
ATTRIBUTES = frozenset(
    (
        *("display", "displaystyle", "scriptlevel", "mathvariant", "stretchy", "fence", "form"),
        *("accent", "accentunder", "movablelimits", "separator", "width", "height", "depth"),
        *("linethickness", "columnalign", "columnspacing", "rowspacing", "minsize", "maxsize"),
    )
)
"""What may stand on a page of what a folder says: the converter lets markup in texts, and links, pass."""

LONGEST = 1_000
"""Letters of a formula; a page opens with one, not with a paper."""

NAMESPACE = "http://www.w3.org/1998/Math/MathML"


def formula(latex: str) -> Markup:
    r"""Each line in a block of its own, with the LaTeX for readers that have no MathML; nothing for an empty text.

    Raises `ValueError` for what is no formula, is too long, or would bring anything else into the page.

    Example:
        >>> str(formula("x^2"))
        '<math display="block" alttext="x^2"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
        >>> formula(r"\text{<script>}")
        Traceback (most recent call last):
        ValueError: '\\text{<script>}' is no formula
    """
    if len(latex) > LONGEST:
        raise ValueError(f"a formula of {len(latex):,} letters")
    return Markup("").join(_line(line) for line in latex.splitlines() if line.strip())


def _line(latex: str) -> Markup:
    try:
        found = ElementTree.fromstring(convert(latex, display="block"))
    # The converter has errors of a dozen kinds, and markup that is none has the parser's.
    except Exception as error:
        raise ValueError(f"{latex!r} is no formula") from error
    for element in found.iter():
        element.tag = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        if element.tag not in ELEMENTS:
            raise ValueError(f"{latex!r} holds <{element.tag}>")
        kept = {key: value for key, value in element.attrib.items() if key in ATTRIBUTES}
        element.attrib.clear()
        element.attrib.update(kept)
    found.set("alttext", latex)
    return Markup(ElementTree.tostring(found, encoding="unicode"))
