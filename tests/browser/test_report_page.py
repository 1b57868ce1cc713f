"""The report in a real browser, from a file, without a network: it is alive, and everybody can use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, ViewportSize

from triptych.experiment import default_config
from triptych.reporting.page.page import write_page
from triptych.runs import Result, Run
from triptych.studies.compare import Number, compare_metric

Visit = Callable[..., Page]

ARMS = ("default", "no-stop-gradient", "no-predictor", "fixed-predictor")


def levels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def plant_run(path: Path) -> Path:
    """A generator with all sliders: every moment, ε and α has other pixels."""
    run = Run.create(path, default_config("wgan", "demo").tables())
    for step in (0, 5, 10):
        run.log({"step": step, "epoch": float(step), "train/critic_gap": 8.0 - 0.5 * step})
        run.save_moment(step, np.full((64, 1, 8, 8), 20 * step, np.uint8))
    run.log({"step": 10, "epoch": 10.0, "alarm": "the samples have collapsed"})
    result = Result({"sentences": ["As planted."]}, None, 3, {"checkpoint": "best"})
    run.record({"latent/coordinates": result, "test/frechet": Result(46.9, 0.5, 10, {"k": 1})})
    shifted = np.stack([np.full((3, 4, 1, 8, 8), 90 * i, np.uint8) for i in range(2)], axis=1)
    run.save_arrays(
        "coordinates",
        images=shifted,
        random_images=shifted[0],
        coordinates=np.array([6, 25, 58]),
        shifts=np.array([1.0, 100.0]),
    )
    ways = {way: levels(2, 3, 1, 8, 8) for way in ("linear", "spherical")}
    pixel = np.stack([np.full((2, 1, 8, 8), 100 * i, np.uint8) for i in range(3)], axis=1)
    run.save_arrays("sample_interpolation", **ways, pixel=pixel, alpha=np.array([0.0, 0.5, 1.0]))
    run.finish("DONE", "trained")
    return run.path


def plant_study(path: Path) -> Path:
    """Four arms of two seeds, one of which failed."""
    config = default_config("simsiam", "demo").tables()
    values: dict[str, dict[int, Number]] = {}
    for place, arm in enumerate(ARMS):
        for seed in (0, 1):
            run = Run.create(path / arm / f"seed-{seed}", config)
            for epoch in range(5):
                knn = 0.3 + 0.02 * epoch * (place == 0) + 0.004 * seed
                run.log({"step": epoch, "epoch": float(epoch), "test/knn_top1": knn})
            run.finish("DONE", "trained")
            values.setdefault(arm, {})[seed] = Number(knn, {})
    runs = {str(seed): {"state": "done", "evidence": "As planted."} for seed in (0, 1)}
    found = {
        "study": "ablation",
        "control": "default",
        "seeds": [0, 1],
        "curves": ["test/knn_top1"],
        "arms": {arm: {"runs": dict(runs), "verdicts": {"healthy": 2}} for arm in ARMS},
        "metrics": {"test/knn_top1": compare_metric("test/knn_top1", values, "default")},
    }
    found["arms"]["no-predictor"]["runs"]["1"] = {"state": "failed", "reason": "not finite"}
    (path / "study.json").write_text(json.dumps(found))
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a study and of two runs of one name."""
    folder = tmp_path_factory.mktemp("report")
    paths = [plant_run(folder / "wgan"), plant_study(folder / "study")]
    paths.append(plant_run(folder / "again" / "wgan"))
    return write_page(paths, folder / "report.html", reference=True)


def slider(page: Page, title: str) -> tuple[Locator, Locator]:
    """A slider and the pictures that it chooses from."""
    figure = page.locator(".frames", has=page.get_by_text(f"{title}.", exact=True)).first
    return figure.get_by_role("slider"), figure.locator(".stack")


@pytest.mark.parametrize(
    ("title", "first", "last", "shown_first"),
    [
        ("Samples over the training", "step 0", "step 10", "step 10"),
        ("One latent coordinate shifted by ε", "ε = 1", "ε = 100", "ε = 100"),
        ("Between two images", "α = 0.0", "α = 1.0", "α = 0.5"),
    ],
)
def test_a_slider_changes_the_picture_and_says_where_it_is(
    visit: Visit, report: Path, title: str, first: str, last: str, shown_first: str
) -> None:
    page = visit(report)
    handle, stack = slider(page, title)
    shown = stack.screenshot()
    assert handle.get_attribute("aria-valuetext") == shown_first
    handle.focus()
    handle.press("Home")
    assert handle.get_attribute("aria-valuetext") == first
    assert stack.screenshot() != shown
    handle.press("End")
    assert handle.get_attribute("aria-valuetext") == last
    assert (stack.screenshot() == shown) == (last == shown_first)


def test_the_filmstrip_shows_the_pixels_of_its_moment(visit: Visit, report: Path) -> None:
    page = visit(report)
    handle, stack = slider(page, "Samples over the training")
    middle = """stack => {
        const picture = stack.querySelector("img:not([hidden])");
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
        const context = canvas.getContext("2d");
        context.drawImage(picture, 0, 0);
        return context.getImageData(10, 10, 1, 1).data[0];
    }"""
    seen = []
    for value in (0, 1, 2):
        handle.fill(str(value))
        seen.append(stack.evaluate(middle))
    assert seen == pytest.approx([0, 100, 200], abs=4)


def test_a_chart_reads_out_the_point_under_the_pointer(visit: Visit, report: Path) -> None:
    page = visit(report)
    chart = page.locator(".chart", has_text="critic gap").first
    plot = chart.locator(".plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert chart.locator(".reading").inner_text() == "epoch 5.00: training 5.500"


def test_a_chart_answers_a_finger_and_goes_on_after_it_is_lifted(
    visit: Visit, report: Path, phone: ViewportSize
) -> None:
    page = visit(report, viewport=phone, has_touch=True)
    chart = page.locator(".chart").first
    chart.locator(".plot").tap()
    assert chart.locator(".reading").inner_text().startswith("epoch ")


def test_a_chart_is_read_by_arrow_keys_and_aloud(visit: Visit, report: Path) -> None:
    page = visit(report)
    chart = page.locator(".chart", has_text="kNN top-1").first
    plot, reading = chart.locator(".plot"), chart.locator(".reading")
    plot.focus()
    plot.press("Home")
    assert reading.inner_text().startswith("epoch 0.00: default 30.20, no-stop-gradient 30.20")
    plot.press("End")
    # One of no-predictor's seeds failed: its mean is of the other.
    assert reading.inner_text() == (
        "epoch 4.00: default 38.20, no-stop-gradient 30.20, no-predictor 30.00, fixed-predictor 30.20; "
        "level of untrained 30.2\u00a0%"
    )
    assert reading.get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("width", [1280, 400, 320])
def test_no_word_of_a_chart_is_cut_off(visit: Visit, report: Path, width: int) -> None:
    page = visit(report, viewport=ViewportSize(width=width, height=844))
    for summary in page.locator("summary").all():
        summary.click()
    outside = page.evaluate("""() => [...document.querySelectorAll(".chart")].flatMap(chart => {
        const box = chart.getBoundingClientRect();
        return [...chart.querySelectorAll(".graph span, .graph b, .key")].filter(word => {
            const place = word.getBoundingClientRect();
            return place.left < box.left || place.right > box.right || word.scrollWidth > word.clientWidth + 1;
        }).map(word => word.textContent);
    })""")
    assert outside == []
    assert page.locator(".graph .held").count() > 0


def test_arms_differ_by_dashes_as_well_as_by_colours(visit: Visit, report: Path) -> None:
    page = visit(report)
    lines = page.locator(".chart", has_text="kNN top-1").first.locator(".series:not(.thread)")
    looks = [line.evaluate("p => getComputedStyle(p).strokeDasharray") for line in lines.all()]
    assert len(looks) == len(set(looks)) == len(ARMS)


def test_the_overview_leads_to_the_findings(visit: Visit, report: Path) -> None:
    page = visit(report)
    overview = page.locator(".overview")
    assert overview.get_by_text("Not in this report.").count() == 5
    link = overview.get_by_role("link").first
    link.click()
    target = page.locator(":target")
    assert target.get_by_role("heading").inner_text() == "Shifted coordinates (Figures 3 to 5)"
    assert target.bounding_box()["y"] >= -1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nobody_is_shut_out(visit: Visit, report: Path, scheme: str, width: int) -> None:
    page = visit(report, viewport=ViewportSize(width=width, height=844))
    page.emulate_media(color_scheme=scheme)
    for summary in page.locator("summary").all():
        summary.click()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_page_is_never_wider_than_the_screen(visit: Visit, report: Path, width: int) -> None:
    page = visit(report, viewport=ViewportSize(width=width, height=844))
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_on_paper_there_is_nothing_to_operate(visit: Visit, report: Path) -> None:
    page = visit(report)
    page.emulate_media(media="print")
    assert page.locator("input[type=range]:visible").count() == 0
    assert page.locator(".reading:visible").count() == 0
    assert page.locator(".picture img:visible").count() > 0
