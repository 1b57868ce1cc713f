"""The report in a real browser, from a file, without a network: it is alive, and everybody can use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from triptych.experiment import default_config
from triptych.reporting.page.page import write_page
from triptych.runs import Result, Run
from triptych.studies.compare import compare_metric
from triptych.studies.values import Number

Visit = Callable[..., Page]

PLAY, PAUSE = re.compile("Play$"), re.compile("Pause$")

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
    shifted = np.stack([np.full((3, 4, 1, 8, 8), 60 * i, np.uint8) for i in range(3)], axis=1)
    run.save_arrays(
        "coordinates",
        images=shifted,
        random_images=shifted[0],
        coordinates=np.array([6, 25, 58]),
        shifts=np.array([1.0, 10.0, 100.0]),
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


IN_VIEW = """shown => {
    const [box, bar] = [shown, document.querySelector("nav.bar")].map((e) => e.getBoundingClientRect());
    return box.top >= bar.bottom - 1 && box.top < innerHeight / 2;
}"""
"""Whether an element stands in the upper half of the window, below the bar; scrolling takes its time."""


def unfold(page: Page) -> None:
    """Open every fold, those within folds too."""
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a study and of two runs of one name."""
    folder = tmp_path_factory.mktemp("report")
    paths = [plant_run(folder / "wgan"), plant_study(folder / "study")]
    paths.append(plant_run(folder / "again" / "wgan"))
    return write_page(paths, folder / "report.html", reference=True)


def slider(page: Page, title: str) -> tuple[Locator, Locator]:
    """A slider and the pictures that it chooses from."""
    unfold(page)
    figure = page.locator(".frames", has=page.get_by_text(f"{title}.", exact=True)).first
    return figure.get_by_role("slider"), figure.locator(".stack")


@pytest.mark.parametrize(
    ("title", "first", "last", "shown_first"),
    [
        ("Samples over the training", "step 0", "step 10", "step 5"),
        ("One latent coordinate shifted by ε", "ε = 1", "ε = 100", "ε = 10"),
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
    assert stack.screenshot() != shown


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


def test_the_training_is_played_from_the_beginning_to_the_end(visit: Visit, report: Path) -> None:
    page = visit(report)
    handle, _ = slider(page, "Samples over the training")
    button = page.locator(".play").first
    # Nothing moves before somebody asks for it.
    page.wait_for_timeout(1000)
    assert handle.get_attribute("aria-valuetext") == "step 5"
    watched = """input => {
        window.seen = [];
        new MutationObserver(() => window.seen.push(input.getAttribute("aria-valuetext"))).observe(input, { attributeFilter: ["aria-valuetext"] });
    }"""
    handle.evaluate(watched)
    button.focus()
    button.press("Enter")
    expect(button).to_have_accessible_name(PAUSE)
    expect(button).to_have_accessible_name(PLAY)
    assert page.evaluate("window.seen") == ["step 0", "step 5", "step 10"]
    page.wait_for_timeout(1000)
    assert handle.input_value() == "2"


def test_what_is_played_goes_on_where_it_was_stopped(visit: Visit, report: Path) -> None:
    page = visit(report)
    handle, _ = slider(page, "Samples over the training")
    button = page.locator(".play").first
    button.click()
    button.click()
    page.wait_for_timeout(1000)
    assert handle.input_value() == "0"
    # A hand on the slider stops it too, and it goes on from there.
    button.click()
    handle.fill("1")
    page.wait_for_timeout(1000)
    assert handle.input_value() == "1"
    expect(button).to_have_accessible_name(PLAY)
    button.click()
    expect(handle).to_have_value("2")


@pytest.mark.parametrize("width", [360, 1280])
def test_what_a_row_is_stands_beside_it(visit: Visit, report: Path, width: int) -> None:
    page = visit(report, viewport=ViewportSize(width=width, height=800))
    unfold(page)
    for title, rows in (
        ("One latent coordinate shifted by ε", ["coordinate 6", "coordinate 25", "coordinate 58"]),
        ("Between two images", ["in latent space", "in pixel space"]),
    ):
        figure = page.locator(".frames", has=page.get_by_text(f"{title}.", exact=True)).first
        labels, picture = (
            figure.get_by_role("listitem"),
            figure.locator("img:visible").bounding_box(),
        )
        assert labels.all_inner_texts() == rows
        assert picture is not None
        for place, label in enumerate(labels.all()):
            box = label.bounding_box()
            assert box is not None
            middle = picture["y"] + (place + 0.5) * picture["height"] / len(rows)
            assert abs(box["y"] + box["height"] / 2 - middle) < 3
            assert 0 <= box["x"] < box["x"] + box["width"] <= picture["x"]


def test_without_scripts_each_slider_shows_where_it_begins(chromium: Browser, report: Path) -> None:
    page = chromium.new_page(java_script_enabled=False)
    page.goto(report.as_uri())
    unfold(page)
    seen = [image.get_attribute("alt") for image in page.locator(".stack img:visible").all()]
    ends = ("Samples over the training, step 5", "One latent coordinate shifted by ε, ε = 10")
    assert sorted(seen) == sorted([*ends, "Between two images, α = 0.5"] * 2)
    assert page.locator(".frames :is(input, button):visible").count() == 0
    page.close()


def test_a_chart_reads_out_the_point_under_the_pointer(visit: Visit, report: Path) -> None:
    page = visit(report)
    unfold(page)
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
    unfold(page)
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
    page.locator("summary", has_text="figure by figure").click()
    overview = page.locator(".overview")
    assert overview.get_by_text("Not in this report.").count() == 5
    link = overview.get_by_role("link").first
    link.click()
    target = page.locator(":target")
    assert target.get_by_role("heading").inner_text() == "Shifted coordinates (Figures 3 to 5)"
    page.wait_for_function(IN_VIEW, arg=target.element_handle())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nobody_is_shut_out(visit: Visit, report: Path, scheme: str, width: int) -> None:
    page = visit(report, viewport=ViewportSize(width=width, height=844))
    page.emulate_media(color_scheme=scheme)
    unfold(page)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_page_is_never_wider_than_the_screen(visit: Visit, report: Path, width: int) -> None:
    page = visit(report, viewport=ViewportSize(width=width, height=844))
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_nothing_lies_on_what_can_be_clicked(
    visit: Visit, report: Path, covered: Callable[[Page], list[str]], width: int
) -> None:
    page = visit(report, viewport=ViewportSize(width=width, height=800))
    assert covered(page) == []


def test_on_paper_there_is_nothing_to_operate(visit: Visit, report: Path) -> None:
    page = visit(report)
    page.emulate_media(media="print")
    assert page.locator("input[type=range]:visible").count() == 0
    assert page.locator(".reading:visible").count() == 0
    assert page.locator(".picture img:visible").count() > 0


def test_the_bar_stays_and_says_where_one_is(visit: Visit, report: Path) -> None:
    page = visit(report)
    links = page.locator("nav.bar a")
    for place in (2, 0, 1):
        links.nth(place).click()
        page.wait_for_function(
            "(i) => document.querySelectorAll('nav.bar a')[i].getAttribute('aria-current')",
            arg=place,
        )
        assert page.locator("nav.bar a[aria-current]").count() == 1
        heading = page.locator(f"#part-{place + 1} > h2")
        page.wait_for_function(IN_VIEW, arg=heading.element_handle())
        assert page.locator("nav.bar").bounding_box()["y"] == 0


def test_without_scripts_what_was_found_is_there(
    chromium: Browser, report: Path, tmp_path: Path
) -> None:
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    for part in ("part-1", "part-2", "part-3"):
        assert page.locator(f"#{part} .found-first .finding p").last.is_visible()
    fold = page.locator("#part-1 .fold").first
    fold.locator("summary").first.click()
    assert fold.locator("p").first.is_visible()
    context.close()


def test_what_is_folded_is_printed_but_for_how_to_repeat_it(visit: Visit, report: Path) -> None:
    page = visit(report)
    # Playwright itself takes whatever is in a closed fold for hidden.
    drawn = "e => e.checkVisibility() && e.getBoundingClientRect().height > 0"
    folded = page.locator(".part .fold .results").first
    commands = page.locator(".repeat pre").first
    assert not folded.evaluate(drawn)
    page.emulate_media(media="print")
    assert folded.evaluate(drawn) and not commands.evaluate(drawn)
