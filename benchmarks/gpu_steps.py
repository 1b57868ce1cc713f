"""Milliseconds and launches of a step, for `gpu.py`: against the plain loops in turn, and against the step alone, recorded."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import profile
from torch.utils.data import DataLoader

import card
import plain_simsiam
import plain_vae
import plain_wgan
from gpu_bench import ASKED, Bench, Row, in_mode, lasting, precisely, row
from triptych import Run, experiment
from triptych.config import OptimizerConfig
from triptych.data import Dataset, load
from triptych.data.stream import Stream
from triptych.experiment import ExperimentConfig
from triptych.training.loop import fit
from triptych.types import Batch, Method, Moment, Phase
from turns import in_turn, ratio
from views import Pairs

BURSTS = {"vae": (400, 40), "wgan": (40, 4), "simsiam": (20, 6)}
"""Steps of ours and of the plain loop in turn; eager steps of ours are a quarter of those."""

ROUNDS = 5
"""How often the turn goes round, after one for warm-up."""

WINDOWS = (2, 5), (10, 20)
"""Steps between which launches are counted: landmarks, at which the loop waits for the device and shows itself.
The difference of the two has nothing of that in it."""

SHORT_WINDOWS = (1, 2), (2, 5)
"""The same in miniature."""


def steps(
    bench: Bench, name: str, precisions: Sequence[str], modes: Sequence[str]
) -> Iterator[Row]:
    """A step of the real loop with its batches against the plain loop in turn, and against the step alone, recorded."""
    method = name.split("/")[0]
    config = bench.config(name)
    dataset = load(config.data)
    many, few = (bench.short(n, 1) for n in BURSTS[method])
    for precision in precisions:
        varied = precisely(config, precision)
        title = f"{name}, {precision}"
        floor = f"{title}: the step alone, recorded"
        if "captured" in modes:
            yield step_alone(floor, varied, dataset, 2 * many)
        for mode in modes:
            chosen, note = in_mode(varied, mode)
            ours = max(many // 4, few) if mode == "eager" else many
            chosen = lasting(chosen, (1 + bench.short(ROUNDS)) * ours)
            card.forget()
            turns = in_turn(dataset, chosen, plain(chosen, dataset), ours, few)
            # The first burst of each is warm-up, and holds what compiling and recording take.
            plain_ms = [1000 * seconds / few for seconds in turns.plain[1:]]
            our_ms = [1000 * seconds / ours for seconds in turns.ours[1:]]
            gained, value = ratio(plain_ms, our_ms), statistics.median(our_ms)
            with_views = bench.value(f"{name}: the plain loop with its views")
            yield row(
                f"{title}, {mode}",
                value,
                "ms",
                title if mode != "eager" else "",
                plain=gained.median,
                plain_quartiles=[gained.low, gained.high],
                plain_with_views=with_views and with_views / value,
                floor=(at_best := bench.value(floor)) and at_best / value,
                first_step_seconds=turns.first,
                note="; ".join(filter(None, [note, *turns.notes])),
            )
        if "compiled and captured" in modes:
            floor = f"{title}: the step alone, compiled and recorded"
            yield step_alone(floor, varied, dataset, 2 * many, compiles=card.CUDA)


def step_alone(
    what: str, config: ExperimentConfig, dataset: Dataset, count: int, *, compiles: bool = False
) -> Row:
    """What the card can do: losses, backward and optimizers of every phase, recorded; batches and noise are made once.

    The rate is a constant, and nothing is logged or looked at.
    """
    tf32 = "without TF32" not in what
    config, method, stream = experiment.prepare(in_mode(config, "eager")[0], dataset)
    method.train()
    card.forget()
    with card.settings(convolutions=tf32, products=tf32):
        work = static_step(method, stream, config.train.dtype == "bf16", compiles)
        recorded: list[Callable[[], None]] = []
        recording = card.seconds(lambda: recorded.append(card.recorded(work)))

        def replays() -> None:
            for _ in range(count):
                recorded[0]()

        replays()
        spent = [1000 * card.seconds(replays) / count for _ in range(3)]
    note = "" if card.CUDA else card.NO_CAPTURE
    return row(what, statistics.median(spent), "ms", recording_seconds=recording, note=note)


def static_step(method: Method, stream: Stream, bf16: bool, compiles: bool) -> Callable[[], None]:
    """All phases on batches and noise that stay the same, as the loop does them."""
    updates = [
        update
        for phase in method.phases()
        for update in itertools.repeat(
            static_update(method, phase, stream, bf16, compiles), phase.repeats
        )
    ]

    progress = torch.zeros((), device=stream.device)

    def step() -> None:
        for update in updates:
            update()
        method.after_step(progress)

    return step


def static_update(
    method: Method, phase: Phase, stream: Stream, bf16: bool, compiles: bool
) -> Callable[[], None]:
    """One update of a phase."""
    device = stream.device
    batch = stream.batch(0) if phase.images else Batch((), torch.empty(0, dtype=torch.int64))
    draw = {"normal": torch.randn, "uniform": torch.rand}
    noise = {
        name: draw[wanted.kind](
            *(() if wanted.shared else (stream.batch_size,)), *wanted.shape, device=device
        )
        for name, wanted in phase.noise.items()
    }
    progress = torch.zeros((), device=device)
    learning, optimizers = [], []
    for group in phase.groups:
        held = [p for name in group.modules for p in method.get_submodule(name).parameters()]
        learning += held
        optimizers.append(optimizer(group.optimizer, held))
    inside = set(learning)

    def objective() -> Tensor:
        return method.losses(phase.name, batch, noise, progress).minimise.mean()

    losses = torch.compile(objective, dynamic=False) if compiles else objective

    def update() -> None:
        for parameter in method.parameters():
            parameter.requires_grad_(parameter in inside)
            parameter.grad = None
        with torch.autocast(device.type, torch.bfloat16, bf16):
            loss = losses()
        loss.backward()  # type: ignore[no-untyped-call]
        for one in optimizers:
            one.step()

    return update


def optimizer(config: OptimizerConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The fused one that a phase asks for, at its rate."""
    words: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.name == "adam":
        return torch.optim.Adam(parameters, betas=config.betas, capturable=card.CUDA, **words)
    return torch.optim.SGD(parameters, momentum=config.momentum, **words)


def plain(config: ExperimentConfig, dataset: Dataset) -> Iterator[Tensor]:
    """The plain loop with the same network and batch where we train, its data there; SimSiam's with views made before."""
    device = "cuda" if card.CUDA else "cpu"
    size, network = config.train.batch_size, config.method
    if config.method_name == "simsiam":
        _, _, stream = experiment.prepare(in_mode(config, "eager")[0], dataset)
        made = (stream.batch(number).views for number in range(2))
        pairs = [(first, second) for first, second in made]
        return plain_simsiam_for(config, dataset, itertools.cycle(pairs))
    pixels = torch.from_numpy(dataset.splits["train"].pixels.copy()).to(device).float()
    if config.method_name == "vae":
        model = plain_vae.PlainVAE(network.latent)
        return plain_vae.plain_steps(model, pixels.flatten(1) / 255, size)
    return plain_wgan.plain_updates(network.width, pixels / 127.5 - 1, size, network.latent)


def plain_simsiam_for(
    config: ExperimentConfig, dataset: Dataset, pairs: Iterator[tuple[Tensor, Tensor]]
) -> Iterator[Tensor]:
    """The plain loop of SimSiam with the config's network."""
    network = config.method
    return plain_simsiam.plain_updates(
        pairs,
        network.optimizer.lr,
        "cuda" if card.CUDA else "cpu",
        stem=network.stem,
        width=network.width,
        blocks={10: 1, 18: 2}[network.depth],
        channels=dataset.shape[0],
        projector=network.projector,
        predictor=network.predictor_width,
    )


def plain_with_views(bench: Bench, name: str) -> Iterator[Row]:
    """The plain loop of SimSiam whose views Pillow makes in a DataLoader of all cores, with nothing made ahead.

    Not in turn with ours: its workers would make views ahead in our turn, on our cores.
    """
    config = bench.config(name)
    dataset = load(config.data)
    cores, channels = len(os.sched_getaffinity(0)), dataset.shape[0]
    # Pillow's jitter is of colours: grey images have three equal ones there, and one in the network.
    pairs = Pairs(dataset.splits["train"].pixels.repeat(3 // channels, axis=1))
    loader = DataLoader(
        pairs,
        config.train.batch_size,
        shuffle=True,
        num_workers=cores,
        drop_last=True,
        pin_memory=card.CUDA,
        prefetch_factor=1,
        persistent_workers=True,
    )
    views = ((a[:, :channels], b[:, :channels]) for _ in itertools.count() for a, b in loader)
    loop = plain_simsiam_for(config, dataset, views)
    count = bench.short(20)

    def steps(many: int) -> None:
        for _ in range(many):
            next(loop)

    with card.as_delivered():
        steps(cores + bench.short(4, 1))
        spent = card.seconds(lambda: steps(count))
    note = f"Pillow in a DataLoader of {cores} workers; not in turn with ours"
    yield row(f"{name}: the plain loop with its views", 1000 * spent / count, "ms", note=note)


def batches(bench: Bench, name: str) -> Iterator[Row]:
    """A batch alone, its views included, asked for one after the other."""
    config = bench.config(name)
    _, _, stream = experiment.prepare(config, load(config.data))
    count, numbers = bench.short(20), itertools.count()

    def some() -> None:
        for _ in range(count):
            stream.batch(next(numbers))

    some()
    yield row(f"{name}: a batch alone, eager", 1000 * card.seconds(some) / count, "ms")


# -- launches -------------------------------------------------------------------------------------


def launches(bench: Bench, name: str) -> Iterator[Row]:
    """Kernels and calls of the host in a step, and how long the card has nothing to do."""
    precision = ASKED[name.split("/")[0]]
    windows = SHORT_WINDOWS if bench.miniature else WINDOWS
    (a, b), (c, d) = windows
    # One step more, so that the last window ends at a landmark and not at a log point.
    config = lasting(precisely(bench.config(name), precision), d + 1, log_every=d + 1)
    dataset = load(config.data)
    for mode in ("eager", "captured"):
        chosen, note = in_mode(config, mode)
        seen = [card.launches(watched) for watched in watched_windows(chosen, dataset, windows)]
        count = (d - c) - (b - a)
        calls = {
            call: round((seen[1].calls[call] - seen[0].calls[call]) / count, 2)
            for call in seen[1].calls
            if seen[1].calls[call] != seen[0].calls[call]
        }
        busy = difference(seen[0].busy, seen[1].busy, count)
        ms = bench.value(f"{name}, {precision}, {mode}")
        yield row(
            f"{name}, {precision}, {mode}: kernels a step",
            (seen[1].kernels - seen[0].kernels) / count,
            "kernels" if card.CUDA else "operations",
            host_calls=round(sum(calls.values()), 2),
            calls=calls,
            busy_ms=busy,
            busy_ms_of_longer_window=seen[1].busy / 1000,
            idle=max(0.0, 1 - busy / ms) if ms and busy else None,
            note=note,
        )


def difference(short: float, long: float, steps: int) -> float | None:
    """Milliseconds of work a step, of the microseconds of two windows that `steps` steps tell apart.

    None where the shorter window took longer: on a CPU that others use too, noise can exceed the work.
    """
    return (long - short) / 1000 / steps if long > short else None


def watched_windows(
    config: ExperimentConfig, dataset: Dataset, windows: Sequence[tuple[int, int]]
) -> list[profile]:
    """A profiler that has seen the steps of each window, of the real loop."""
    profilers = [card.watching() for _ in windows]

    def observe(moment: Moment) -> dict[str, float]:
        for (start, end), profiler in zip(windows, profilers, strict=True):
            if moment.step == start:
                card.synchronise()
                profiler.start()
            if moment.step == end:
                card.synchronise()
                profiler.stop()
        return {}

    config, method, stream = experiment.prepare(config, dataset)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config.tables())
        fit(method, stream, config.train, run, seed=config.seed, observe=observe)
    return profilers
