"""Initial values drawn from (seed, name), so that two networks that share a layer share its start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from triptych.seeds import derive

__all__ = ["Undrawn", "initialise"]


class Undrawn(TorchFunctionMode):
    """Within it initial values are not drawn: for networks that only have shapes.

    On the device "meta" torch would import its compiler to draw nothing, which takes some seconds.

    Example:
        >>> with torch.device("meta"), Undrawn():
        ...     torch.nn.Linear(2, 3).weight.shape
        torch.Size([3, 2])
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Give back a tensor that was to be filled as it is."""
        if function in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return function(*args, **(kwargs or {}))


def initialise(model: nn.Module, seed: int) -> None:
    """Redraw every parameter by its own layer's rule, each layer from (seed, the layer's name).

    The draw does not depend on the order or number of other layers: the arms of
    an ablation start from the same weights wherever they have the same layers.
    Drawn on the CPU, so call it before the model moves to a device. Every module
    that owns parameters must have ``reset_parameters``.
    """
    with torch.random.fork_rng(devices=[]):
        for name, module in model.named_modules():
            if next(module.parameters(recurse=False), None) is None:
                continue
            torch.manual_seed(derive(seed, "initialise", name))
            reset = getattr(module, "reset_parameters", None)
            if not callable(reset):
                raise TypeError(f"{type(module).__name__} has parameters but no reset_parameters")
            reset()
