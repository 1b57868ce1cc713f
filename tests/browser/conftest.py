"""A real browser that opens pages from files, with the network cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

BAR = 56
"""Pixels of a bar that stays at the top of the screen."""

WIDTHS = (360, 400, 768, 1024, 1280, 1600, 1920)

COVERED = """
(bar) => {
    const root = document.documentElement;
    // A page without a bar of its own gets one: whatever scrolls beneath it must stay within reach.
    if (!getComputedStyle(root).getPropertyValue("--bar")) {
        root.style.setProperty("--bar", `${bar}px`);
        root.style.scrollPaddingTop = `${bar}px`;
        const above = document.createElement("div");
        above.style.cssText = `position: fixed; top: 0; left: 0; right: 0; height: ${bar}px; z-index: 9`;
        document.body.prepend(above);
    }
    const named = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") ?? ""}|${(e.ariaLabel || e.textContent).trim().slice(0, 40)}`;
    const covered = [];
    let seen = 0;
    for (const control of document.querySelectorAll("a, button, input, select, summary, [tabindex]")) {
        if (!control.checkVisibility({ visibilityProperty: true }) || control.matches(".skip")) continue;
        seen += 1;
        for (const block of ["start", "center", "end"]) {
            control.scrollIntoView({ block, behavior: "instant" });
            const box = control.getClientRects()[0];
            const found = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            const own = [control, ...(control.labels ?? [])];
            if (!own.some((mine) => mine.contains(found))) covered.push(`${named(control)} at the ${block} lies under ${found && named(found)}`);
        }
    }
    return [seen, covered];
}
"""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DESKTOP, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The machine's own browser, else Playwright's."""
    own = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=own)
        yield browser
        browser.close()


@pytest.fixture
def phone() -> ViewportSize:
    """A phone's screen, upright."""
    return PHONE


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> int:
    """Every width of a screen, one after the other."""
    return int(request.param)


@pytest.fixture
def covered() -> Callable[[Page], list[str]]:
    """Names the controls of a page that cannot be clicked where they are scrolled to, folded and unfolded."""

    def look(page: Page) -> list[str]:
        seen, folded = page.evaluate(COVERED, BAR)
        page.evaluate(
            "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
        )
        more, unfolded = page.evaluate(COVERED, BAR)
        assert 0 < seen <= more
        return [*folded, *unfolded]

    return look


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a file: ``visit(path, viewport=…, fragment="…")``; desktop-sized unless said otherwise; ``has_touch=True`` for fingers.

    The test fails for an error in the page's scripts and for any request beyond the file itself.
    """
    contexts, wrong = [], []

    def open_page(
        path: Path, viewport: ViewportSize = DESKTOP, fragment: str = "", **options: bool
    ) -> Page:
        context = chromium.new_context(
            viewport=viewport, offline=True, accept_downloads=True, **options
        )
        contexts.append(context)
        page = context.new_page()
        url = path.resolve().as_uri()
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((url, "data:", "blob:"))
                else wrong.append(f"asked for {request.url}")
            ),
        )
        page.goto(url + (f"#{fragment}" if fragment else ""))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong
