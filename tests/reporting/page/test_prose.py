"""What a reader reads: no name that only a file has, for every metric and every field of a config that there is."""

import json
from collections.abc import Iterator, Mapping
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from triptych.experiment import default_config
from triptych.metrics import BASELINES, DECLARED, SPLITS, label, metric
from triptych.reporting.fields import FIELDS, field_words
from triptych.reporting.page import sections
from triptych.reporting.page.page import compose
from triptych.runs import Result, Run
from triptych.studies.compare import Number, compare_metric

METHODS = ("vae", "wgan", "simsiam")

KEYS = [*DECLARED, *(f"{key}{end}" for key in DECLARED for end in BASELINES if "/" not in key)]
NAMES = [name for key in KEYS for name in (key, *(f"{split}/{key}" for split in SPLITS))]
STORED = [name for name in NAMES if "_" in name or "/" in name]
"""All names that results.json, metrics.jsonl and study.json may have of a declared metric, but those that are words."""


def fields(tables: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in tables.items():
        if isinstance(value, Mapping):
            yield from fields(value, f"{prefix}{name}.")
        elif prefix:
            yield f"{prefix}{name}"


DOTTED = sorted(
    {field for name in METHODS for field in fields(default_config(name, "demo").tables())}
)


class Prose(HTMLParser):
    """The words of a page as they are seen or heard, without code, scripts and styles."""

    SILENT = ("script", "style", "code", "pre")
    SAID = ("alt", "aria-label", "title", "aria-valuetext")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.within: list[str] = []
        self.said: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.said += [text for name, text in attributes if name in self.SAID and text]
        if tag in self.SILENT:
            self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.within and self.within[-1] == tag:
            self.within.pop()

    def handle_data(self, data: str) -> None:
        if not self.within:
            self.said.append(data)


def filled(path, method: str) -> Run:
    """A run with a number, or the reason why there is none, and a curve of every declared metric."""
    run = Run.create(path, default_config(method, "demo").tables())
    for step in (0, 10, 20):
        numbers = {
            f"{side}/{key}": 0.3 + step / 100 for key in DECLARED for side in ("train", "valid")
        }
        whole = {key: 0.3 + step / 100 for key in DECLARED if "/" in key}
        run.log({"step": step, "epoch": step / 10, "seconds": 1.0, **numbers, **whole})
    run.log({"step": 30, "epoch": 3.0, "alarm": "the samples collapsed", "since": 20})
    protocol = {"split": "test", "K": 200, "k": 5, "images": "3x8x8"}
    run.record({f"test/{key}": Result(0.5, 0.01, 100, protocol) for key in KEYS})
    run.record({key: Result(0.5, 0.01, 100, protocol) for key in DECLARED if "/" in key})
    run.record({f"valid/{key}": Result.left_out("these data have no labels", {}) for key in KEYS})
    interval = {
        "mean": -0.1,
        "low": -0.2,
        "high": -0.05,
        "n": 9,
        "way": "linear",
        "p_adjusted": 0.01,
    }
    rows = [interval | {"score": score} for score in ("distance to training", "entropy")]
    run.record(
        {
            "samples/class_histogram": Result(
                {"verdict": "a", "classes": ["0", "1"], "mark": ["over", "missing"]}, None, 9, {}
            ),
            "interpolation/scorecard": Result({"verdict": "a", "differences": rows}, None, 9, {}),
            "latent/coordinates": Result(
                {
                    "converged": {"100": {"axes": 0.5}},
                    "axes": {"class@100": ["0", "1"], "share@100": [1.0, 0.2]},
                    "sentences": ["They are not shown to be special."],
                    "start": {"n": 40, "diversity": 0.9, "class": "1", "share": 0.2, "least": 0.4},
                },
                None,
                9,
                {},
            ),
            "verdict": Result("healthy", None, 9, {}, "Healthy: spread out (spread 1; step 30)."),
        }
    )
    run.save_arrays("coordinates", coordinates=np.array([1, 0]))
    run.finish("DONE", "trained")
    return run


@pytest.fixture
def whole(tmp_path, ablation, monkeypatch):
    """The page of all three kinds and a study, of every declared metric and held against the reference report."""
    # To draw a hundred panels takes minutes; what is read of a figure is its own module's.
    for drawn in ("figures", "study_figures"):
        monkeypatch.setattr(sections, drawn, lambda found, reference: {})
    runs = [filled(tmp_path / method, method).path for method in METHODS]
    study = ablation(tmp_path / "study", preset="small")
    values = {arm: {seed: Number(0.5 + seed / 9, {}) for seed in (0, 1)} for arm in study.arms}
    study.found["metrics"] |= {
        name: compare_metric(name, values | {study.arms[-1]: last}, study.arms[0])
        for name, last in [
            *((name, {0: Number(0.4, {})}) for name in NAMES),
            ("test/recall", {0: Number(0.4, {"k": 5})}),
            ("test/density", {}),
        ]
    }
    study.found["curves"] = ["train/loss", "test/knn_top1"]
    (study.path / "study.json").write_text(json.dumps(study.found))
    return compose([*runs, study.path], reference=True).html


def test_no_name_of_a_metric_or_field_is_read_on_a_page(whole):
    prose = "\n".join(Prose(whole).said)
    for sign in ("ELBO rose", "Not comparable with", "test kNN top-1", "undecided between"):
        assert sign in prose
    lines = prose.splitlines()
    found = {n: next(x for x in lines if n in x) for n in (*STORED, *DOTTED) if n in prose}
    assert found == {}


def test_every_name_in_the_table_of_numbers_is_there_as_code(whole):
    """People look for it in results.json."""
    page = unescape(whole)
    for key in DECLARED:
        assert f"{label(f'test/{key}')}<br><code>test/{key}</code>" in page


def test_every_declared_metric_has_a_title_of_words():
    assert {
        name: metric(name).title for name in STORED if set("_/") & set(metric(name).title)
    } == {}


def test_every_field_of_a_config_is_called_by_words():
    said = {field: field_words(field) for field in DOTTED}
    assert {
        field: words for field, words in said.items() if not words or set("._") & set(words)
    } == {}


def test_what_fields_are_called_is_of_fields_that_exist():
    from triptych.reporting.reference import simsiam, vae, wgan

    known = {f for of in (simsiam, vae, wgan) for f in of.PROTOCOL} | {
        *DOTTED,
        "K",
        "k",
        "temperature",
    }
    assert {*FIELDS} <= known
