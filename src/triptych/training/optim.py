"""Optimizers and learning rates, from their configs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from triptych.config import OptimizerConfig
from triptych.errors import TriptychError
from triptych.types import Phase

__all__ = ["PhaseOptimizer", "learning_rate"]


def learning_rate(config: OptimizerConfig, progress: float) -> float:
    """The rate after a share ``progress`` of the training: linear warm-up, then constant or cosine.

    Example:
        >>> learning_rate(OptimizerConfig(lr=1.0, schedule="cosine"), 0.5)
        0.5
    """
    if progress < config.warmup:
        return config.lr * progress / config.warmup
    if config.schedule == "constant":
        return config.lr
    share = (progress - config.warmup) / (1 - config.warmup)
    return config.lr * 0.5 * (1 + math.cos(math.pi * share))


class PhaseOptimizer:
    """The optimizers of one phase, stepped together and skipped together.

    Fused implementations only: they take the rate and a flag that turns a step into nothing *on the device*, so
    a loss that is not finite needs no host synchronisation, and a recorded step follows its schedule. Their state
    is there from the start, for a recorded step to find it always in the same place.
    """

    def __init__(self, method: nn.Module, phase: Phase, skip: Tensor) -> None:
        self.phase = phase
        self.named: list[list[tuple[str, nn.Parameter]]] = []
        self.optimizers: list[torch.optim.Optimizer] = []
        # The kernels of devices read single precision; those of the CPU take the rate as it is.
        precise = torch.float64 if skip.device.type == "cpu" else torch.float32
        self.rates = torch.zeros(len(phase.groups), dtype=precise, device=skip.device)
        for group, rate in zip(phase.groups, self.rates, strict=True):
            named = [
                (f"{module}.{name}", parameter)
                for module in group.modules
                for name, parameter in method.get_submodule(module).named_parameters()
            ]
            optimizer = _build(group.optimizer, [p for _, p in named])
            optimizer.found_inf = skip  # type: ignore[attr-defined]
            optimizer.param_groups[0]["lr"] = rate
            self.named.append(named)
            self.optimizers.append(optimizer)
        self.parameters = [p for named in self.named for _, p in named]

    def scheduled(self, progress: float) -> list[float]:
        """The rate of every group after a share ``progress`` of the training."""
        return [learning_rate(group.optimizer, progress) for group in self.phase.groups]

    def step(self, rates: Tensor) -> None:
        """One update at these rates, one a group, on the device."""
        self.rates.copy_(rates)
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Every tensor of every optimizer, by parameter name."""
        return {
            f"optimizer.{self.phase.name}.{name}.{key}": value
            for named, optimizer in zip(self.named, self.optimizers, strict=True)
            for name, parameter in named
            for key, value in optimizer.state[parameter].items()
        }

    def load(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Take back what `state` gave; a `TriptychError` where the checkpoint at ``path`` lacks it."""
        for named, optimizer, group in zip(
            self.named, self.optimizers, self.phase.groups, strict=True
        ):
            for name, parameter in named:
                prefix = f"optimizer.{self.phase.name}.{name}."
                optimizer.state[parameter] = {
                    key.removeprefix(prefix): _laid_out(value, parameter)
                    for key, value in tensors.items()
                    if key.startswith(prefix)
                }
                if not _fits(optimizer.state[parameter], group.optimizer, parameter):
                    raise TriptychError(
                        f"the checkpoint '{path}' was made for another config: "
                        f"it has no optimizer state for '{name}', or that of another one"
                    )


def _fits(state: Mapping[str, Tensor], config: OptimizerConfig, parameter: Tensor) -> bool:
    """Whether a state is one of this optimizer, for a parameter of this shape and type: fused steps read it unasked."""
    moments, others = set(_moments(config)), {"step"} if config.name == "adam" else set()
    return (
        set(state) == moments | others
        and all(
            state[k].shape == parameter.shape and state[k].dtype == parameter.dtype for k in moments
        )
        # Steps are counted in single precision, from 0.
        and all(
            state[k].ndim == 0 and state[k].dtype == torch.float32 and state[k] >= 0 for k in others
        )
        and all(bool(value.isfinite().all()) for value in state.values())
    )


def _laid_out(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A copy where the parameter is and, for one of its shape, with its strides: fused steps go by memory."""
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value.to(parameter.device, copy=True)


def _build(config: OptimizerConfig, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer, with the state in which it begins: no gradient has been seen."""
    optimizer: torch.optim.Optimizer
    if config.name == "adam":
        optimizer = torch.optim.Adam(
            parameters,
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
            # PyTorch refuses to record an optimizer that does not say this.
            capturable=parameters[0].is_cuda if parameters else False,
        )
    else:
        optimizer = torch.optim.SGD(
            parameters,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            fused=True,
        )
    for parameter in parameters:
        if config.name == "adam":
            # Counted in single precision, as the fused kernels do.
            optimizer.state[parameter]["step"] = torch.zeros((), device=parameter.device)
        for moment in _moments(config):
            optimizer.state[parameter][moment] = torch.zeros_like(parameter)
    return optimizer


def _moments(config: OptimizerConfig) -> tuple[str, ...]:
    """What an optimizer remembers that has the shape of its parameter."""
    if config.name == "adam":
        return "exp_avg", "exp_avg_sq"
    return ("momentum_buffer",) if config.momentum > 0 else ()
