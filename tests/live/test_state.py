"""What the page is told of runs, several at once, broken ones among them."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from triptych.errors import TriptychError
from triptych.live import follow
from triptych.live import state as module
from triptych.live.state import State
from triptych.runs import Run


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question is looked into."""
    monkeypatch.setattr(module, "OFTEN", 0.0)
    monkeypatch.setattr(module, "SOUGHT", 0.0)
    monkeypatch.setattr(module, "COST", 0.0)


def plant(path: Path, epochs: int = 5, latent: int = 2, **more: Any) -> Run:
    run = Run.create(
        path,
        {
            "seed": 0,
            "method": {"name": "mine", "latent": latent},
            "data": {"name": "a/b.npy"},
            "train": {"duration": "10 epochs", "threads": latent},
        },
    )
    for epoch in range(1, epochs + 1):
        run.log({"step": 10 * epoch, "epoch": float(epoch), "train/loss": 1 / epoch})
        run.log({"step": 10 * epoch, "epoch": float(epoch), "valid/loss": 2 / epoch, **more})
    return run


def told(state: State, wanted: list[int] | None = None) -> dict[str, Any]:
    answer = state.told("", wanted)
    assert answer is not None
    found: dict[str, Any] = json.loads(answer)
    return found


def by_name(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in answer["rows"]}


def test_a_run_is_told_as_far_as_it_is(tmp_path: Path):
    run = plant(tmp_path / "one", epochs=5)
    run.log({"step": 50, "epoch": 5.0, "alarm": "collapsed", "since": 30})
    answer = told(State([run.path]))
    (row,) = answer["rows"]
    assert (row["name"], row["step"], row["total"], row["share"]) == ("one", 50, 100, 0.5)
    assert row["alarms"] == [[30, "collapsed"]]
    assert (row["value"], row["label"]) == ("0.4000", "validation loss")
    assert [name for name, _ in answer["charts"]] == ["train-loss"]
    assert ">validation</span>" in answer["charts"][0][1]


def test_nothing_is_told_twice(tmp_path: Path):
    run = plant(tmp_path / "one")
    state = State([run.path])
    answer = told(state)
    assert state.told(answer["version"], None) is None
    run.log({"step": 60, "epoch": 6.0, "train/loss": 0.1})
    again = state.told(answer["version"], None)
    assert again is not None and json.loads(again)["rows"][0]["step"] == 60


def test_runs_come_and_go(tmp_path: Path):
    state = State([tmp_path])
    assert told(state)["rows"] == []
    plant(tmp_path / "a")
    assert list(by_name(told(state))) == ["a"]
    plant(tmp_path / "b")
    assert set(by_name(told(state))) == {"a", "b"}
    shutil.rmtree(tmp_path / "a")
    assert list(by_name(told(state))) == ["b"]


def test_a_long_log_is_read_on_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Piece by piece, and not with a pause after each."""
    monkeypatch.setattr(follow, "PIECE", 1_000)
    monkeypatch.setattr(module, "OFTEN", 1e6)
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    run = plant(tmp_path / "one", epochs=50)
    state = State([run.path])
    size, answers = (run.path / "metrics.jsonl").stat().st_size, [told(state)]
    while answers[-1]["unread"]:
        answers.append(told(state))
    assert len(answers) == size // 1_000 + 1
    assert answers[0]["rows"][0]["step"] < answers[-1]["rows"][0]["step"] == 500


def test_the_runs_of_a_study_are_found_below_it(tmp_path: Path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.toml").touch()
    plant(tmp_path / "s" / "arm" / "seed-0")
    assert list(by_name(told(State([tmp_path])))) == ["s/arm/seed-0"]
    assert list(by_name(told(State([tmp_path / "s"])))) == ["arm/seed-0"]


def test_settings_that_differ_have_columns(tmp_path: Path):
    plant(tmp_path / "a", latent=2)
    plant(tmp_path / "b", latent=8)
    answer = told(State([tmp_path]))
    assert answer["fields"] == ["method.latent"]
    assert answer["words"] == ["latent coordinates"]
    assert {n: row["settings"] for n, row in by_name(answer).items()} == {"a": ["2"], "b": ["8"]}


def test_several_runs_are_laid_over_each_other(tmp_path: Path):
    plant(tmp_path / "a")
    plant(tmp_path / "b", epochs=3)
    plant(tmp_path / "c")
    state = State([tmp_path])
    numbers = {name: row["run"] for name, row in by_name(told(state)).items()}
    answer = told(state, [numbers["a"], numbers["b"]])
    assert answer["shown"] == [numbers["a"], numbers["b"]]
    ((name, html),) = answer["charts"]
    assert name == "loss" and "loss, validation images" in html
    assert ">a</span>" in html and ">b</span>" in html and ">c</span>" not in html


def logged(path: Path, **values: float) -> Run:
    run = Run.create(path, {"method": {"name": "mine"}})
    for epoch in (0, 1, 2):
        run.log({"step": 10 * epoch, "epoch": float(epoch), **values})
    return run


def test_levels_are_of_the_images_that_the_lines_are_of(tmp_path: Path):
    """Alone, a run's levels are those of the test images; beside lines of validation they would be wrong."""
    looks = {"test/knn_top1": 0.3, "valid/knn_top1": 0.2, "floor/pixels_knn_top1_test": 0.7}
    for name in ("a", "b"):
        logged(tmp_path / name, **looks)
    (html,) = (html for name, html in told(State([tmp_path]))["charts"] if name == "knn-top1")
    assert "kNN top-1, %, validation images" in html
    assert "untrained 20.0" in html and "untrained 30.0" not in html and "raw pixels" not in html
    logged(tmp_path / "c", **{"floor/pixels_knn_top1_valid": 0.6, **looks})
    ((_, alone),) = told(State([tmp_path / "c"]))["charts"]
    assert "untrained, test 30.0" in alone and "raw pixels, test 70.0" in alone


def test_a_title_names_what_is_laid_over(tmp_path: Path):
    looks = {"features/alignment": 0.2, "features/uniformity": -3.0, "features/effective_rank": 4.0}
    for name in ("a", "b"):
        logged(tmp_path / name, **looks, **{"features/backbone_rank": 8.0})
    charts = dict(told(State([tmp_path]))["charts"])
    titles = {n: html.split("<figcaption>")[1].split("</")[0] for n, html in charts.items()}
    assert titles == {
        "features-effective-rank": "effective rank of the projections (logarithmic)",
        "features-backbone-rank": "effective rank of the backbone&#39;s features (logarithmic)",
        "features-alignment": "alignment",
        "features-uniformity": "uniformity",
    }


def test_lines_of_different_images_say_which(tmp_path: Path):
    logged(tmp_path / "a", **{"train/loss": 1.0, "valid/loss": 2.0})
    logged(tmp_path / "b", **{"train/loss": 3.0})
    state = State([tmp_path])
    ((name, html),) = told(state)["charts"]
    assert name == "loss" and "loss, training images" in html
    logged(tmp_path / "c", **{"valid/loss": 4.0})
    ((_, html),) = told(state)["charts"]
    assert "images" not in html.split("</figcaption>")[0]
    assert ">a, validation</span>" in html and ">b, training</span>" in html


def test_a_run_that_diverged_blanks_no_page(tmp_path: Path):
    """A browser's JSON knows no NaN."""
    logged(tmp_path / "nan", **{"valid/loss": float("nan")})
    logged(tmp_path / "inf", **{"valid/loss": float("-inf")})
    logged(tmp_path / "good", **{"valid/loss": 1.0})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    answer = State([tmp_path]).told("", None)
    assert answer is not None
    rows = by_name(json.loads(answer, parse_constant=refuse))
    assert (rows["good"]["number"], rows["good"]["value"]) == (1.0, "1.00")
    for name in ("nan", "inf"):
        assert (rows[name]["number"], rows[name]["value"]) == (None, "diverged")
        assert rows[name]["status"] == "running"


def test_the_newest_are_shown_first(tmp_path: Path):
    import os

    for number in range(module.OVERLAID + 2):
        config = plant(tmp_path / f"run-{number}", epochs=1).path / "config.toml"
        os.utime(config, (1000 + number, 1000 + number))
    answer = told(State([tmp_path]))
    names = {row["run"]: row["name"] for row in answer["rows"]}
    assert [names[n] for n in answer["shown"]] == [
        f"run-{number}" for number in range(2, module.OVERLAID + 2)
    ]


def test_a_broken_run_hides_no_other(tmp_path: Path):
    plant(tmp_path / "good")
    (tmp_path / "toml").mkdir()
    (tmp_path / "toml" / "config.toml").write_text("= nonsense")
    leads_out = plant(tmp_path / "link").path
    (leads_out / "samples" / "moments").symlink_to("/etc")
    log = plant(tmp_path / "log").path / "metrics.jsonl"
    log.write_text(log.read_text() + "{}\n")
    results = plant(tmp_path / "results").path / "results.json"
    results.write_text("[]")
    rows = by_name(told(State([tmp_path])))
    assert rows["good"]["status"] == "running" and not rows["good"]["lost"]
    assert rows["toml"]["status"] == "damaged" and "not valid TOML" in rows["toml"]["reason"]
    assert rows["link"]["status"] == "damaged" and "leads out of" in rows["link"]["reason"]
    assert rows["log"]["step"] == 50 and "step is missing" in rows["log"]["lost"]
    assert "results.json" in rows["results"]["reason"]


def test_what_was_mended_is_read(tmp_path: Path):
    run = plant(tmp_path / "link")
    (run.path / "out").symlink_to("/etc")
    state = State([tmp_path])
    assert by_name(told(state))["link"]["status"] == "damaged"
    (run.path / "out").unlink()
    assert by_name(told(state))["link"]["step"] == 50


def test_texts_of_a_folder_are_escaped_in_the_charts(tmp_path: Path):
    for name in ("<img src=x>", "b"):
        plant(tmp_path / name, **{"train/<script>": 1.0})
    answer = told(State([tmp_path]))
    html = "".join(html for _, html in answer["charts"])
    assert "&lt;img src=x&gt;" in html
    assert "<img" not in html and "<script>" not in html.replace(
        '<script type="application/json"', ""
    )


def test_moments_are_given_and_nothing_else(tmp_path: Path):
    run = plant(tmp_path / "one")
    run.save_moment(10, np.zeros((64, 1, 4, 4), np.uint8))
    (run.path / "samples" / "moments" / "00000020.png").write_text("no picture")
    state = State([run.path])
    answer = told(state)
    ((number, name, steps),) = answer["moments"]
    assert (name, steps) == ("one", [10, 20])
    given = state.moment(number, 10)
    assert given == (run.path / "samples" / "moments" / "00000010.png").read_bytes()
    assert state.moment(number, 20) is None
    assert state.moment(number, 30) is None and state.moment(number + 1, 10) is None
    (run.path / "samples" / "moments" / "00000010.png").unlink()
    (run.path / "samples" / "moments" / "00000010.png").symlink_to("/etc/passwd")
    with pytest.raises(TriptychError, match="leads out of"):
        state.moment(number, 10)


def test_the_report_of_a_run_is_the_page_of_triptych_report(tmp_path: Path):
    run = plant(tmp_path / "one")
    state = State([run.path])
    number = told(state)["rows"][0]["run"]
    html = state.report(number)
    assert html is not None and "<h1>Report of one</h1>" in html
    assert state.report(number + 1) is None
    assert not list(run.path.glob("*.html"))


def test_what_is_no_folder_is_refused(tmp_path: Path):
    with pytest.raises(TriptychError, match="there is no folder"):
        State([tmp_path / "nothing"])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    now = {"time": 100.0, "core": 0.0}
    monkeypatch.setattr(module.time, "monotonic", lambda: now["time"])
    monkeypatch.setattr(module.time, "thread_time", lambda: now["core"])
    return now


def test_what_costs_much_is_looked_at_less_often(
    tmp_path: Path, clock: dict[str, float], monkeypatch: pytest.MonkeyPatch
):
    """A look of 30 ms is paid for by six seconds without one, however often the page asks."""
    monkeypatch.setattr(module, "OFTEN", 1.0)
    monkeypatch.setattr(module, "COST", 200.0)
    run = plant(tmp_path / "one")
    state = State([run.path])
    told(state)
    clock["time"] += 10
    looks = costly(state, "_look", clock, monkeypatch, 0.03)
    for _ in range(40):
        state.told("", None)
        clock["time"] += 0.5
    assert [b - a for a, b in itertools.pairwise(looks)] == [7.0, 7.0]


def test_a_look_of_seconds_is_paid_for_in_full(
    tmp_path: Path, clock: dict[str, float], monkeypatch: pytest.MonkeyPatch
):
    """Of a thousand runs, say: four seconds of a core are half a per cent of 800."""
    monkeypatch.setattr(module, "OFTEN", 1.0)
    monkeypatch.setattr(module, "COST", 200.0)
    state = State([plant(tmp_path / "one").path])
    told(state)
    looks = costly(state, "_look", clock, monkeypatch, 4.0)
    clock["time"] += 10
    for _ in range(1000):
        state.told("", None)
        clock["time"] += 2
    assert [b - a for a, b in itertools.pairwise(looks)] == [802.0, 802.0]


@pytest.mark.parametrize("part", ["_read_new", "_pictured"])
def test_what_cannot_wait_is_paid_for_by_longer_pauses(
    tmp_path: Path, clock: dict[str, float], monkeypatch: pytest.MonkeyPatch, part: str
):
    """What is read or chosen now comes at once, and in the long run no more of a core is taken."""
    monkeypatch.setattr(module, "OFTEN", 1.0)
    monkeypatch.setattr(module, "COST", 200.0)
    run = plant(tmp_path / "one")
    state = State([run.path])
    with monkeypatch.context() as once:
        # The first answer reads the run and draws its curves.
        costly(state, part, clock, once, 0.1)
        version = told(state)["version"]
    looks = costly(state, "_look", clock, monkeypatch, 0.01)
    for _ in range(200):
        state.told(version, None)
        clock["time"] += 0.5
    pauses = [b - a for a, b in itertools.pairwise(looks)]
    # 20 seconds are owed: one by the first look, which itself cost nothing, and the rest two by two.
    assert pauses[:9] == [5.0] * 9 and set(pauses[10:]) == {3.0}


def costly(
    state: State, part: str, clock: dict[str, float], patch: pytest.MonkeyPatch, cost: float
) -> list[float]:
    """Let a part of an answer cost so many seconds of a core; when it was called."""
    called: list[float] = []
    does = getattr(state, part)

    def at_a_cost(*words: Any) -> Any:
        called.append(clock["time"])
        clock["core"] += cost
        return does(*words)

    patch.setattr(state, part, at_a_cost)
    return called


def test_who_has_an_answer_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One tab's curves take seconds; another tab asks meanwhile, and again later."""
    for name in ("a", "b"):
        plant(tmp_path / name)
    state = State([tmp_path])
    answer = told(state)
    one = answer["shown"][:1]
    drawing, go_on = threading.Event(), threading.Event()
    pictured = state._pictured

    def slow(shown: Any) -> Any:
        drawing.set()
        assert go_on.wait(20)
        return pictured(shown)

    monkeypatch.setattr(state, "_pictured", slow)
    first = threading.Thread(target=state.told, args=("", one))
    first.start()
    assert drawing.wait(20)
    assert state.told("0.older.0", None) is None
    assert state.told(answer["version"], answer["shown"]) is None
    waits = threading.Thread(target=state.told, args=(answer["version"], one))
    waits.start()
    waits.join(0.2)
    assert waits.is_alive()
    go_on.set()
    first.join(20)
    waits.join(20)
