"""How many runs a card trains at once, by planted curves and deaths, and by real processes on the CPU."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych.cli.main import main
from triptych.cli.study import display
from triptych.config import merge
from triptych.data import load as load_data
from triptych.errors import TriptychError
from triptych.experiment import ExperimentConfig, default_config
from triptych.runs import Run
from triptych.studies import card
from triptych.studies.card import Coming, Crowd, Forecast, Ready, crowd, forecast, how_many
from triptych.studies.forecast import Recorded, makespan
from triptych.studies.plan import Cell, Study, load, open_folder
from triptych.studies.stopwatch import Looks, Timer
from triptych.studies.watch import Row
from triptych.studies.worker import work
from triptych.types import Moment

GIGA = 10**9


@pytest.mark.parametrize(
    ("most", "curve", "jobs", "asked"),
    [
        (1, {}, 1, []),
        (8, {2: 1.02}, 1, [2]),
        (8, {2: 1.9, 4: 3.1, 8: 3.3}, 4, [2, 4, 8]),
        (8, {2: 1.9, 4: 3.6, 8: 6.0}, 8, [2, 4, 8]),
        (6, {2: 1.9, 4: 3.1, 6: 4.0}, 6, [2, 4, 6]),
        (8, {2: 1.9, 4: 0.0}, 2, [2, 4]),
    ],
    ids=["one run", "one fills it", "saturates", "pays", "few runs", "no room for four"],
)
def test_more_are_tried_while_they_pay(most, curve: dict[int, float], jobs: int, asked: list[int]):
    seen: list[int] = []

    def together(count: int) -> float:
        seen.append(count)
        return curve[count]

    best, gains = how_many(most, together)
    assert (best, seen) == (jobs, asked)
    assert gains == {1: 1.0} | {count: curve[count] for count in asked}


def test_a_tenth_more_is_worth_it_and_less_is_not():
    assert how_many(2, {2: 1.11}.__getitem__)[0] == 2
    assert how_many(2, {2: 1.09}.__getitem__)[0] == 1


class Machine:
    """A card that does so much more at once, has room for so many, and on which so many at once are one too many."""

    def __init__(
        self,
        gain: Callable[[int], float],
        alone: Mapping[str, float],
        room: int = 99,
        dies_in: int = 99,
        broken: str = "",
    ) -> None:
        self.gain, self.alone, self.room = gain, alone, room
        self.dies_in, self.broken = dies_in, broken
        self.there = 0
        self.going: list[str] = []
        self.rounds: list[list[str]] = []
        self.threads: set[int] = set()

    def __call__(
        self, kind: str, config: ExperimentConfig, threads: int, stack: ExitStack
    ) -> Planted:
        self.threads.add(threads)
        return Planted(self, kind, stack)


class Planted:
    """A process that says what its card lets it."""

    def __init__(self, machine: Machine, kind: str, stack: ExitStack) -> None:
        self.machine, self.kind = machine, kind
        self.ready = Ready(Looks(0.0, 0.0, 0.0), 10.0, start={"b": 7.0}.get(kind, 1.0))
        self.trains = self.breaks = False
        stack.callback(self.end)

    def end(self) -> None:
        self.machine.there -= self.trains or self.breaks

    def warm(self) -> None:
        if self.machine.there < self.machine.room:
            self.machine.there += 1
            self.breaks = self.kind == self.machine.broken
            self.trains = not self.breaks

    def go(self) -> None:
        self.machine.going.append(self.kind)

    def step(self) -> float | None:
        machine = self.machine
        if machine.going:
            machine.rounds.append(machine.going)
            machine.going = []
        count = len(machine.rounds[-1])
        if count >= machine.dies_in:
            self.trains = False
            machine.there -= 1
            return None
        return machine.alone[self.kind] * count / machine.gain(count)


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """A host of 16 cores and 64 GB with such a card."""

    def planted(*given, **more) -> Machine:
        machine = Machine(*given, **more)
        monkeypatch.setattr(card, "Process", machine)
        monkeypatch.setattr(card, "memory", lambda device: 64 * GIGA)
        monkeypatch.setattr(card, "cores", lambda: 16)
        return machine

    return planted


KINDS = dict.fromkeys("abc", default_config("vae"))
ALONE = {"a": 0.1, "b": 2.0, "c": 0.5}


def saturating(count: int) -> float:
    """Four at once do three times the work of one, and more do no more."""
    return {1: 1.0, 2: 1.8}.get(count, 3.0)


def test_every_kind_is_timed_alone_and_the_first_runs_together(plant):
    machine = plant(saturating, ALONE)
    found = crowd(KINDS, list("abcabcabc"))
    assert {kind: pace.step for kind, pace in found.paces.items()} == ALONE
    assert found.jobs == 4
    assert found.gains == pytest.approx({1: 1.0, 2: 1.8, 4: 3.0, 8: 3.0})
    assert machine.rounds == [["a"], ["b"], ["c"], ["a", "b"], list("abca"), list("abcaabbc")]
    assert machine.threads == {2}
    assert machine.there == 0, "nothing is left on the card"


def test_no_more_than_there_are_runs_or_cores(plant):
    plant(lambda count: float(count), ALONE)
    assert crowd(KINDS, list("abc")).jobs == 3
    two = crowd(KINDS, list("abcabc"), room=2)
    assert two.jobs == 2
    assert set(two.paces) == set("abc")
    one = crowd(KINDS, list("abcabc"), room=1)
    assert (one.jobs, dict(one.gains), set(one.paces)) == (1, {1: 1.0}, set("abc"))


def test_whoever_says_how_many_gets_so_many(plant):
    machine = plant(saturating, ALONE)
    found = crowd(KINDS, list("abcabcabc"), jobs=3)
    assert found.jobs == 3
    assert found.gains == pytest.approx({1: 1.0, 3: 3.0})
    assert machine.rounds[3:] == [["a", "b", "c"]]
    assert crowd(KINDS, ["a"], jobs=12).jobs == 12


def test_where_the_card_has_room_for_two_two_are_at_work_and_the_third_kind_is_timed_afterwards(
    plant,
):
    plant(lambda count: float(count), ALONE, room=2)
    found = crowd(KINDS, list("abcabc"))
    assert found.jobs == 2
    assert {kind: pace.step for kind, pace in found.paces.items()} == ALONE


def test_a_death_while_four_train_leaves_two(plant):
    plant(lambda count: float(count), ALONE, dies_in=4)
    found = crowd(KINDS, list("abcabc"))
    assert found.jobs == 2
    assert dict(found.gains) == {1: 1.0, 2: 2.0}


def test_a_kind_that_breaks_at_once_takes_no_time_and_hinders_nobody(plant):
    machine = plant(lambda count: float(count), ALONE, broken="b")
    found = crowd(KINDS, list("abc"))
    assert found.paces["b"].step == 0.0
    assert found.jobs == 2
    assert machine.rounds[-1] == ["a", "c"]


def test_a_card_without_room_for_one_says_nothing(plant):
    plant(lambda count: float(count), ALONE, room=0)
    found = crowd(KINDS, list("abc"))
    assert found.jobs == 1
    assert {pace.step for pace in found.paces.values()} == {0.0}


def test_as_many_processes_as_the_host_has_memory_for(plant, monkeypatch):
    machine = plant(lambda count: float(count), ALONE)
    monkeypatch.setattr(card, "memory", lambda device: 7 * GIGA)
    found = crowd(KINDS, list("abc"))
    assert found.jobs == 2
    assert set(found.paces) == set("abc")
    assert max(map(len, machine.rounds)) == 2


def test_memory_of_those_that_are_left_out_counts_as_free():
    looks = Looks(0.0, 0.0, 0.0)
    full = [Ready(looks, 1.0, 15 * GIGA, 5 * GIGA, 80 * GIGA)] * 5
    # Five leave 5 of 80 GB, four 20.
    assert card.fitting(full) == 4
    assert card.fitting([Ready(looks, 1.0, 60 * GIGA, 1 * GIGA, 80 * GIGA)]) == 1
    assert card.fitting([]) == 1


def test_runs_end_as_the_gains_say():
    gain = Crowd(2, {1: 1.0, 2: 1.5}, {}).gain
    # Both at 0.75 for 40 s, then 60 s of the longer one alone.
    assert makespan([30.0, 90.0], 2, gain) == pytest.approx(100.0)
    # One at a time they are their sum.
    assert makespan([30.0, 90.0], 1, gain) == 120.0


def of(config: ExperimentConfig, **train: object) -> ExperimentConfig:
    return merge(config, {"train": train})


def test_a_forecast_adds_what_cannot_be_timed(plant, tmp_path: Path):
    plant(lambda count: 1.0, ALONE)
    config = of(default_config("vae"), duration="25 steps", validate_every="10 steps")
    recorded = Recorded(step=9.0, start=4.0, measure=50.0, draw=0.0, on_card=3.0).beside_a_card()
    runs = [Coming(tmp_path / kind, kind, config, recorded) for kind in "ab"]
    Run.create(tmp_path / "done", {}).finish("DONE", "")
    runs.append(Coming(tmp_path / "done", "c", config, recorded))
    found = forecast(runs, None, None)
    # What was recorded, or what the process took to begin where that was longer.
    expected = [4 + 25 * 0.1 + 3, 7 + 25 * 2.0 + 3, 3.0]
    assert list(found.seconds.values()) == pytest.approx(expected)
    assert set(found.crowd.paces) == {"a", "b"}, "what is trained needs no warm-up"
    assert found.left() == pytest.approx(sum(expected))
    assert found.left(dict.fromkeys(found.seconds, 1.0)) == 0.0


def test_what_is_left_of_two_at_once():
    a, b = Path("a"), Path("b")
    found = Forecast(Crowd(2, {1: 1.0, 2: 2.0}, {}), {a: 10.0, b: 40.0})
    assert found.left() == 40.0
    assert found.left({b: 0.5}) == 20.0


FILE = """
[study]
method = "vae"
seeds = [0]
evaluate = false
metrics = ["valid/elbo"]
[base]
method.hidden = [8]
data.name = "mine.npy"
train.duration = "60 steps"
train.batch_size = 8
train.log_every = 20
[arms.default]
method.latent = 3
[arms.narrow]
method.latent = 1
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    np.save("mine.npy", draw.integers(0, 256, (80, 8, 8), np.uint8))
    Path("mine.toml").write_text(FILE)
    monkeypatch.setattr(card, "SECONDS", 0.3)
    return load(Path("mine.toml"))


def test_processes_train_when_they_are_told_to(study: Study):
    """Real ones, on the CPU: two at once, and one that cannot train at all."""
    arms = dict(study.arms)
    found = crowd(arms, ["default", "narrow"], jobs=2)
    assert found.jobs == 2
    assert set(found.gains) == {1, 2}
    for pace in found.paces.values():
        assert 0 < pace.step < 1
        assert pace.looks.first > 0
        assert pace.looks.due > 0
        assert pace.per_epoch == len(load_data(arms["default"].data).splits["train"]) // 8
    assert found.starts.keys() == arms.keys()
    assert all(0.1 < seconds < 300 for seconds in found.starts.values())
    broken = merge(arms["default"], {"method": {"optimizer": {"name": "sgd", "lr": 1e20}}})
    assert crowd({"broken": broken}, ["broken"]).paces["broken"].step == 0.0
    missing = merge(arms["default"], {"data": {"name": "nothing.npy"}})
    with pytest.raises(TriptychError, match=r"the warm-up of missing ended .*nothing\.npy"):
        crowd({"missing": missing}, ["missing"])


def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process takes the CPU for a card; those that it begins do not."""
    monkeypatch.setattr(card, "device_for", lambda wanted: torch.device("cuda"))


def test_a_study_on_what_is_declared_a_card(study: Study, monkeypatch, capsys):
    """The decision is a card's, the work is done on the CPU: timed, foretold, side by side, to the same numbers."""
    open_folder(Path("plain"), study)
    for cell in study.cells():
        work(Path("plain"), cell)
    declared(monkeypatch)
    assert main(["study", "mine.toml", "--out", "card", "--jobs", "2"]) == 0
    said = capsys.readouterr().err
    assert "timing this machine" in said
    assert "2 runs at once on this card (2 do " in said
    assert re.search(r"this will take about \d+:\d\d on this machine", said)
    for cell in study.cells():
        run = Run(cell.path(Path("card")))
        assert run.status() == "done"
        last = [line for line in run.metrics() if "valid/elbo" in line][-1]
        plain = [x for x in Run(cell.path(Path("plain"))).metrics() if "valid/elbo" in x][-1]
        assert last["valid/elbo"] == plain["valid/elbo"]
    assert main(["study", "mine.toml", "--out", "card"]) == 0
    assert "timing" not in capsys.readouterr().err, "nothing is left"


def test_what_is_put_back_is_said_once_and_its_end_too(capsys):
    def row(state: str, reason: str = "") -> Row:
        return Row(Cell("default", 0), state, reason, 1.0, 1.0, {}, False)

    with display(()) as show:
        for shown in [row("training"), *[row("put back", "no memory")] * 2, row("training")]:
            show([shown], None)
        show([row("done")], None)
    said = capsys.readouterr().err.splitlines()
    assert [line.rstrip("; ") for line in said] == [
        *("default, seed 0: put back; no memory", "default, seed 0: done"),
    ]


def test_looks_at_landmarks_are_not_taken_for_steps(monkeypatch, capfd):
    """They are forecast by themselves: 10 steps of a second each, and 50 s of looks between them."""
    now = [0.0]
    monkeypatch.setattr(card.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(card.sys, "stdin", io.StringIO("5.0\n\n"))

    def look(moment: Moment) -> dict[str, float]:
        now[0] += 50.0
        return {}

    timer = Timer(look)
    rounds = card.Rounds(torch.nn.Identity(), timer, lambda: Ready(timer.looks(), 1.0))
    rounds(10, 100, 0.0, {"train/loss": 1.0})
    timer(Moment(20, 100, due=False, landmark=True))
    now[0] += 10.0
    with pytest.raises(card.EnoughError):
        rounds(20, 100, 0.0, {"train/loss": 1.0})
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert said[-1] == {"steps": 10, "seconds": 10.0}


def test_what_a_method_prints_is_not_taken_for_what_its_process_says(monkeypatch, capfd):
    monkeypatch.setattr(card.sys, "stdin", io.StringIO('["nowhere", {}, 0.0]\n'))
    monkeypatch.setattr(card, "told", lambda tables: None)

    def train(config, path, began) -> None:
        print({"loss": 1.0})
        card._say(steps=1, seconds=2.0)

    monkeypatch.setattr(card, "_train", train)
    assert card.main() == 0
    said = capfd.readouterr()
    assert [json.loads(line) for line in said.out.splitlines()] == [{"steps": 1, "seconds": 2.0}]
    assert "{'loss': 1.0}" in said.err


def test_the_cpu_is_no_card(study: Study):
    assert not card.on_card([of(config, device="cpu") for config in study.arms.values()])
