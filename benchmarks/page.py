"""How long a page is to somebody who reads it: pixels and words, folded and unfolded, at three widths.

python benchmarks/page.py report.html        (needs Playwright and a Chromium, which `make test` brings)
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTHS = (400, 1280, 1920)


def main() -> None:
    """Print a line for each width, folded first."""
    page = Path(sys.argv[1]).resolve()
    own = next((p for name in ("chromium", "google-chrome") if (p := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=own)
        for folded in (True, False):
            for width in WIDTHS:
                seen = browser.new_page(viewport={"width": width, "height": 900})
                seen.goto(page.as_uri())
                if not folded:
                    seen.evaluate(
                        "document.querySelectorAll('details').forEach(d => d.open = true)"
                    )
                seen.wait_for_timeout(1000)
                tall = seen.evaluate("document.documentElement.scrollHeight")
                words = seen.evaluate("document.body.innerText.split(/\\s+/).length")
                print(
                    f"{'folded' if folded else 'unfolded'} at {width}: {tall:,} px, {words:,} words"
                )
        browser.close()


if __name__ == "__main__":
    main()
