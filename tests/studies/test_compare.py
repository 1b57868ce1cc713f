"""Planted numbers give the right comparison, and the right sentence in every direction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from triptych.config import dump
from triptych.errors import TriptychError
from triptych.runs import Result, Run
from triptych.studies.compare import compare, compare_metric, write
from triptych.studies.plan import Cell, Study, load, open_folder
from triptych.studies.values import Number, one_protocol
from triptych.studies.worker import work

PROTOCOL = {"data": "digits", "split": "test", "k": 200}
CONTROL = [0.40, 0.43, 0.38, 0.41]


def numbers(*values: float) -> dict[int, Number]:
    return {seed: Number(value, PROTOCOL) for seed, value in enumerate(values)}


def shifted(by: float, spread: float) -> dict[int, Number]:
    """The control's values and a shift that is not the same for every seed."""
    offsets = np.array([-1.0, 1.0, -0.5, 0.5]) * spread + by
    return numbers(*(np.array(CONTROL) + offsets))


def findings(**arms: dict[int, Number]) -> list[str]:
    values = {"default": numbers(*CONTROL), **arms}
    found: list[str] = compare_metric("test/knn_top1", values, "default")["findings"]
    return found


def test_sentences_follow_the_numbers_in_both_directions():
    (up,) = findings(better=shifted(0.1, 0.01))
    assert up.startswith(
        "test kNN top-1 is higher in better than in default, by 10.0 points (95 % "
    )
    (down,) = findings(worse=shifted(-0.1, 0.01))
    assert down.startswith(
        "test kNN top-1 is lower in worse than in default, by 10.0 points (95 % "
    )
    (none,) = findings(same=shifted(0.005, 0.01))
    assert none.startswith("test kNN top-1: undecided between same and default: +0.5 points (")
    for said, ends in ((up, "8.5 to 11.5"), (down, "−11.5 to −8.5"), (none, "−1.0 to 2.0")):
        assert f"default: {ends}, " in said
        assert "4 seeds" in said


def test_models_of_other_priors_are_compared_and_other_ways_to_measure_are_not():
    """The prior is learned with the model; which samples estimate its likelihood is a choice of who measures."""
    learned = {
        s: Number(n.value + 0.1, {**PROTOCOL, "prior": "p"}) for s, n in numbers(*CONTROL).items()
    }
    values = {"default": numbers(*CONTROL), "learned": learned}
    found = compare_metric("test/log_likelihood", values, "default")
    assert found["differences"]["learned"]["mean"] == pytest.approx(0.1)
    assert found["protocol"] == PROTOCOL
    assert one_protocol({"learned": learned}) == {**PROTOCOL, "prior": "p"}
    other = {s: Number(n.value, {**n.protocol, "k": 5000}) for s, n in learned.items()}
    found = compare_metric("test/log_likelihood", values | {"other": other}, "default")
    assert list(found["differences"]) == ["learned"]


def test_two_seeds_whose_interval_has_0_in_it_decide_nothing():
    """37 apart on average, −27 to 101 by Student's factor of 12.7: no "no difference"."""
    values = {"default": numbers(500.0, 500.0), "warm": numbers(532.0, 542.0)}
    (said,) = compare_metric("test/log_likelihood", values, "default")["findings"]
    assert said.startswith(
        "test log-likelihood: undecided between warm and default: +37 nats an image (95 % "
    )
    assert "−27 to 101, 2 seeds" in said and said.endswith("; add seeds.")


def test_what_only_one_comparison_would_call_sure_is_not_called_so_among_many():
    doubtful = shifted(0.02, 0.01)
    (alone,) = findings(doubtful=doubtful)
    assert " is higher in doubtful" in alone
    among = findings(doubtful=doubtful, a=shifted(0.0, 0.01), b=shifted(0.001, 0.01))[0]
    assert "may be higher in doubtful" in among
    assert "adjusted for 3 comparisons" in among


def test_numbers_are_students_and_holms():
    arms = {"a": shifted(-0.1, 0.01), "b": shifted(0.02, 0.01)}
    found = compare_metric("m", {"default": numbers(*CONTROL), **arms}, "default")
    raw = {}
    for arm, of in arms.items():
        values = [number.value for number in of.values()]
        expected = stats.ttest_rel(values, CONTROL)
        interval, ours = expected.confidence_interval(), found["differences"][arm]
        assert (ours["low"], ours["high"]) == pytest.approx((interval.low, interval.high))
        assert ours["p"] == pytest.approx(expected.pvalue)
        raw[arm] = expected.pvalue
        mean = found["arms"][arm]
        assert mean["mean"] == pytest.approx(np.mean(values))
        assert mean["stderr"] == pytest.approx(stats.sem(values))
    assert found["differences"]["a"]["holm"] == pytest.approx(2 * raw["a"])
    assert found["differences"]["b"]["holm"] == pytest.approx(raw["b"])


def test_pairs_are_of_one_seed_and_not_of_one_place():
    """The arm lacks seed 1: what is left must not slide up."""
    arm = {seed: n for seed, n in shifted(-0.1, 0.0).items() if seed != 1}
    found = compare_metric("m", {"default": numbers(*CONTROL), "arm": arm}, "default")
    assert found["differences"]["arm"]["n"] == 3
    assert found["differences"]["arm"]["mean"] == pytest.approx(-0.1)
    assert found["differences"]["arm"]["stderr"] == pytest.approx(0, abs=1e-12)


def test_one_seed_has_a_difference_and_no_interval():
    values = {"default": numbers(0.4), "up": numbers(0.5), "down": numbers(0.3), "none": {}}
    found = compare_metric("m", values, "default")
    up, down, none = found["findings"]
    assert up.startswith("m: undecided between up and default: +0.10 (one seed")
    assert down.startswith("m: undecided between down and default: −0.10 (one seed")
    assert "no interval" in up
    assert none == "m was measured in no run of none."
    assert found["differences"]["up"]["low"] is None
    assert found["arms"]["up"]["stderr"] is None


def test_differences_without_spread_are_not_called_certain():
    counts = {"default": numbers(4.0, 4.0), "narrow": numbers(1.0, 1.0), "wide": numbers(4.0, 4.0)}
    narrow, wide = compare_metric("units", counts, "default")["findings"]
    assert narrow == "units is 3.0 lower in narrow than in default with each of 2 seeds."
    assert wide == "units is the same in wide and default with each of 2 seeds."


def test_two_protocols_are_not_put_in_one_column():
    other = {0: Number(0.5, {**PROTOCOL, "k": 20})}
    values = {"default": numbers(0.4), "other": other}
    with pytest.raises(TriptychError, match="'k' is 200 for default, seed 0, but 20 for other"):
        one_protocol(values)
    found = compare_metric("m", values, "default")
    assert found["arms"] == found["differences"] == {}
    assert "'k' is 200" in found["findings"][0]


def chosen(precision: str | None, of: dict[int, Number]) -> dict[int, Number]:
    """The same of trainings whose precision the machine chose."""
    return {seed: number._replace(precision=precision) for seed, number in of.items()}


def test_arms_whose_machines_chose_unlike_precisions_are_not_compared():
    values = {
        "default": chosen("bf16", numbers(0.4, 0.5)),
        "same": chosen("bf16", numbers(0.5, 0.6)),
        "slow": chosen("fp32", numbers(0.6, 0.7)),
        "written": numbers(0.7, 0.8),
    }
    found = compare_metric("test/knn_top1", values, "default")
    assert list(found["arms"]) == ["default", "same", "written"]
    assert found["protocol"] == PROTOCOL
    (said,) = [s for s in found["findings"] if "without slow" in s]
    assert said.endswith(
        "'train.dtype', left to the machine, is bf16 for default, seed 0, but fp32 for slow, seed 0."
    )


def test_beside_a_control_of_a_written_precision_the_first_choice_counts():
    values = {
        "written": numbers(0.7, 0.8),
        "a": chosen("bf16", numbers(0.4, 0.5)),
        "b": chosen("fp32", numbers(0.5, 0.6)),
        "c": chosen("bf16", numbers(0.6, 0.7)),
    }
    assert list(compare_metric("m", values, "written")["arms"]) == ["written", "a", "c"]


def test_seeds_of_the_control_on_unlike_machines_are_one_quantity_no_more():
    control = chosen("bf16", numbers(0.4)) | {1: Number(0.5, PROTOCOL, "fp32")}
    found = compare_metric("m", {"default": control, "other": numbers(0.5, 0.6)}, "default")
    assert found["arms"] == {}
    assert "is bf16 for default, seed 0, but fp32 for default, seed 1" in found["findings"][0]


def test_what_auto_came_to_on_each_machine_belongs_to_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squares: Callable[[], None]
):
    """Four arms, one of them trained where bf16 is emulated and one in a precision that is its own."""
    monkeypatch.chdir(tmp_path)
    squares()
    base = {
        "data": {"name": "mine.npy"},
        "method": {"hidden": [4], "latent": 2},
        "train": {"dtype": "auto", "duration": "2 steps", "batch_size": 8, "log_every": 1},
    }
    told = {"method": "vae", "seeds": [0], "evaluate": False, "metrics": ["train/elbo", "seconds"]}
    arms = {"default": {}, "same": {}, "slow": {}, "written": {"train": {"dtype": "fp32"}}}
    Path("mine.toml").write_text(dump({"study": told, "base": base, "arms": arms}))
    study, folder = load(Path("mine.toml")), Path("studies")
    open_folder(folder, study)
    for cell in study.cells():
        fast = cell.arm != "slow"
        monkeypatch.setattr("triptych.environment.has_bf16", lambda device, fast=fast: fast)
        work(folder, cell)
    recorded = {cell.arm: Run(cell.path(folder)).config["train"]["dtype"] for cell in study.cells()}
    assert list(recorded.values()) == ["bf16", "bf16", "fp32", "fp32"]
    for metric, found in compare(study, folder)["metrics"].items():
        assert list(found["arms"]) == ["default", "same", "written"], metric
        assert any("without slow" in said and "fp32 for slow" in said for said in found["findings"])


FILE = {
    "study": {
        **{"method": "vae", "seeds": [0, 1], "evaluate": False},
        "metrics": ["test/knn_top1", "train/elbo", "best/step"],
    },
    "arms": {"default": {}, "other": {"method": {"latent": 3}}},
}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    (tmp_path / "planted.toml").write_text(dump(FILE))
    return load(tmp_path / "planted.toml")


def plant(folder: Path, cell: Cell, knn: float, state: str = "DONE", said: str = "") -> Run:
    run = Run.create(cell.path(folder), {"seed": cell.seed})
    for step, elbo in ((1, -300.0), (2, -200.0 - cell.seed)):
        run.log({"step": step, "epoch": float(step), "train/elbo": elbo})
    run.record({"test/knn_top1": Result(knn, 0.01, 100, PROTOCOL)})
    if said:
        run.record({"verdict": Result(said, None, 100, PROTOCOL, "a word")})
    run.finish(state, "trained" if state == "DONE" else f"not finite, see '{run.path}'")
    return run


def test_a_study_folder_is_read_run_by_run(tmp_path: Path, study: Study):
    verdicts = {"default": ["healthy", "healthy"], "other": ["dimensional collapse", "healthy"]}
    for cell in study.cells():
        knn = 0.4 + 0.01 * cell.seed - 0.1 * (cell.arm == "other")
        run = plant(tmp_path, cell, knn, said=verdicts[cell.arm][cell.seed])
        if cell == Cell("other", 1):
            run.log({"step": 3, "epoch": 3.0, "alarm": "it collapsed", "since": 2})
    found = write(study, tmp_path)
    assert json.loads((tmp_path / "study.json").read_text()) == found
    assert found["arms"]["other"]["verdicts"] == {"dimensional collapse": 1, "healthy": 1}
    alarms = found["arms"]["other"]["runs"]["1"]["alarms"]
    assert alarms == [{"step": 2, "alarm": "it collapsed"}]
    assert found["arms"]["other"]["runs"]["1"]["evidence"] == "a word"
    knn, elbo, missing = found["metrics"].values()
    assert knn["protocol"] == PROTOCOL
    assert knn["differences"]["other"]["mean"] == pytest.approx(-0.1)
    assert elbo["arms"]["default"]["values"] == {"0": -200.0, "1": -201.0}, "what was logged last"
    assert missing["findings"] == ["best/step was measured in no run."]
    assert missing["arms"] == {}


def test_a_failed_run_is_shown_as_such_and_gives_no_numbers(tmp_path: Path, study: Study):
    for cell in study.cells():
        if cell != Cell("default", 1):
            plant(tmp_path, cell, 0.4, "FAILED" if cell == Cell("other", 1) else "DONE")
    found = compare(study, tmp_path)
    assert found["arms"]["other"]["runs"]["1"] == {
        "state": "failed",
        "reason": "not finite, see 'seed-1'",
    }
    assert found["arms"]["default"]["runs"]["1"] == {"state": "not done"}
    knn = found["metrics"]["test/knn_top1"]
    assert knn["arms"]["other"]["values"] == {"0": 0.4}
    assert knn["findings"][0].startswith(
        "test kNN top-1: undecided between other and default: 0 points ("
    )
