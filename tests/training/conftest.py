"""Small planted methods, and a way to train them that takes a line."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from triptych.config import Duration, OptimizerConfig
from triptych.data.spec import Dataset
from triptych.data.stream import Stream
from triptych.nets.initialise import initialise
from triptych.runs import Run
from triptych.training.loop import fit
from triptych.training.settings import TrainConfig
from triptych.types import DataSpec, Group, Losses, Method, Moment, Noise, Phase

TOTAL = 24


@dataclass(frozen=True)
class PlantedConfig:
    optimizer: OptimizerConfig = OptimizerConfig(lr=0.05)
    bad_from: float = 2.0
    """Progress from which the term ``fragile`` is not a number; 2 is never."""
    only_logged: bool = False
    """Whether the bad term is left out of what is minimised."""
    repeats: int = 1


class Regression(Method):
    """One linear layer that predicts noise from an image: stochastic, so every draw matters."""

    Config = PlantedConfig
    gauge = "error"

    def __init__(self, config: PlantedConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.net = nn.Linear(spec.dimensions, 2)

    def phases(self):
        return (Phase("fit", (Group(("net",), self.config.optimizer),), {"y": Noise((2,))}),)

    def losses(self, phase, batch, noise, progress):
        error = (self.net(batch.x.flatten(1)) - noise["y"]).square().sum(-1)
        bad = progress >= self.config.bad_from
        fragile = torch.where(bad, float("nan"), 1.0) * error
        minimise = error if self.config.only_logged else 0.5 * (error + fragile)
        index = batch.index.float()
        return Losses(minimise, {"error": error, "index": index, "fragile": fragile})


class Game(Method):
    """Two players: a critic that is updated ``repeats`` times for each update of a generator."""

    Config = PlantedConfig
    gauge = "gap"

    def __init__(self, config: PlantedConfig, spec: DataSpec) -> None:
        super().__init__(config, spec)
        self.critic = nn.Linear(spec.dimensions, 1)
        self.generator = nn.Linear(3, spec.dimensions)
        self.seen: list[dict[str, Any]] = []
        self.steps_done: list[float] = []

    def phases(self):
        noise, optimizer = {"z": Noise((3,), "uniform")}, self.config.optimizer
        return (
            Phase("critic", (Group(("critic",), optimizer),), noise, self.config.repeats),
            Phase("generator", (Group(("generator",), replace(optimizer, lr=0.01)),), noise),
        )

    def losses(self, phase, batch, noise, progress):
        self.seen.append(
            {
                "phase": phase,
                "index": batch.index.tolist(),
                "noise": noise["z"].clone(),
                "progress": progress.item(),
                "trains": [n for n, p in self.named_parameters() if p.requires_grad],
                "weights": {n: p.detach().clone() for n, p in self.named_parameters()},
            }
        )
        real = self.critic(batch.x.flatten(1)).squeeze(-1)
        fake = self.critic(self.generator(noise["z"])).squeeze(-1)
        if phase == "critic":
            penalty = 0.1 * (real.square() + fake.square())
            return Losses(fake - real + penalty, {"gap": real - fake})
        return Losses(-fake, {"fooled": fake})

    def after_step(self, progress):
        self.steps_done.append(progress.item())


class Stop(BaseException):
    """Thrown into the training as a kill would be: nothing is saved, nothing cleaned up."""


@pytest.fixture
def kinds() -> dict[str, type[Method]]:
    return {"regression": Regression, "game": Game}


class Trainer:
    """Trains a planted method in a folder; every call begins with fresh objects, as a process does."""

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self.dataset, self.folder = dataset, folder

    def stream(self, batch_size: int = 8, binarize: str = "dynamic") -> Stream:
        images, print_ = self.dataset.splits["train"], self.dataset.fingerprint
        return Stream(images, batch_size, 3, torch.device("cpu"), binarize, print_)

    def build(self, kind: type[Method], config: PlantedConfig) -> Method:
        method = kind(config, DataSpec(self.dataset.shape, "binary"))
        initialise(method, 3)
        return method

    def __call__(
        self,
        name: str,
        kind: type[Method] = Regression,
        *,
        at: Callable[[int], None] | None = None,
        resume: bool = False,
        steps: int = TOTAL,
        observe: Callable[[Method, Moment], dict[str, Any]] | None = None,
        train: dict[str, Any] | None = None,
        **config: Any,
    ) -> tuple[Method, Run, str]:
        """The trained method, its run and how it ended; ``at`` is called with every step logged."""
        method = self.build(kind, PlantedConfig(**config))
        path = self.folder / name
        run = Run.open(path) if resume else Run.create(path, {})
        settings = TrainConfig(
            duration=Duration(steps, "steps"),
            batch_size=8,
            compile="off",
            log_every=1,
            checkpoint_every=Duration(5, "steps"),
        )
        ended = fit(
            method,
            self.stream(),
            replace(settings, **(train or {})),
            run,
            seed=3,
            observe=(lambda moment: observe(method, moment)) if observe else None,
            display=(lambda step, *rest: at(step)) if at else None,
            resume=resume,
        )
        return method, run, ended


@pytest.fixture
def trainer(planted: Callable[..., Dataset], tmp_path: Path) -> Trainer:
    """43 images in batches of 8: five batches an epoch, three images left over."""
    return Trainer(planted(train=43), tmp_path)


@pytest.fixture
def stop() -> type[BaseException]:
    return Stop


class FakeGraph:
    """What a CUDA graph does, on the CPU: every operation is recorded with its tensors, and replayed on the same ones.

    Python runs once, while recording; values that the host would have to read from the device, or to send there, break
    the recording off, as they do on CUDA. Unlike there, the work is done while it is recorded.
    """

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "lift_fresh", "is_nonzero", "equal")

    def __init__(self) -> None:
        self.operations: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []
        self.replays = 0
        self.begun = False

    def aside(self):
        return nullcontext()

    def unasked(self):
        forbidden = self.FORBIDDEN

        class Refuser(TorchDispatchMode):
            def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
                name = operation.name().split("::")[1].split(".")[0]
                if name in forbidden:
                    raise RuntimeError(f"{name} asks the host")
                return operation(*args, **(kwargs or {}))

        return Refuser()

    def record(self, work, generators):
        self.begun = True
        self.states = [generator.get_state() for generator in generators]
        graph = self

        class Recorder(TorchDispatchMode):
            def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
                name = operation.name().split("::")[1].split(".")[0]
                if name in graph.FORBIDDEN:
                    raise RuntimeError(f"{name} is not permitted while a graph is recorded")
                out = operation(*args, **(kwargs or {}))
                made = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
                graph.operations.append((operation, args, kwargs or {}, made))
                return out

        with Recorder():
            work()
        for generator, state in zip(generators, self.states, strict=True):
            generator.set_state(state)

    @torch.no_grad()
    def replay(self):
        self.replays += 1
        for operation, args, kwargs, made in self.operations:
            again = [
                t for t in tree_leaves(operation(*args, **kwargs)) if isinstance(t, torch.Tensor)
            ]
            for before, now in zip(made, again, strict=True):
                # What was changed in place, or is a view of it, is there already.
                if before.data_ptr() != now.data_ptr() or before.shape != now.shape:
                    before.copy_(now)


@pytest.fixture
def fake_graphs(monkeypatch: pytest.MonkeyPatch) -> list[FakeGraph]:
    """Recorded steps on the CPU: the graphs that were begun since."""
    begun: list[FakeGraph] = []

    def begin() -> FakeGraph:
        begun.append(FakeGraph())
        return begun[-1]

    monkeypatch.setattr("triptych.training.step.CudaGraph", begin)
    return begun
