"""Methods that compare two looks, thin and in doubles, and a batch for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from triptych import methods
from triptych.config import merge
from triptych.nets.initialise import initialise
from triptych.types import Batch, DataSpec, Losses, Method

SPEC = DataSpec((3, 8, 8), "colour", mean=(0.5, 0.4, 0.3), std=(0.3, 0.25, 0.2))
THIN = {"depth": 10, "stem": "half", "width": 4, "projector": [16, 8]}


@pytest.fixture
def built() -> Callable[..., Method]:
    """A method by its name and the fields of its config, in doubles, begun as a training begins it."""

    def build(name: str, seed: int = 0, **fields: Any) -> Method:
        kind = methods.find(name)
        method = kind(merge(kind.Config(), {**THIN, **fields}), SPEC)
        initialise(method, seed)
        method.after_initialise()
        # Every parameter is to have a gradient.
        for module in method.backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data.fill_(1.0)
        return method.double().train()

    return build


@pytest.fixture
def two_looks() -> Batch:
    x = torch.rand(2, 12, *SPEC.shape, generator=torch.Generator().manual_seed(0)).double()
    return Batch((x[0], (x[0] + 0.3 * x[1]).clamp(max=1)), torch.arange(12))


@pytest.fixture
def losses(two_looks: Batch) -> Callable[..., Losses]:
    """Those of a method on the batch."""

    def found(method: Method, **noise: torch.Tensor) -> Losses:
        (phase,) = method.phases()
        return method.losses(phase.name, two_looks, noise, torch.tensor(0.0))

    return found
