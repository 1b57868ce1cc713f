"""The page that watches, in a real browser: beside a real training, and with more runs than anybody reads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect

from triptych.live.server import Server
from triptych.live.state import State
from triptych.runs import Run

Look = Callable[..., Page]

HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def look(chromium: Browser) -> Iterator[Look]:
    """Opens an address of this machine; the test fails for an error in the scripts, and for a request to any other."""
    contexts, wrong = [], []

    def open_page(address: str, viewport: ViewportSize | None = None) -> Page:
        context = chromium.new_context(viewport=viewport or {"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((address, "data:", f"blob:{address[:16]}"))
                else wrong.append(f"asked for {request.url}")
            ),
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def plant(root: Path, number: int, epochs: int, latent: int = 2) -> Run:
    run = Run.create(
        root / f"run-{number:03}",
        {
            "seed": 0,
            "method": {"name": "mine", "latent": latent},
            "data": {"name": HOSTILE},
            "train": {"duration": "10 epochs"},
        },
    )
    for epoch in range(1, epochs + 1):
        run.log({"step": epoch, "epoch": float(epoch), "valid/loss": latent / epoch + number})
    os.utime(run.path / "config.toml", (1000 + number, 1000 + number))
    return run


def test_a_training_is_followed_from_its_beginning_to_its_end(look: Look, tmp_path: Path):
    """`train --watch` on the embedded digits: the curve grows, a collapse is said, the end is told, and nothing stays."""
    out = tmp_path / "run"
    words = ["train", "vae", "--method.hidden", "8", "--method.latent", "2", "--batch-size", "50"]
    more = ["--steps", "12000", "--log-every", "20", "--validate-every", "100 steps", "--watch"]
    training = subprocess.Popen(
        [sys.executable, "-m", "triptych", *words, *more, "--threads", "1", "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""},
    )
    assert training.stdout is not None
    word, address = training.stdout.readline().split()
    assert word == "page"
    page = look(address)
    state = page.locator("#one .state")
    expect(state).to_contain_text("running", timeout=60_000)
    chart = page.locator("figure.chart").first
    expect(chart).to_be_visible(timeout=60_000)
    points = chart.locator(".points")
    # What an evaluator would say, into the same log.
    with (out / "metrics.jsonl").open("a") as log:
        log.write(
            json.dumps({"step": 100, "epoch": 1.0, "alarm": f"planted {HOSTILE}", "since": 50})
            + "\n"
        )
    alarm = page.get_by_text(f"Alarm, step 50: planted {HOSTILE}")
    expect(alarm).to_be_visible(timeout=30_000)
    assert page.title().startswith("(!) ")
    before = len(json.loads(points.text_content() or "")[0]["epochs"])
    page.wait_for_function(
        "n => JSON.parse(document.querySelector('figure.chart .points').textContent)[0].epochs.length > n",
        arg=before,
        timeout=60_000,
    )
    said, _ = training.communicate(timeout=300)
    assert training.returncode == 0 and "next: triptych evaluate" in said
    expect(page.locator("#over")).to_contain_text("has ended", timeout=30_000)
    expect(state).to_contain_text("done")
    expect(state).to_contain_text("step 12,000 of 12,000")
    assert json.loads(points.text_content() or "")[0]["epochs"][-1] == pytest.approx(
        json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["epoch"], abs=0.01
    )
    assert not list(out.glob("*.html"))


def test_many_runs_are_sorted_filtered_and_chosen(look: Look, tmp_path: Path):
    for number in range(200):
        plant(tmp_path, number, epochs=2 + number % 3, latent=2 + number % 5)
    with Server(State([tmp_path])) as server:
        page = look(server.address)
        expect(page.locator("#count")).to_have_text("200 runs", timeout=60_000)
        names = page.locator("tbody tr th span:last-child")
        assert names.first.text_content() == "run-199"
        assert page.locator("tbody tr.shown").count() == 8
        page.get_by_role("button", name="value", exact=True).click()
        assert names.first.text_content() == "run-199"
        page.get_by_role("button", name="value", exact=True).click()
        assert names.first.text_content() == "run-000"
        expect(page.locator("thead [aria-sort]")).to_have_attribute("aria-sort", "ascending")
        expect(page.get_by_role("button", name="latent coordinates", exact=True)).to_be_visible()
        page.locator("#filter").fill("latent=3 run-00")
        expect(page.locator("#count")).to_have_text("2 of 200 runs")
        page.get_by_role("checkbox", name="curves of run-001").check()
        expect(page.locator("figure.chart .legend").first).to_contain_text("run-001")
        expect(page.locator("figure.chart .legend").first).not_to_contain_text("run-192")
        assert page.url.endswith("199,2") or "#runs=" in page.url
        page.get_by_role("button", name="Curves of the newest").click()
        expect(page.locator("figure.chart .legend").first).not_to_contain_text("run-001")
        page.locator("#filter").fill("")
        page.locator("#settings summary").click()
        expect(page.locator("#settings path.line")).to_have_count(200)
        expect(page.locator("#settings path.line.shown")).to_have_count(8)


def test_new_runs_and_moments_come_by_themselves(look: Look, tmp_path: Path):
    with Server(State([tmp_path])) as server:
        page = look(server.address)
        expect(page.locator("#said")).to_contain_text("No run here yet")
        run = plant(tmp_path, 1, epochs=3)
        expect(page.locator("#one h2")).to_be_visible(timeout=20_000)
        for step in (4, 5):
            run.save_moment(step, np.full((64, 1, 8, 8), 40 * step, np.uint8))
            run.log({"step": step, "epoch": float(step), "valid/loss": 1.0})
        film = page.locator(".pictures figure")
        expect(film.locator("output")).to_have_text("step 5", timeout=20_000)
        film.get_by_role("slider").press("ArrowLeft")
        expect(film.locator("output")).to_have_text("step 4")
        expect(film.locator("img")).to_have_attribute("src", re.compile("^blob:"))
        run.finish("DONE", "trained")
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="The report of this run").click(timeout=20_000)
        expect(opened.value.locator("h1")).to_have_text("Report of run-001", timeout=60_000)


@pytest.mark.parametrize("width", [400, 1280, 1920])
@pytest.mark.parametrize("runs", [1, 3])
def test_everybody_can_use_it(look: Look, tmp_path: Path, width: int, runs: int):
    for number in range(runs):
        run = plant(tmp_path, number, epochs=5, latent=number + 2)
        run.save_moment(5, np.zeros((64, 1, 8, 8), np.uint8))
    run.log({"step": 5, "epoch": 5.0, "alarm": "a sentence " * 40})
    with Server(State([tmp_path])) as server:
        page = look(server.address, {"width": width, "height": 900})
        expect(page.locator("figure.chart").first).to_be_visible(timeout=20_000)
        expect(page.locator(".pictures figure")).to_have_count(runs)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_who_ends_the_command_leaves_the_page_as_it_was(look: Look, tmp_path: Path):
    plant(tmp_path, 1, epochs=3)
    with Server(State([tmp_path])) as server:
        page = look(server.address)
        expect(page.locator("figure.chart").first).to_be_visible(timeout=20_000)
        server.finish()
    expect(page.locator("#over")).to_contain_text("has ended", timeout=20_000)
    assert page.locator("figure.chart").first.is_visible()
