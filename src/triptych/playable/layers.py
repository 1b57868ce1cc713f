"""A network as the short list of layers that the browser's runner knows, read from its traced graph.

The graph is that of `torch.export` for one example: what a method's Python does
around its modules (offsets, squashing, halves of an output) is in it as well.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.errors import TriptychError
from triptych.playable.quantise import dequantised, packed, text

__all__ = ["Gate", "Layer", "Linear", "Pointwise", "Take", "apply", "layers_of"]


@dataclass(frozen=True)
class Linear:
    """A linear map: a matrix, a convolution, or a transposed convolution, with its bias.

    ``weight`` is in torch's layout of that kind. A convolution that covers its whole
    input is a matrix, and so is a transposed one of a single pixel.
    """

    kind: Literal["linear", "conv", "deconv"]
    weight: Tensor
    bias: Tensor
    input: tuple[int, ...] = ()
    """C×H×W that a convolution takes."""
    output: tuple[int, ...] = ()
    stride: int = 1
    padding: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """N×anything → N×outputs, flat."""
        if self.kind == "linear":
            return F.linear(x, self.weight, self.bias)
        function = F.conv2d if self.kind == "conv" else F.conv_transpose2d
        found: Tensor = function(
            x.view(-1, *self.input), self.weight, self.bias, self.stride, self.padding
        )
        return found.flatten(1)

    def scaled(self, factor: Tensor, shift: Tensor) -> Linear:
        """The same layer with factor·output + shift for each channel: what folds batch normalisation in."""
        channel = 1 if self.kind == "deconv" else 0
        wide = len(self.bias) // len(factor)
        factor, shift = factor.repeat_interleave(wide), shift.repeat_interleave(wide)
        shape = [-1 if i == channel else 1 for i in range(self.weight.ndim)]
        weight = self.weight * factor.view(shape)
        return dataclasses.replace(self, weight=weight, bias=self.bias * factor + shift)

    def quantised(self, bits: int) -> Linear:
        """The layer that a reader of so many bits gets."""
        levels = torch.from_numpy(dequantised(self._matrix(), bits))
        if self.kind == "deconv":
            first, *rest = self.weight.shape
            return dataclasses.replace(self, weight=levels.T.reshape(first, *rest))
        return dataclasses.replace(self, weight=levels.view_as(self.weight))

    def _matrix(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Rows that the runner multiplies with patches: outputs, or outputs × places in the kernel."""
        matrix = self.weight.flatten(1)
        return (matrix.T if self.kind == "deconv" else matrix).contiguous().numpy()

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        found = {"op": self.kind, "bias": text(self.bias.numpy())} | packed(self._matrix(), bits)
        if self.kind != "linear":
            found |= {"input": list(self.input), "output": list(self.output)}
            found |= {
                "kernel": self.weight.shape[-1],
                "stride": self.stride,
                "padding": self.padding,
            }
        return found


@dataclass(frozen=True)
class Gate:
    """The first half of the numbers, each times the sigmoid of its fellow in the second."""

    kind: Literal["gate"] = "gate"

    def __call__(self, x: Tensor) -> Tensor:
        """N×2·count → N×count."""
        return F.glu(x)

    def quantised(self, bits: int) -> Gate:
        """Itself: nothing in it is a weight."""
        return self

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        return {"op": self.kind}


@dataclass(frozen=True)
class Pointwise:
    """The same function of every number; ``affine`` is numbers[0]·x + numbers[1]."""

    kind: Literal["relu", "leaky", "elu", "tanh", "sigmoid", "affine"]
    numbers: tuple[float, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """The function applied to every number."""
        if self.kind == "affine":
            return x * self.numbers[0] + self.numbers[1]
        functions: dict[str, Callable[..., Tensor]] = {
            "relu": F.relu,
            "leaky": F.leaky_relu,
            "elu": F.elu,
            "tanh": torch.tanh,
            "sigmoid": torch.sigmoid,
        }
        return functions[self.kind](x, *self.numbers)

    def quantised(self, bits: int) -> Pointwise:
        """Itself: nothing in it is a weight."""
        return self

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        return {"op": self.kind, "numbers": list(self.numbers)}


@dataclass(frozen=True)
class Take:
    """The first ``count`` numbers: the means of an encoder that also gives variances."""

    count: int

    def __call__(self, x: Tensor) -> Tensor:
        """N×more → N×count."""
        return x[:, : self.count]

    def quantised(self, bits: int) -> Take:
        """Itself: nothing in it is a weight."""
        return self

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        return {"op": "take", "count": self.count}


Layer = Linear | Gate | Pointwise | Take


def apply(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """The layers one after another, N×anything → N×anything, all flat."""
    for layer in layers:
        x = layer(x)
    return x


class _Function(nn.Module):
    """One function of a method, for `torch.export`."""

    def __init__(self, method: nn.Module, name: str) -> None:
        super().__init__()
        self.method, self.name = method, name

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = getattr(self.method, self.name)(x)
        return found


def layers_of(method: nn.Module, name: str, shape: Sequence[int]) -> list[Layer]:
    """The layers of ``method.<name>``, a function of N×shape float tensors, in ``eval()`` mode.

    Raises `TriptychError` for a network that is no chain of layers that the runner knows.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()).eval()
        >>> [layer.kind for layer in layers_of(net, "forward", (3,))]
        ['linear', 'relu']
    """
    with warnings.catch_warnings(), torch.no_grad():
        # What torch thinks of its own internals.
        warnings.simplefilter("ignore")
        program = torch.export.export(
            _Function(method, name).eval(), (torch.zeros(1, *shape),), strict=False
        )
    signature = program.graph_signature
    names = signature.inputs_to_parameters | signature.inputs_to_buffers
    held = dict(program.state_dict) | dict(program.constants)
    values = {node: held[names[node.name]] for node in program.graph.nodes if node.name in names}
    (current,) = (n for n in program.graph.nodes if n.name in signature.user_inputs)
    found: list[Layer] = []
    for node in program.graph.nodes:
        if node.op != "call_function" or not _is_work(node):
            continue
        if current not in node.all_input_nodes:
            raise TriptychError(
                f"this network branches at '{node.name}': it cannot run in a browser"
            )
        _append(found, node, values)
        current = node
    (out,) = (n for n in program.graph.nodes if n.op == "output")
    if out.args[0][0] is not current:
        raise TriptychError(
            "this network's output is not its last layer: it cannot run in a browser"
        )
    return found


def _is_work(node: Any) -> bool:
    """Whether it makes a tensor of what it gets; a check of shapes or types does not."""
    return bool(node.users) and not str(node.target).startswith("aten._assert")


def _append(found: list[Layer], node: Any, values: dict[Any, Tensor]) -> None:
    """What one node does to the list of layers so far."""
    name = (
        str(getattr(node.target, "overloadpacket", node.target)).removeprefix("aten.").rstrip("_")
    )
    arguments: list[Any] = [
        values.get(a, a) if isinstance(a, torch.fx.Node) else a for a in node.args
    ]
    rest = arguments[1:]
    if name in _SAME:
        return
    if name in ("linear", "conv2d", "conv_transpose2d"):
        found.append(_linear(name, node, rest))
    elif name in _POINTWISE:
        found.append(Pointwise(_POINTWISE[name]))
    elif name == "leaky_relu":
        found.append(Pointwise("leaky", tuple(rest) or (0.01,)))
    elif name == "glu" and len(node.meta["val"].shape) == 2:
        found.append(Gate())
    elif name == "elu":
        found.append(Pointwise("elu", tuple(rest) or (1.0,)))
    elif name in _AFFINE and isinstance(rest[0], (int, float)):
        found.append(Pointwise("affine", _AFFINE[name](float(rest[0]))))
    elif name == "batch_norm" and found and isinstance(found[-1], Linear):
        weight, bias, mean, variance, _, _, eps = rest[:7]
        factor = weight * (variance + eps).rsqrt()
        found[-1] = found[-1].scaled(factor, bias - mean * factor)
    elif name == "chunk" or node.target is operator.getitem:
        _half(found, node, rest)
    else:
        raise TriptychError(f"the browser's runner does not know '{name}', which this network has")


_SAME = {"flatten", "unflatten", "view", "reshape", "unsqueeze", "squeeze", "slice", "to", "clone"}
_SAME |= {"contiguous", "dropout", "detach", "lift_fresh_copy", "_to_copy"}

_POINTWISE: dict[str, Literal["relu", "tanh", "sigmoid"]] = {
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
}

_AFFINE: dict[str, Callable[[float], tuple[float, float]]] = {
    "add": lambda v: (1.0, v),
    "sub": lambda v: (1.0, -v),
    "mul": lambda v: (v, 0.0),
    "div": lambda v: (1 / v, 0.0),
}


def _half(found: list[Layer], node: Any, rest: list[Any]) -> None:
    """Keep the first piece of an output that is cut into several; another one cannot be shown."""
    if node.target is not operator.getitem:
        return
    if rest[0] != 0:
        raise TriptychError("only the first part of an output can be shown in a browser")
    found.append(Take(math.prod(node.meta["val"].shape)))


def _linear(name: str, node: Any, rest: list[Any]) -> Linear:
    """A layer with weights; a convolution that stays one is square and undilated."""
    weight = rest[0].detach().float().contiguous()
    shape, output = (tuple(n.meta["val"].shape[1:]) for n in (node.args[0], node))
    outputs = weight.shape[1] if name == "conv_transpose2d" else weight.shape[0]
    given = rest[1] if len(rest) > 1 else None
    bias = torch.zeros(outputs) if given is None else given.detach().float()
    if name == "linear":
        return Linear("linear", weight, bias)
    stride, padding = (list(rest[i]) if len(rest) > i else [i == 2] for i in (2, 3))
    if any(extra not in (1, [1, 1], [0, 0], 0) for extra in rest[4:]):
        raise TriptychError("the browser's runner knows neither groups nor dilation")
    if (
        name == "conv2d"
        and output[1:] == (1, 1)
        and not any(padding)
        and shape[1:] == weight.shape[2:]
    ):
        return Linear("linear", weight.flatten(1), bias)
    if name == "conv_transpose2d" and shape[1:] == (1, 1) and not any(padding):
        wide = bias.repeat_interleave(weight[0, 0].numel())
        return Linear("linear", weight.flatten(1).T.contiguous(), wide)
    if len({*stride}) > 1 or len({*padding}) > 1 or weight.shape[2] != weight.shape[3]:
        raise TriptychError("the browser's runner knows square convolutions only")
    kind: Literal["conv", "deconv"] = "conv" if name == "conv2d" else "deconv"
    return Linear(kind, weight, bias, shape, output, int(stride[0]), int(padding[0]))
