"""One step of a training, which the loop runs and need not understand: eager, compiled, or recorded once and replayed."""

from __future__ import annotations

import gc
import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from triptych.data.stream import Stream
from triptych.data.views import Parameters, apply, apply_on_device
from triptych.environment import UNORDERED
from triptych.errors import LostError, TriptychError
from triptych.seeds import derive
from triptych.training.ahead import Ahead
from triptych.training.optim import PhaseOptimizer
from triptych.training.settings import TrainConfig
from triptych.training.watch import Watch, reduce_losses
from triptych.types import Batch, Method, Noise, Phase

__all__ = ["CudaGraph", "Graph", "Step", "draw_noise", "images_per_step"]

NO_IMAGES = Batch((), torch.empty(0, dtype=torch.int64))
"""What a phase without images is given."""

WINDOW = 2**14
"""Images, about, of whose batches the host says ahead what is in them."""

CARRIED = 2**26
"""Bytes of pixels, at most, that a window brings along where the device has no room for all."""

REHEARSALS = 3
"""Steps that are done and undone again before one is recorded: libraries decide at first calls, which no recording may hold."""

APART = 0.05
"""How far recorded steps may end from eager ones, as a share of the way that these went; kernels may sum in another order."""


PLAIN = (bool, int, float, str, tuple, type(None))
"""What a method may count in beside its tensors: a rehearsal puts it back, and a replay would not count it."""


def images_per_step(phases: Sequence[Phase]) -> int:
    """How many batches of images one step takes."""
    return sum(phase.repeats for phase in phases if phase.images)


def draw_noise(
    wanted: Mapping[str, Noise], count: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """One tensor count×shape for each name, or of the shape alone where it is shared; on the generator's device."""
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return {
        name: draw[noise.kind](
            noise.shape if noise.shared else (count, *noise.shape),
            generator=generator,
            device=generator.device,
        )
        for name, noise in wanted.items()
    }


def _train_only(method: Method, optimizer: PhaseOptimizer) -> None:
    """Freeze what the phase does not train, so that no gradient is computed for it."""
    for parameter in method.parameters():
        parameter.requires_grad_(False)
    for parameter in optimizer.parameters:
        parameter.requires_grad_(True)


Kept: TypeAlias = dict[str, Tensor]
Counted: TypeAlias = dict[str, dict[str, Any]]
Start: TypeAlias = tuple[Kept, Counted]
Losses: TypeAlias = Callable[..., tuple[Tensor, Tensor, Tensor, tuple[str, ...]]]
Views: TypeAlias = Callable[[Tensor, Parameters], Tensor]


class Graph(Protocol):
    """Device work that is recorded once and replayed as a whole, on the same tensors."""

    def aside(self) -> AbstractContextManager[None]:
        """Where work is done that is to be recorded afterwards."""
        ...

    def unasked(self) -> AbstractContextManager[None]:
        """Within it whoever asks the host for something fails at once, before a recording could be broken by it."""
        ...

    def record(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        """Record ``work`` without doing it; ``generators`` draw anew from their seeds at every replay."""
        ...

    def replay(self) -> None:
        """Do what was recorded."""
        ...


class CudaGraph:
    """A CUDA graph (https://pytorch.org/docs/stable/notes/cuda.html#cuda-graphs)."""

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A stream of its own: what is prepared on the one in use is not to be recorded."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            torch.cuda.current_stream().wait_stream(stream)

    @contextmanager
    def unasked(self) -> Iterator[None]:
        """A recording that a question breaks off leaves PyTorch's allocator and generators in the midst of it."""
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings():
            # That it does not see every question.
            warnings.simplefilter("ignore")
            torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)

    def record(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        """Record ``work``; the seeds are read at every replay, not here."""
        for generator in generators:
            self._graph.register_generator_state(generator)
        # What a forgotten cycle holds, gradients of another stream among it, is not to be waited for within.
        gc.collect()
        # On the stream aside: broken off, PyTorch does not go back from one of its own, and nobody would wait for that.
        # The thread that makes batches ahead may go on meanwhile.
        stream = torch.cuda.current_stream()
        with torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
            work()

    def replay(self) -> None:
        """Launch all of it at once."""
        self._graph.replay()


class Step:
    """One step: every phase in order, each as often as it repeats and then `Method.after_update`; last `Method.after_step`.

    All that changes from step to step stands on the device: `Ahead` has the batches and the rates, a counter the
    step's number. So the same work is done eagerly, or recorded once and replayed; host and device meet nowhere between
    two log points. Noise comes from one generator for each phase and repeat, seeded before every step.
    """

    def __init__(
        self,
        method: Method,
        stream: Stream,
        config: TrainConfig,
        optimizers: Mapping[str, PhaseOptimizer],
        watches: Mapping[str, Watch],
        skip: Tensor,
        *,
        seed: int,
        total: int,
    ) -> None:
        _told(method)
        self.method, self.stream, self.config, self.seed = method, stream, config, seed
        self.optimizers, self.watches, self.skip = optimizers, watches, skip
        self.ranks = stream.ranks
        self.total, self.phases = total, method.phases()
        self.batches = images_per_step(self.phases)
        device = stream.device
        self.at = torch.zeros((), dtype=torch.int64, device=device)
        self.generators: dict[tuple[str, int], torch.Generator] = {}
        self.binarizing: list[torch.Generator] = []
        self._make_generators()
        self.ahead = Ahead(self._rows, self._window(), total, device)
        self.losses = _reducing(method, shared=self.ranks.size > 1)
        recordable = device.type != "cpu" or config.capture == "on"
        self.views: Views = apply_on_device if recordable else apply
        self.graph: Graph | None = None
        if len(self.phases) == 1:
            _train_only(method, optimizers[self.phases[0].name])

    def begin(self, step: int) -> list[str]:
        """Make ready to go on after so many steps; what there is to say of how it will be done.

        What is tried for it is undone again.
        """
        self.at.fill_(step)
        on_cuda = self.stream.device.type == "cuda"
        wanted = self.config.compile == "on", self.config.capture == "on"
        if step >= self.total or not (on_cuda or any(wanted)):
            return []
        self.ahead.before(step)
        # In the first step a rate that warms up is 0: nothing moves, and nothing could be seen to go astray.
        tried = (step + self.ahead.last(step)) // 2
        graph = CudaGraph() if wanted[1] else None
        said = []
        with graph.aside() if graph else nullcontext():
            start = self._kept(), self._counted()
            if on_cuda:
                said += self._unordered(tried, start)
            if wanted[0]:
                said += self._compile(tried, start)
            if graph is not None:
                said += self._record(graph, tried, start)
        return said

    def __call__(self, step: int) -> None:
        """Do step number ``step``, counted from 0."""
        self.ahead.before(step)
        self._seed(step)
        if self.graph is None:
            self._advance()
        else:
            self.graph.replay()

    def close(self) -> None:
        """Let go of what was made ahead, of what was recorded, and of the gradients in its memory."""
        self.ahead.close()
        self.graph = None
        for optimizer in self.optimizers.values():
            optimizer.zero_grad()

    def _advance(self) -> None:
        """All the work of a step; nothing in it asks the host, but for which work it is."""
        progress, rates, *planned = self.ahead.pick(self.at)
        number = group = 0
        for phase in self.phases:
            optimizer, watch = self.optimizers[phase.name], self.watches[phase.name]
            if len(self.phases) > 1:
                _train_only(self.method, optimizer)
            own = rates[group : group + len(phase.groups)]
            group += len(phase.groups)
            for repeat in range(phase.repeats):
                batch = NO_IMAGES
                if phase.images:
                    binarizing = self.binarizing[number] if self.binarizing else None
                    rows = [part[number] for part in planned]
                    batch = self.stream.look(rows, binarizing, self.views)
                    number += 1
                noise: dict[str, Tensor] = {}
                if phase.noise:
                    generator = self.generators[phase.name, repeat]
                    # What is drawn for the others is drawn too: it does not depend on how many there are.
                    drawn = draw_noise(phase.noise, self.stream.batch_size, generator)
                    part = slice(*self.stream.part)
                    noise = {
                        name: z if phase.noise[name].shared else z[part]
                        for name, z in drawn.items()
                    }
                with torch.autocast(
                    self.at.device.type, torch.bfloat16, self.config.dtype == "bf16"
                ):
                    found = self.losses(phase.name, batch, noise, progress)
                objective, values, bad, names = found
                optimizer.zero_grad()
                if self.ranks.size > 1:
                    # The mean over the whole batch is the sum of these.
                    objective, values = objective * self.stream.share, values * self.stream.share
                objective.backward()  # type: ignore[no-untyped-call]
                if self.ranks.size > 1:
                    values, bad = self._join(optimizer, values, bad)
                watch.see(values, bad, names, self.at)
                optimizer.step(own)
                self.method.after_update(phase.name)
        self.method.after_step(progress)
        self.at.add_(1)

    def _join(
        self, optimizer: PhaseOptimizer, values: Tensor, bad: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give every rank the sum of all gradients, of the reduced terms, and which ranks had a bad one: in one message."""
        gradients = [p.grad for p in optimizer.parameters if p.grad is not None]
        flags = [
            bad if rank == self.ranks.rank else torch.zeros_like(bad)
            for rank in range(self.ranks.size)
        ]
        flat = torch.cat([*(g.reshape(-1) for g in gradients), values, *flags])
        self.ranks.add_(flat)
        sizes = [g.numel() for g in gradients]
        *sums, values, bad = torch.split(flat, [*sizes, len(values), self.ranks.size])
        shaped = [total.view(g.shape) for total, g in zip(sums, gradients, strict=True)]
        if gradients:
            torch._foreach_copy_(gradients, shaped)
        return values.float(), bad.float()

    def _make_generators(self) -> None:
        """One for each phase and repeat that wants noise, and one for each batch that is binarized anew."""
        device = self.stream.device
        self.generators = {
            (phase.name, repeat): torch.Generator(device)
            for phase in self.phases
            for repeat in range(phase.repeats if phase.noise else 0)
        }
        drawn = self.batches if self.stream.binarize == "dynamic" else 0
        self.binarizing = [torch.Generator(device) for _ in range(drawn)]

    def _seed(self, step: int) -> None:
        """Noise and binarization follow from (seed, step), whatever was drawn before."""
        for (phase, repeat), generator in self.generators.items():
            generator.manual_seed(derive(self.seed, "noise", phase, step, repeat))
        for number, generator in enumerate(self.binarizing, step * self.batches):
            generator.manual_seed(self.stream.seed_of(number))

    def _window(self) -> int:
        """Steps of which the host says ahead what they need."""
        # The same on every rank: what one rehearses all do.
        part = -(-self.stream.batch_size // self.ranks.size)
        images = self.batches * part
        at_most = WINDOW
        if not self.stream.resident:
            at_most = min(at_most, CARRIED // self.stream.pixels[0].numel())
        return max(1, at_most // max(images, part))

    def _rows(self, first: int, count: int) -> tuple[Tensor, ...]:
        """Of each of some steps: the progress before it, the rate of every group, and its batches as they are planned."""
        shares = [step / self.total for step in range(first, first + count)]
        rates = [[r for o in self.optimizers.values() for r in o.scheduled(s)] for s in shares]
        precise = next(iter(self.optimizers.values())).rates.dtype
        planned: tuple[Tensor, ...] = ()
        if self.batches:
            planned = self.stream.plan(first * self.batches, count * self.batches)
            planned = tuple(p.view(count, self.batches, *p.shape[1:]) for p in planned)
        return (
            torch.tensor(shares, dtype=torch.float32),
            torch.tensor(rates, dtype=precise),
            *planned,
        )

    def _compile(self, step: int, start: Start) -> list[str]:
        """Compile losses and views, and see in one step that it can be done, backwards too."""
        plain = self.losses, self.views
        # The compiler gives up on code that failed, or was another's, too often: what was trained before is not to count.
        torch.compiler.reset()
        each = {phase.name: torch.compile(plain[0], dynamic=False) for phase in self.phases}
        self.losses = lambda phase, *rest: each[phase](phase, *rest)
        if self.views is apply_on_device:
            self.views = torch.compile(self.views, dynamic=False)
        failed: str | None = None
        try:
            self._rehearse(step)
        # Other runs may leave more room another time: whoever began this one decides.
        except (torch.OutOfMemoryError, LostError):
            raise
        # Whatever the compiler fails with: a fault of the method's own comes again without it.
        except Exception as error:
            failed = _reason(error)
        finally:
            self._put_back(start)
        # Ranks that took different ways would wait for each other.
        why = next((said for said in self.ranks.gathered(failed) if said is not None), None)
        if why is None:
            return []
        self.losses, self.views = plain
        return [f"not compiled, going on without: {why}"]

    def _unordered(self, step: int, start: Start) -> list[str]:
        """What PyTorch says has no deterministic form on this device, of all that a step does."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self._rehearse(step)
            finally:
                self._put_back(start)
        found = {said[1] for w in caught if (said := re.match(UNORDERED, str(w.message)))}
        if not found:
            return []
        return [
            f"PyTorch has no deterministic form of {', '.join(sorted(found))} on this device: "
            "another run of the same config may end in other bits"
        ]

    def _record(self, graph: Graph, step: int, start: Start) -> list[str]:
        """Record a step, and see that replaying it does what doing it does."""
        failed: str | None = None
        try:
            for _ in range(REHEARSALS - 1):
                self._rehearse(step)
            # After the first, which may make what stays then.
            counted = self._counted()
            with graph.unasked():
                self._rehearse(step)
            eager = self._kept()
            if (name := _counting(counted, self._counted())) is not None:
                raise ValueError(f"the method counts outside of its tensors ('{name}')")
            graph.record(self._advance, [*self.generators.values(), *self.binarizing])
            self._put_back(start)
            for _ in range(REHEARSALS):
                self._rehearse(step, graph.replay)
            if (name := _elsewhere(start[0], eager, self._kept())) is not None:
                failed = f"replayed, it leads elsewhere ('{name}')"
        except (torch.OutOfMemoryError, LostError):
            raise
        except Exception as error:
            failed = _reason(error)
        finally:
            self._put_back(start)
        why = next((said for said in self.ranks.gathered(failed) if said is not None), None)
        if why is not None:
            # Those of a recording that broke off may take themselves to be recorded still.
            self._make_generators()
            return [f"not recorded as a graph, going on step by step: {why}"]
        self.graph = graph
        return []

    def _rehearse(self, step: int, work: Callable[[], None] | None = None) -> None:
        """Do a step on what is there now; always the same one, of those whose rows have been made."""
        self._seed(step)
        self.at.fill_(step)
        (work or self._advance)()

    def _changing(self) -> Kept:
        """Every tensor that a step changes, by name; those that are not the method's by names that no attribute has."""
        found = dict(self.method.named_parameters()) | dict(self.method.named_buffers())
        for optimizer in self.optimizers.values():
            found |= optimizer.state()
        for name, watch in self.watches.items():
            found |= {f"watch {name} {i}": kept for i, kept in enumerate(watch.tensors())}
        return found | {"flag to skip": self.skip, "number of the step": self.at}

    def _counted(self) -> Counted:
        """What the method's modules keep in plain Python, by the module's name."""
        return {
            name: {key: value for key, value in vars(module).items() if isinstance(value, PLAIN)}
            for name, module in self.method.named_modules()
        }

    def _kept(self) -> Kept:
        return {name: tensor.detach().clone() for name, tensor in self._changing().items()}

    @torch.no_grad()
    def _put_back(self, start: Start) -> None:
        """What a rehearsal changed; what it began is empty again."""
        kept, counted = start
        now = self._counted()
        for name, module in self.method.named_modules():
            for begun in now[name].keys() - counted[name].keys():
                delattr(module, begun)
            vars(module).update(counted[name])
        for name, tensor in self._changing().items():
            before = kept[name]
            if before.shape == tensor.shape:
                tensor.copy_(before)
            else:
                tensor.zero_()


def _reducing(method: Method, *, shared: bool) -> Losses:
    """The losses of a method, reduced: a function of tensors and the phase's name alone, for a compiler to read.

    ``shared`` says that each of several ranks has a part of the batch: what is one number of the batch as a whole cannot be
    put together from those of its parts, unless the method gathers them.
    """

    def reduced(
        phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, tuple[str, ...]]:
        losses = method.losses(phase, batch, noise, progress)
        if shared and losses.minimise.ndim == 0 and not method.gathers:
            raise TriptychError(
                f"what the phase '{phase}' minimises is one number for the whole batch, and each device sees a part of it: "
                "the method has to gather the parts and say so (see Method.gathers), or be trained on one device"
            )
        return reduce_losses(losses)

    return reduced


def _told(method: Method) -> None:
    """Refuse a method whose `Method.after_step` is of the time when it was told nothing, before the first step."""
    try:
        inspect.signature(method.after_step).bind(None)
    except TypeError:
        raise TriptychError(
            f"after_step of {type(method).__name__} is told the progress of the training and takes none: "
            "write it as def after_step(self, progress)"
        ) from None


def _counting(before: Counted, after: Counted) -> str | None:
    """The name of an attribute that a step changed; none where there is none."""
    for module, found in after.items():
        for name, value in found.items():
            if before[module].get(name) != value:
                return name
    return None


def _elsewhere(start: Kept, one: Kept, other: Kept) -> str | None:
    """The name of a tensor that two ways from the same start left too far apart; none where there is none."""
    for name, a in one.items():
        b = other[name]
        if torch.equal(a.nan_to_num(), b.nan_to_num()):
            continue
        # What only the first step began was empty before.
        begun = start[name] if start[name].shape == a.shape else torch.zeros_like(a)
        if not a.is_floating_point():
            return name
        gone, apart = (float((a - x).float().nan_to_num().norm()) for x in (begun, b))
        # Where a rate is close to 0 the way is no longer than what rounding makes of it.
        rounding = torch.finfo(a.dtype).eps * float(a.float().nan_to_num().norm())
        if apart > APART * gone + rounding:
            return name
    return None


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
