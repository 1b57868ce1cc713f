"""The atlas in a real browser: what is under the pointer, who is near it, and every way of moving about."""

import base64
from io import BytesIO

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from triptych.reporting.page.page import write_page
from triptych.runs import Run

SIDE, COUNT, K = 5, 25, 8
COLOURS = np.array(
    [(40 + 50 * (i % 5), 40 + 50 * (i // 5), 255 - 45 * ((i + i // 5) % 5)) for i in range(COUNT)]
)
"""One for each image: it is found on the canvas by it."""

GRID = np.stack([np.arange(COUNT) % SIDE, -(np.arange(COUNT) // SIDE)], 1).astype(np.float32)
CANVAS = ".atlas .sea canvas"
EVIL = "<img src=x onerror=\"document.title='owned'\"></script><b>"
DRAWN = "() => new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))"


def plant(path, labelled=True, classes=("red", "green", EVIL)):
    """Images in rows of five on one map, mirrored on the other; neighbours are drawn at random."""
    draw = np.random.default_rng(0)
    run = Run.create(path, {"seed": 0, "method": {"name": "simsiam"}, "data": {"name": "x"}})
    found = {
        "tsne": GRID,
        "pca": GRID * (-1, 1),
        "shares": np.float32([0.4, 0.2]),
        "perplexity": np.float32(8),
        "variance": np.float32(0.1),
        "images": np.broadcast_to(COLOURS[:, :, None, None], (COUNT, 3, 32, 32)).astype(np.uint8),
        "index": 40 + np.arange(COUNT),
        "shown": np.arange(COUNT),
        "nearest": np.array(
            [draw.permutation(np.delete(np.arange(COUNT), i))[:K] for i in range(COUNT)]
        ),
        "similarity": np.sort(draw.uniform(-0.2, 1, (COUNT, K)).astype(np.float32))[:, ::-1],
        "split": np.array("test"),
        "checkpoint": np.array("best"),
    }
    if labelled:
        found |= {"labels": np.arange(COUNT) % 3, "classes": np.array(classes)}
    run.save_arrays("feature-map", **found)
    run.finish("DONE", "trained")
    return write_page([run.path], path.parent / f"{path.name}.html"), found


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return plant(tmp_path_factory.mktemp("atlas") / "run")


@pytest.fixture
def page(visit, planted):
    return opened(visit(planted[0]))


def opened(page, motion="reduce"):
    page.emulate_media(reduced_motion=motion)
    page.locator(CANVAS).scroll_into_view_if_needed()
    page.evaluate(DRAWN)
    return page


def pixels(page):
    """What the canvas shows, H×W×3."""
    page.evaluate(DRAWN)
    text = page.locator(CANVAS).evaluate("canvas => canvas.toDataURL('image/png')")
    with Image.open(BytesIO(base64.b64decode(text.split(",")[1]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def place(page, i):
    """Where an image's colour is on the canvas, in its pixels."""
    shown = pixels(page)
    found = np.argwhere(np.abs(shown - COLOURS[i]).max(2) < 10)
    assert len(found) > 50
    y, x = found.mean(0) + 0.5
    return np.array([x, y]) * page.locator(CANVAS).evaluate("c => c.clientWidth / c.width")


def moved(at, right, down):
    return at + np.array([right, down])


def on_screen(page, i):
    box = page.locator(CANVAS).bounding_box()
    return moved(place(page, i), box["x"] + 1, box["y"] + 1)


def name(page):
    page.evaluate(DRAWN)
    found = page.locator(".atlas .name")
    return found.inner_text() if found.is_visible() else None


def image(i):
    return f"image {40 + i} of the test split"


def test_all_of_it_is_seen_at_once_and_says_first_what_to_do(page):
    assert page.locator(".atlas").bounding_box()["height"] <= 650
    assert page.locator(".atlas").inner_text().startswith("Point at an image")
    page.mouse.click(*on_screen(page, 7))
    assert page.locator(".atlas .chosen").is_visible()
    assert page.locator(".atlas").bounding_box()["height"] <= 650


def test_nothing_lies_on_what_can_be_clicked(visit, planted, covered, width):
    page = opened(visit(planted[0], viewport={"width": width, "height": 800}))
    page.mouse.click(*on_screen(page, 7))
    assert covered(page) == []


@pytest.mark.parametrize("i", [0, 7, 24])
def test_the_image_under_the_pointer_is_named_with_the_neighbours_of_the_run(page, planted, i):
    arrays, at, before = planted[1], on_screen(page, i), pixels(page)
    assert name(page) is None
    page.mouse.move(*at)
    assert name(page) == image(i)
    assert (np.abs(pixels(page) - before).max(2) > 30).mean() > 0.01
    names = page.locator(".atlas li .number").all_inner_texts()
    assert names == [f"image {40 + j}" for j in arrays["nearest"][i]]
    cosines = page.locator(".atlas li .cosine").all_inner_texts()
    assert cosines == [f"{s:.3f}".replace("-", "−") for s in arrays["similarity"][i]]
    same = (arrays["labels"][arrays["nearest"][i]] == arrays["labels"][i]).sum()
    assert page.locator(".atlas .shared").inner_text().startswith(f"{same} of 8 neighbours")
    assert page.locator(".atlas li .same").count() == same
    page.mouse.move(*moved(at, 45, 45))
    assert name(page) is None
    assert (pixels(page) == before).all()


def test_lines_lead_to_the_neighbours_of_the_run(page, planted):
    """A colour that is not faded once another image is chosen is a neighbour's."""
    i = 12
    page.mouse.move(*on_screen(page, i))
    shown = pixels(page)
    full = {j for j in range(COUNT) if (np.abs(shown - COLOURS[j]).max(2) < 10).sum() > 50}
    assert full == {i, *planted[1]["nearest"][i].tolist()}


def test_the_panel_shows_the_chosen_image_and_its_neighbours(page, planted):
    page.mouse.move(*on_screen(page, 3))
    page.evaluate(DRAWN)
    colour = "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data.slice(0, 3)]"
    assert page.locator(".atlas .self canvas").evaluate(colour) == pytest.approx(COLOURS[3], abs=8)
    for thumb, j in zip(
        page.locator(".atlas li canvas").all(), planted[1]["nearest"][3], strict=True
    ):
        assert thumb.evaluate(colour) == pytest.approx(COLOURS[j], abs=8)


def test_the_other_map_places_them_by_its_own_positions(page):
    before = {i: place(page, i) for i in (0, 4, 20)}
    page.get_by_role("button", name="PCA").click()
    assert page.get_by_role("button", name="PCA").get_attribute("aria-pressed") == "true"
    for i, mirrored in ((0, 4), (4, 0), (20, 24)):
        expected = before[mirrored] if mirrored in before else before[20] + before[4] - before[0]
        assert place(page, i) == pytest.approx(expected, abs=1.5)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_images_travel_between_the_maps_unless_motion_is_unwanted(visit, planted, motion):
    page = opened(visit(planted[0]), motion)
    page.get_by_role("button", name="PCA").click()
    soon = pixels(page)
    page.wait_for_timeout(1500)
    assert (pixels(page) == soon).all() == (motion == "reduce")
    assert place(page, 0)[0] > place(page, 4)[0]


def test_arrow_keys_go_to_the_next_image_in_their_direction(page):
    page.locator(CANVAS).focus()
    page.keyboard.press("ArrowRight")
    assert name(page) == image(12), "the one in the middle"
    for key, i in (
        ("Right", 13),
        ("Down", 18),
        ("Left", 17),
        ("Up", 12),
        ("Up", 7),
        ("Up", 2),
        ("Up", 2),
    ):
        page.keyboard.press(f"Arrow{key}")
        assert name(page) == image(i)
    said = page.locator(".atlas .said")
    page.wait_for_function("() => document.querySelector('.atlas .said').textContent")
    assert said.inner_text().startswith("image 42, <img")
    assert said.get_attribute("role") == "status"


def test_enter_pins_and_escape_lets_go(page):
    at = on_screen(page, 24)
    page.locator(CANVAS).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.mouse.move(*at)
    assert name(page) == image(12)
    assert page.get_by_text("pinned", exact=True).is_visible()
    page.keyboard.press("Escape")
    assert name(page) is None


def test_a_click_pins_and_a_neighbour_in_the_list_leads_on(page, planted):
    page.mouse.click(*on_screen(page, 6))
    page.mouse.move(0, 0)
    assert name(page) == image(6)
    page.locator(".atlas li button").nth(2).click()
    assert name(page) == image(planted[1]["nearest"][6][2])
    assert page.evaluate("document.activeElement.tagName") == "BUTTON"


def apart(page):
    return place(page, 13)[0] - place(page, 12)[0]


def test_buttons_zoom_and_reset(page):
    before, first = apart(page), pixels(page)
    page.get_by_role("button", name="Zoom in").click()
    assert apart(page) == pytest.approx(1.5 * before, rel=0.02)
    page.get_by_role("button", name="Zoom out").click()
    assert apart(page) == pytest.approx(before, rel=0.02)
    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="reset").click()
    assert (pixels(page) == first).all()


def test_the_wheel_zooms_about_the_pointer_and_a_drag_moves(page):
    before, at = apart(page), on_screen(page, 12)
    page.mouse.move(*at)
    page.mouse.wheel(0, -200)
    page.mouse.move(0, 0)
    assert apart(page) > 1.3 * before
    assert on_screen(page, 12) == pytest.approx(at, abs=2)
    page.mouse.move(*moved(at, 30, 60))
    page.mouse.down()
    page.mouse.move(*moved(at, 70, 40), steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    assert on_screen(page, 12) == pytest.approx(moved(at, 40, -20), abs=2)
    assert name(page) is None, "a drag chooses nothing"


def test_a_wheel_that_scrolls_the_page_is_not_caught(page):
    """Outwards at the widest there is nothing to zoom, and the page goes on."""
    before, first = page.evaluate("scrollY"), pixels(page)
    page.mouse.move(*on_screen(page, 12))
    page.mouse.wheel(0, 150)
    page.wait_for_function(f"() => scrollY > {before} + 100")
    page.mouse.wheel(0, -100)
    page.wait_for_function(f"() => scrollY < {before} + 100")
    page.mouse.move(0, 0)
    assert (pixels(page) == first).all()


def test_classes_can_be_hidden(page):
    at = on_screen(page, 4)
    entry = page.get_by_role("button", name="green", exact=True)
    assert entry.get_attribute("aria-pressed") == "true"
    entry.click()
    assert entry.get_attribute("aria-pressed") == "false"
    page.mouse.move(*at)
    assert name(page) is None, "image 4 is green"
    with pytest.raises(AssertionError):
        place(page, 4)
    place(page, 3)
    entry.click()
    place(page, 4)


def test_a_finger_taps_and_two_fingers_zoom(visit, planted, phone):
    page = opened(visit(planted[0], viewport=phone))
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})

    def touch(kind, *points):
        found = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": found})

    at, before = on_screen(page, 12), apart(page)
    touch("Start", at)
    touch("End")
    assert name(page) == image(12)
    page.locator(CANVAS).press("Escape")
    touch("Start", moved(at, -20, 0), moved(at, 20, 0))
    touch("Move", moved(at, -30, 0), moved(at, 30, 0))
    touch("Move", moved(at, -40, 0), moved(at, 40, 0))
    touch("End")
    assert apart(page) == pytest.approx(2 * before, rel=0.1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anybody_out(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.mouse.click(*on_screen(page, 12))
    page.get_by_role("button", name="red", exact=True).click()
    found = Axe().run(page, context=".atlas")
    assert found.violations_count == 0, found.generate_report()


def test_a_phone_shows_it_within_its_width(visit, planted, phone):
    page = opened(visit(planted[0], viewport=phone))
    page.mouse.click(*on_screen(page, 12))
    assert page.evaluate("document.documentElement.scrollWidth") == phone["width"]
    inside = (
        "e => { const b = e.getBoundingClientRect(); return b.left >= 0 && b.right <= innerWidth; }"
    )
    assert all(e.evaluate(inside) for e in page.locator(".atlas *:visible").all())


def test_names_from_a_stranger_stay_names(page):
    page.mouse.click(*on_screen(page, 2))
    assert page.locator(".atlas .self .class").inner_text() == f"class {EVIL[:40]}"
    assert page.title() == "Triptych report"
    assert page.locator(".atlas img, .atlas b").count() == 0


def test_images_without_labels_have_neighbours_and_no_classes(visit, tmp_path):
    path, _ = plant(tmp_path / "plain", labelled=False)
    page = opened(visit(path))
    page.mouse.click(*on_screen(page, 12))
    assert name(page) == image(12)
    assert page.locator(".atlas .shared").inner_text() == "Nearest by cosine:"
    assert page.locator(".atlas .classes button").count() == 0


def test_paper_gets_a_light_picture_without_controls(page):
    page.emulate_media(color_scheme="dark")
    assert pixels(page)[0, 0].sum() < 150
    page.emulate_media(media="print", color_scheme="dark")
    assert pixels(page)[0, 0].sum() > 700
    place(page, 12)
    assert page.locator(".atlas :is(.switch, .zoom) button:visible").all_inner_texts() == ["t-SNE"]


def test_the_canvas_has_as_many_pixels_as_the_screen(chromium, planted):
    context = chromium.new_context(device_scale_factor=2, offline=True)
    page = opened(visited(context, planted[0]))
    size = page.locator(CANVAS).evaluate(
        "c => [c.width / c.clientWidth, c.height / c.clientHeight]"
    )
    assert size == [2, 2]
    context.close()


def test_without_scripts_a_sentence_says_where_to_look(chromium, planted):
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = visited(context, planted[0])
    assert page.get_by_text("scripts are off; the figures below").is_visible()
    assert not page.locator(CANVAS).is_visible()
    context.close()


def visited(context, path):
    page = context.new_page()
    page.goto(path.as_uri())
    return page
