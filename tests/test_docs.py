"""What the pages name is there: a test or a file that moved is moved on the pages too."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOTS = (ROOT, ROOT / "tests", ROOT / "src/triptych")


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|json|ipynb))`", text))
    named = {name for name in named if "/" in name or name.startswith("test_")}
    assert [n for n in sorted(named) if not any((root / n).exists() for root in ROOTS)] == []
