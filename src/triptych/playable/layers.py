"""A network as the short list of layers that the browser's runner knows, read from its traced graph.

The graph is that of `torch.export` for one example: what a method's Python does
around its modules (offsets, squashing, halves of an output) is in it as well.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych.errors import TriptychError
from triptych.playable.quantise import dequantised, packed, text

__all__ = [
    "Add",
    "Enlarge",
    "Gate",
    "Layer",
    "Linear",
    "Pointwise",
    "Scale",
    "Take",
    "apply",
    "layers_of",
]


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
class Scale:
    """A factor and a shift for each channel: batch normalisation that follows no linear map."""

    factor: Tensor
    shift: Tensor
    size: int
    """Numbers of a channel."""
    kind: Literal["scale"] = "scale"

    def __call__(self, x: Tensor) -> Tensor:
        """N×(channels·size) → the same shape."""
        wide = x.view(-1, len(self.factor), self.size)
        return (wide * self.factor[:, None] + self.shift[:, None]).flatten(1)

    def quantised(self, bits: int) -> Scale:
        """Itself: two numbers a channel are not worth it."""
        return self

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        factor, shift = (text(v.numpy()) for v in (self.factor, self.shift))
        return {"op": self.kind, "factor": factor, "shift": shift, "size": self.size}


@dataclass(frozen=True)
class Enlarge:
    """Every pixel repeated along both sides: nearest neighbours."""

    input: tuple[int, ...]
    """C×H×W that comes in."""
    factor: int
    kind: Literal["enlarge"] = "enlarge"

    def __call__(self, x: Tensor) -> Tensor:
        """N×C·H·W → N×C·H·W·factor²."""
        found = F.interpolate(x.view(-1, *self.input), scale_factor=self.factor, mode="nearest")
        return found.flatten(1)

    def quantised(self, bits: int) -> Enlarge:
        """Itself: nothing in it is a weight."""
        return self

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        return {"op": self.kind, "input": list(self.input), "factor": self.factor}


@dataclass(frozen=True)
class Add:
    """The sum of what two chains of layers make of the same numbers; an empty one is the identity."""

    one: tuple[Layer, ...]
    other: tuple[Layer, ...]
    kind: Literal["add"] = "add"

    def __call__(self, x: Tensor) -> Tensor:
        """N×anything → N×outputs of both."""
        return apply(self.one, x) + apply(self.other, x)

    def quantised(self, bits: int) -> Add:
        """The same sum of quantised layers."""
        one, other = (
            tuple(layer.quantised(bits) for layer in part) for part in (self.one, self.other)
        )
        return Add(one, other)

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        one, other = ([layer.as_json(bits) for layer in part] for part in (self.one, self.other))
        return {"op": self.kind, "one": one, "other": other}


@dataclass(frozen=True)
class Take:
    """The first ``count`` numbers: the means of an encoder that also gives variances."""

    count: int
    kind: Literal["take"] = "take"

    def __call__(self, x: Tensor) -> Tensor:
        """N×more → N×count."""
        return x[:, : self.count]

    def quantised(self, bits: int) -> Take:
        """Itself: nothing in it is a weight."""
        return self

    def as_json(self, bits: int) -> dict[str, Any]:
        """For `model.js`."""
        return {"op": self.kind, "count": self.count}


Layer: TypeAlias = "Linear | Gate | Pointwise | Scale | Enlarge | Take | Add"


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

    Raises `TriptychError` for a network that is no chain of layers that the runner knows, or of sums of two such chains.

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
    (given,) = (n for n in program.graph.nodes if n.name in signature.user_inputs)
    (out,) = (n for n in program.graph.nodes if n.op == "output")
    if len(out.args[0]) != 1:
        raise TriptychError("this network has several outputs: it cannot run in a browser")
    return _Graph(given, values).chain(out.args[0][0], given)


class _Graph:
    """A traced function of one input, read backwards from where it is asked about.

    Every node that depends on the input has one before it through which all of the input comes to it: its first
    argument, or of a sum the last that both parts share.
    """

    def __init__(self, given: Any, values: dict[Any, Tensor]) -> None:
        self.values = values
        self.before: dict[Any, Any] = {given: None}
        for node in given.graph.nodes:
            parts = [n for n in node.all_input_nodes if n in self.before]
            # A check of shapes or types makes no tensor.
            if node.op != "call_function" or not parts or not node.users:
                continue
            if len(parts) > 2 or (len(parts) == 2 and _name(node) != "add"):
                raise TriptychError(
                    f"this network joins its branches at '{node.name}' by other than a sum: it cannot run in a browser"
                )
            self.before[node] = parts[0] if len(parts) == 1 else self._fork(*parts)

    def _fork(self, one: Any, other: Any) -> Any:
        """The last node before, or at, both of two."""
        seen = set(self._way(one))
        return next(node for node in self._way(other) if node in seen)

    def _way(self, node: Any) -> Iterator[Any]:
        while node is not None:
            yield node
            node = self.before[node]

    def chain(self, node: Any, start: Any) -> list[Layer]:
        """The layers that make a node of what is at another before it."""
        way = []
        while node is not start:
            if node not in self.before:
                raise TriptychError("this network's output does not depend on what it is given")
            way.append(node)
            node = self.before[node]
        found: list[Layer] = []
        for node in reversed(way):
            parts = [n for n in node.all_input_nodes if n in self.before]
            if len(parts) == 2:
                if node.kwargs or len({part.meta["val"].shape for part in parts}) > 1:
                    raise TriptychError(
                        "the browser's runner adds outputs of one shape, without weights"
                    )
                fork = self.before[node]
                one, other = (tuple(self.chain(part, fork)) for part in parts)
                found.append(Add(one, other))
            else:
                _append(found, node, self.values)
        return found


def _name(node: Any) -> str:
    """What a node does, without the variant of it."""
    target = str(getattr(node.target, "overloadpacket", node.target))
    return target.removeprefix("aten.").rstrip("_")


def _append(found: list[Layer], node: Any, values: dict[Any, Tensor]) -> None:
    """What one node does to the list of layers so far."""
    name = _name(node)
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
    elif name == "batch_norm":
        _normalise(found, node, rest)
    elif name == "upsample_nearest2d":
        found.append(_enlarge(node))
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


def _normalise(found: list[Layer], node: Any, rest: list[Any]) -> None:
    """Batch normalisation by running statistics: in the layer before it, or a layer of its own."""
    weight, bias, mean, variance, _, _, eps = rest[:7]
    if mean is None or variance is None:
        raise TriptychError("the browser's runner knows batch normalisation by running statistics")
    factor = (variance + eps).rsqrt() * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - mean * factor
    if found and isinstance(found[-1], Linear):
        found[-1] = found[-1].scaled(factor, shift)
    else:
        found.append(Scale(factor, shift, math.prod(node.meta["val"].shape[2:])))


def _enlarge(node: Any) -> Enlarge:
    before, after = (tuple(n.meta["val"].shape[1:]) for n in (node.args[0], node))
    factors = {a / b for a, b in zip(after[1:], before[1:], strict=True)}
    (factor, *others) = factors
    if others or factor != int(factor):
        raise TriptychError("the browser's runner enlarges both sides by one whole number only")
    return Enlarge(before, int(factor))


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
