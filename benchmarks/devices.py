"""One training on two processes of one core each, against one process of two cores.

    python benchmarks/devices.py --data-dir DIR [--only vae wgan simsiam] [--rounds 10] [--out FILE]
    python benchmarks/devices.py --quick
    python benchmarks/devices.py --paper

The real loop, three ways in turn: *one* process with two threads; *two* ranks with one thread each; and the same two *apart*,
which do all the work of a rank and send nothing. Machines are shared and drift, so ratios are of neighbours. Of every
sum over the ranks each rank notes when it called and when it had the sum: what it waited until the other had called too is
the other's lateness, the rest is the message. Without `--data-dir` all three learn the embedded digits. `--paper` measures
nothing: it counts what is sent by more devices, and what that would take over links that are assumed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from triptych import Run, experiment
from triptych.config import Duration, merge
from triptych.data import load
from triptych.ranks import ALONE, Ranks, joined, leave
from triptych.training.loop import fit
from triptych.types import DataSpec, Method, Moment
from turns import ratio

WAYS = {"one": 1, "two": 2, "apart": 2}
"""How a step is done, and by how many processes."""

SIZES = (4, 2**12, 2**16, 2**20, 2**23)
"""Bytes of the messages that are timed by themselves."""


class Case(NamedTuple):
    """What is trained, on which data of a mirror, and how many steps make a turn."""

    preset: str
    data: str
    burst: int
    quick: dict[str, Any]


CASES = {
    "vae": Case("reference", "binarized-mnist", 200, {"latent": 3, "hidden": [8]}),
    "wgan": Case("reference", "svhn", 4, {"latent": 4, "width": 2, "critic_steps": 2}),
    "simsiam": Case(
        "small",
        "cifar10",
        10,
        {"depth": 10, "width": 2, "projector": [8], "predictor_width": 4},
    ),
}


class Wires(NamedTuple):
    """Assumed, from what makers and users of such machines say: seconds of the smallest sum, and bytes a second of a device."""

    ranks: int
    latency: float
    bandwidth: float


PAPER = {
    "8 GPUs of one machine": Wires(8, 25e-6, 450e9),
    "64 GPUs, 8 a machine": Wires(64, 80e-6, 50e9),
    "1,000 GPUs, 8 a machine": Wires(1000, 150e-6, 50e9),
}

ON_PAPER = {
    "vae/reference": ((1, 28, 28), 0),
    "wgan/reference": ((3, 32, 32), 7),
    "simsiam/small": ((3, 32, 32), 4),
    "simsiam/cifar-stem": ((3, 32, 32), 4),
}
"""Shape of the images, and how often a step passes each normalised layer: forwards and, where it is learned through, back."""


class Noted(Ranks):
    """Ranks that note of every sum when it was asked for and there, and how many bytes it was of; apart they do not sum."""

    def __init__(self, ranks: Ranks, apart: bool) -> None:
        super().__init__(ranks.rank, ranks.size, ranks.local, ranks.local_size)
        self.apart = apart
        self.sums: list[tuple[float, float, int]] = []

    def add_(self, tensor: Tensor) -> None:
        began = time.perf_counter()
        if not self.apart:
            super().add_(tensor)
        self.sums.append((began, time.perf_counter(), tensor.numel() * tensor.itemsize))

    def any(self, flag: bool) -> bool:
        return flag if self.apart else super().any(flag)

    def same(self, what: str, thing: object) -> None:
        # Ranks apart end with weights of their own.
        if not self.apart:
            super().same(what, thing)


def train(
    way: str, name: str, preset: str | None, tables: dict[str, Any], folder: str, repeats: int
) -> None:
    """Be one of the processes: train a burst whenever a line on standard input asks for it, and say in one when what happened."""
    with joined() as found:
        ranks = Noted(found, way == "apart") if found.size > 1 else ALONE
        config = merge(experiment.default_config(name, preset), tables)
        config, method, stream = experiment.prepare(config, load(config.data), ranks)
        sums = ranks.sums if isinstance(ranks, Noted) else []
        began = 0.0

        def ask() -> None:
            nonlocal began
            while (asked := sys.stdin.readline().strip()) == "probe":
                say(probe(ranks, repeats))
            if asked != "go":
                leave(1)
            sums.clear()
            began = time.perf_counter()

        def observe(moment: Moment) -> Mapping[str, float | str]:
            if moment.due:
                say({"began": began, "ended": time.perf_counter(), "sums": sums})
            if moment.step == 0:
                say({"ready": True})
            if (moment.due and moment.step < moment.total) or moment.step == 0:
                ask()
            return {}

        where = Path(folder) / f"{name}-{way}"
        if ranks.first:
            Run.create(where, config.tables())
        ranks.meet()
        run = Run(where, ranks=ranks)
        if fit(method, stream, config.train, run, seed=0, observe=observe) != "done":
            raise KeyboardInterrupt
    leave(0)


def say(thing: object) -> None:
    """To the process that asked."""
    print(json.dumps(thing), flush=True)


def probe(ranks: Ranks, repeats: int) -> list[list[tuple[float, float]]]:
    """When sums of each of `SIZES` bytes were asked for and there."""
    found = []
    for size in SIZES:
        tensor, times = torch.zeros(size // 4), []
        for _ in range(repeats):
            began = time.perf_counter()
            # Past what is noted of the training.
            Ranks.add_(ranks, tensor)
            times.append((began, time.perf_counter()))
        found.append(times)
    return found


class Team:
    """The processes of one way, which take their turns together."""

    def __init__(
        self,
        way: str,
        name: str,
        preset: str | None,
        tables: dict[str, Any],
        folder: str,
        repeats: int,
    ) -> None:
        self.way, size = way, WAYS[way]
        threads = 2 // size
        tables = merge_tables(tables, {"train": {"threads": threads, "devices": size}})
        job = json.dumps([way, name, preset, tables, folder, repeats])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.processes = []
        for rank in range(size):
            told = {
                "RANK": rank,
                "LOCAL_RANK": rank,
                "WORLD_SIZE": size,
                "LOCAL_WORLD_SIZE": size,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
                "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
                "OMP_NUM_THREADS": threads,
            }
            process = subprocess.Popen(
                [sys.executable, __file__, "--worker", job],
                env=os.environ | {key: str(value) for key, value in told.items()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self.processes.append(process)

    def turn(self, what: str = "go") -> list[Any]:
        """Ask all of them for something, and what each says then."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{what}\n")
            process.stdin.flush()
        return self.heard()

    def heard(self) -> list[Any]:
        """A line of each."""
        lines = []
        for process in self.processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"devices.py: a process of '{self.way}' died, see above")
            lines.append(json.loads(line))
        return lines

    def close(self) -> None:
        """Wait for those that are done; end the others."""
        for process in self.processes:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def merge_tables(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Tables of options, table by table."""
    return {key: {**one.get(key, {}), **other.get(key, {})} for key in one | other}


class Link(NamedTuple):
    """What a message between the two ranks costs when they do nothing else: seconds of the smallest, and bytes a second."""

    latency: float
    bandwidth: float
    seconds: dict[int, float]

    @classmethod
    def measured(cls, told: Sequence[Sequence[Sequence[tuple[float, float]]]]) -> Link:
        """From what both ranks say of each message: it takes from the later call to the later return."""
        seconds = {}
        for size, *both in zip(SIZES, *told, strict=True):
            each = [
                max(ended for _, ended in pair) - max(began for began, _ in pair)
                for pair in zip(*both, strict=True)
            ]
            seconds[size] = statistics.median(each)
        latency, largest = seconds[SIZES[0]], seconds[SIZES[-1]]
        return cls(latency, SIZES[-1] / max(largest - latency, 1e-9), seconds)

    def takes(self, messages: float, bytes_: float) -> float:
        """Seconds of so many messages of so many bytes together: with two ranks 2(N−1)/N is 1."""
        return messages * self.latency + bytes_ / self.bandwidth


def lasted(said: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of a turn, from the first that began to the last that ended: processes of a machine read one clock."""
    return max(one["ended"] for one in said) - min(one["began"] for one in said)


def talk(said: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Of each rank: seconds within sums during a turn, and how many of them it waited until the other one had called."""
    found = []
    for mine in said:
        calls = list(zip(*(one["sums"] for one in said), strict=True))
        within = sum(ended - began for began, ended, _ in mine["sums"])
        waited = sum(
            max(began for began, *_ in call) - own[0]
            for call, own in zip(calls, mine["sums"], strict=True)
        )
        found.append({"within": within, "waited": waited})
    return found


def measured(
    name: str,
    preset: str | None,
    tables: dict[str, Any],
    burst: int,
    rounds: int,
    repeats: int,
) -> dict[str, Any]:
    """All ways in turn; the first turn of each is warm-up."""
    rhythm = {
        "duration": str(Duration((rounds + 1) * burst, "steps")),
        "validate_every": f"{burst} steps",
        "checkpoint_every": "1_000_000 steps",
        "log_every": burst,
        "device": "cpu",
        "compile": "off",
    }
    tables = merge_tables(tables, {"train": rhythm})
    turns: dict[str, list[list[Any]]] = {way: [] for way in WAYS}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        teams = [Team(way, name, preset, tables, folder, repeats) for way in WAYS]
        for team in teams:
            stack.callback(team.close)
        for team in teams:
            team.heard()
        for team in teams:
            turns[team.way].append(team.turn())
        told = next(team for team in teams if team.way == "two").turn("probe")
        for _ in range(rounds):
            for team in teams:
                turns[team.way].append(team.turn())
    kept = {way: said[1:] for way, said in turns.items()}
    return row(kept, Link.measured(told), burst)


def row(turns: Mapping[str, Sequence[Sequence[Any]]], link: Link, burst: int) -> dict[str, Any]:
    """What is reported of the turns of each way."""
    seconds = {way: [lasted(said) for said in each] for way, each in turns.items()}
    step = {way: statistics.median(each) / burst for way, each in seconds.items()}
    sums = turns["two"][0][0]["sums"]
    messages, bytes_ = len(sums) / burst, sum(size for *_, size in sums) / burst
    talks = [talk(said) for said in turns["two"]]
    shares = [
        {
            what: statistics.median(
                one[rank][what] / whole for one, whole in zip(talks, seconds["two"], strict=True)
            )
            for what in ("within", "waited")
        }
        for rank in range(2)
    ]
    predicted = step["apart"] + link.takes(messages, bytes_)
    return {
        "steps_a_second": {way: 1 / each for way, each in step.items()},
        "two_against_one": ratio(seconds["one"], seconds["two"])._asdict(),
        "apart_against_one": ratio(seconds["one"], seconds["apart"])._asdict(),
        "messages_a_step": messages,
        "bytes_a_step": bytes_,
        "share_of_time_by_rank": shares,
        "link": {
            "latency_seconds": link.latency,
            "bytes_a_second": link.bandwidth,
            "seconds_by_bytes": link.seconds,
        },
        "model": {
            "step_seconds": predicted,
            "measured_step_seconds": step["two"],
            "predicted_against_measured": predicted / step["two"],
        },
        "turns_seconds": seconds,
    }


def told_of(name: str, found: Mapping[str, Any]) -> str:
    """A line for a person."""
    speeds, gained, shares = (
        found[key] for key in ("steps_a_second", "two_against_one", "share_of_time_by_rank")
    )
    within, waited = (max(share[what] for share in shares) for what in ("within", "waited"))
    least = min(share["within"] - share["waited"] for share in shares)
    return (
        f"{name}: {speeds['one']:.3g} steps/s by one process of two cores, {speeds['two']:.3g} by two of one "
        f"({gained['median']:.2f} ×, quartiles {gained['low']:.2f} to {gained['high']:.2f}); "
        f"in sums at most {within:.0%} of the time, waiting for the other at most {waited:.0%}, messages alone {least:.0%}; "
        f"{found['messages_a_step']:g} messages and {found['bytes_a_step']:,.0f} bytes a step; "
        f"model / measured {found['model']['predicted_against_measured']:.2f}"
    )


def volume(method: Method, passes: int, ranks: int) -> tuple[int, int, int]:
    """Messages of a step, the bytes of statistics in them, and those of gradients; the few logged terms are left out."""
    layers = [m for m in method.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    updates = gradients = 0
    for phase in method.phases():
        parts = [method.get_submodule(name) for group in phase.groups for name in group.modules]
        updates += phase.repeats
        gradients += phase.repeats * sum(p.numel() for part in parts for p in part.parameters())
    # Each rank sends a row for every rank, of which all but its own are zeros.
    statistics = ranks * sum(2 * layer.num_features + 1 for layer in layers)
    return passes * len(layers) + updates, 4 * passes * statistics, 4 * gradients


def paper() -> None:
    """A table of what more devices would send in a step, and what it would take."""
    print("| | on | messages | statistics | gradients | latency | bytes | in all |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (shape, passes) in ON_PAPER.items():
        config = experiment.default_config(*name.split("/"))
        values = "binary" if shape[0] == 1 else "colour"
        method = config.kind(config.method, DataSpec(shape, values))
        for where, wires in PAPER.items():
            messages, statistics, gradients = volume(method, passes, wires.ranks)
            waits = messages * wires.latency
            around = 2 * (wires.ranks - 1) / wires.ranks
            sends = around * (statistics + gradients) / wires.bandwidth
            print(
                f"| {name} | {where} | {messages} | {statistics / 1e6:.2f} MB | {gradients / 1e6:.2f} MB "
                f"| {1e3 * waits:.2f} ms | {1e3 * sends:.2f} ms | {1e3 * (waits + sends):.2f} ms |"
            )


def two_cores() -> None:
    """Keep this process, and all that it begins, on two cores."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise SystemExit("devices.py: this machine lends one core, and two are compared")
        os.sched_setaffinity(0, cores[:2])


def machine() -> dict[str, Any]:
    """Where this was measured, and how busy it was before."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "platform": platform.platform(),
        "processor": names[0] if names else platform.processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_before": os.getloadavg()[0],
    }


def main() -> None:
    """Measure what is named."""
    if sys.argv[1:2] == ["--worker"]:
        train(*json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--data", nargs="*", default=[], metavar="METHOD=NAME")
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="tiny networks, to try the script")
    parser.add_argument("--paper", action="store_true", help="count what more devices would send")
    parser.add_argument("--out", type=Path, default=None, help="the JSON file to write")
    chosen = parser.parse_args()
    if chosen.paper:
        paper()
        return
    two_cores()
    named = dict(word.split("=", 1) for word in chosen.data)
    report: dict[str, Any] = {"machine": machine(), "quick": chosen.quick, "methods": {}}
    for name in chosen.only:
        case = CASES[name]
        there = case.data if chosen.data_dir else "mnist-5k"
        images = {"name": named.get(name, there), "dir": chosen.data_dir}
        preset, tables = case.preset, {"data": images}
        burst, rounds, repeats = case.burst, chosen.rounds, 200
        if chosen.quick:
            preset, tables = None, {"data": images, "method": case.quick}
            burst, rounds, repeats = 2, 2, 5
        found = measured(name, preset, tables, burst, rounds, repeats)
        report["methods"][name] = {
            "preset": preset,
            "data": images["name"],
            "steps_a_turn": burst,
            **found,
        }
        print(told_of(name, found), flush=True)
        if chosen.out:
            chosen.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
