"""What a reader reads: no name that only a file has, for every metric and every field of a config that there is."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch

import triptych
from triptych import checkpoint, methods
from triptych.cli.main import main
from triptych.experiment import default_config
from triptych.metrics import BASELINES, DECLARED, SPLITS, label, metric
from triptych.reporting.families import headline
from triptych.reporting.fields import FIELDS, field_words
from triptych.reporting.page import sections
from triptych.reporting.page.compare import compare
from triptych.reporting.page.page import compose
from triptych.reporting.terminal import headline_words
from triptych.runs import Result, Run
from triptych.studies.compare import compare_metric
from triptych.studies.values import Number

METHODS = ("vae", "wgan", "simsiam", "gan")

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


CAUTIONS = (
    "This is not as it was trained: ",
    "no better than the untrained network by validation kNN top-1: 0.2000 against 0.3000",
)

DOTTED = sorted(
    {field for name in methods.names() for field in fields(default_config(name).tables())}
)


def other(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A config that says something else in every field."""
    return {k: other(v) if isinstance(v, Mapping) else "else" for k, v in tables.items()}


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
    # Weights that were a bad choice, and were trained with another config in every field.
    chosen = {"metric": "valid/knn_top1", "better": "higher", "value": 0.2, "untrained": 0.3}
    about = {"step": 10, "chosen": chosen, "config": other(run.config)}
    checkpoint.save(run.checkpoint("best"), {"weights.a": torch.zeros(1)}, about)
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
    return compose([*runs, study.path], comparison=compare(*runs[:2]), reference=True).html


def test_no_name_of_a_metric_or_field_is_read_on_a_page(whole):
    prose = "\n".join(Prose(whole).said)
    for sign in (
        "ELBO rose",
        "Not comparable with",
        "test kNN top-1",
        "undecided between",
        *CAUTIONS,
    ):
        assert sign in prose
    lines = prose.splitlines()
    found = {n: next(x for x in lines if n in x) for n in (*STORED, *DOTTED) if n in prose}
    assert found == {}


def test_names_of_a_comparison_are_there_as_code_beside_their_words(whole):
    table = unescape(whole).partition("Side by side")[2].partition("</table>")[0]
    assert "test log-likelihood<br><code>test/log_likelihood</code>" in table


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


BROKEN = re.compile(r"\b(nan|inf|infinity)\b", re.IGNORECASE)
"""How a number that is none is printed by who did not think of it."""

LOGGED = {
    "vae": ("valid/elbo", "valid/kl", "train/elbo"),
    "wgan": ("samples/diversity", "valid/frechet_untrained", "train/critic_gap"),
    "gan": ("samples/diversity", "valid/frechet_untrained", "train/critic_loss"),
    "simsiam": ("test/knn_top1", "features/retrieval", "features/std", "train/loss"),
}
"""What a family's page begins with comes first."""


def broken(path, method: str) -> Run:
    """A run whose numbers are none from step 20 on, and were some at steps 0 and 10."""
    run = Run.create(path, default_config(method, "demo").tables())
    for look, value in enumerate((0.25, 0.5, math.nan, math.inf)):
        about = {"step": 10 * look, "epoch": float(look), "seconds": 1.0}
        run.log(about | dict.fromkeys(LOGGED[method], value))
    run.record(
        {"test/kid": Result(math.nan, None, 9, {}), "test/elbo_last": Result(math.inf, None, 9, {})}
    )
    tensors = {"weights.a": torch.zeros(1)}
    checkpoint.save(run.checkpoint("last"), tensors, {"step": 30})
    run.finish("DONE", "trained")
    return run


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_diverged_says_so_and_has_the_last_numbers_before(
    tmp_path, method, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "300")
    run = broken(tmp_path / "runs" / "mine", method)
    found = headline(run)
    assert (found.name, found.value, found.logged) == (LOGGED[method][0], 0.5, 10)
    page = compose([run.path], reference=True)
    first = page.sections[0].findings[0]
    assert first.sentence.startswith(
        "The training diverged: from step 20 on it logged no finite numbers for the "
    )
    assert label(LOGGED[method][0]) in first.sentence
    assert main(["runs", str(tmp_path / "runs")]) == 0
    said = {
        "page": "\n".join(Prose(page.html).said),
        "card": "\n".join(Prose(triptych.card(run)).said),
        "runs": capsys.readouterr().out,
        "headline": headline_words(run),
    }
    assert {where: found for where, words in said.items() if (found := BROKEN.findall(words))} == {}
    assert "at step 10" in said["card"] and "step 10" in said["runs"]


def test_a_bound_that_ends_in_no_number_says_so(tmp_path):
    sentences = [
        f.sentence for f in compose([broken(tmp_path / "r", "vae").path]).sections[0].findings
    ]
    assert "rose from 0.25 to 0.50" in sentences[1]
    assert sentences[1].endswith(" After that it was no finite number.")


def test_a_divergence_that_only_the_verdict_tells_is_said_too(tmp_path):
    run = Run.create(tmp_path / "r", default_config("simsiam", "demo").tables())
    for step, verdict in ((0, "healthy"), (10, "diverged")):
        run.log({"step": step, "epoch": step / 10, "features/std": 0.5, "verdict": verdict})
    told = compose([run.path]).sections[0].findings[0].sentence
    assert told.startswith("The training diverged: at step 10 the loss or the features were")
    run.log({"step": 20, "epoch": 2.0, "features/std": 0.5, "verdict": "healthy"})
    assert "Divergence" not in [f.title for f in compose([run.path]).sections[0].findings]


def test_a_metric_that_never_was_a_number_is_no_divergence(tmp_path):
    run = Run.create(tmp_path / "r", default_config("vae", "demo").tables())
    for step in (0, 10):
        run.log({"step": step, "epoch": step / 10, "valid/elbo": -9.0, "valid/mine": math.nan})
    assert [f.title for f in compose([run.path]).sections[0].findings] == ["ELBO"]
