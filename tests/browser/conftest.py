"""A real browser that opens pages from files, with the network cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

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
