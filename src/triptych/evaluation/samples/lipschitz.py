"""Is the critic as steep as it promises at most? The norm of its gradient, where it was held to it and elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.statistics import share_error
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.objectives.wasserstein import gradient_norm, input_gradient, interpolates
from triptych.runs import Result
from triptych.types import LipschitzCritic, Samples

__all__ = ["audit"]

IMAGES = 2000
"""Images of each kind: a share of one half then has a standard error of 1.1 %."""

Inputs: TypeAlias = tuple[Tensor, Tensor, Tensor | None, Tensor | None]

Norms = npt.NDArray[np.float32]


def audit(
    subject: Subject, split: str, count: int = IMAGES
) -> tuple[dict[str, Result], dict[str, Norms]]:
    """``critic/gradient_norm``: how steep the critic is on real, generated and interpolated images.

    In units of the constant K that the method declares, ``lipschitz``: of a critic that is K-Lipschitz no norm
    is above 1. One that declares no constant, a discriminator's for instance, is not asked.

    Interpolated are x̂ = t x + (1−t) y between training images x and samples y,
    one t ~ U[0, 1] for each pair, as the Lipschitz penalty takes them; but samples are those
    of evaluation: running statistics, and the averaged generator where there is one. A share
    above 1 says how often the critic is steeper than it was to be.

    Args:
        subject: a method with a critic of a declared constant that draws samples.
        split: the images that the critic was not trained on.
        count: images of each kind, or all of a smaller split.

    Returns:
        The result, a table by kind of images, and the norms of each kind, for a histogram.
    """
    method = subject.method
    assert isinstance(method, LipschitzCritic)
    most = float(method.lipschitz)

    def steepness(rounds: Sequence[int]) -> Iterator[dict[str, Tensor]]:
        for inputs in islice(_inputs(subject, split, count), rounds[0], rounds[-1] + 1):
            images = _images(method, split, *inputs)
            yield {kind: _norms(method.critic, method.scaled(x)) for kind, x in images}

    found = subject.ranks.shared(range(math.ceil(count / BLOCK)), steepness)
    norms = {
        kind: torch.cat([norms[kind] for norms in found if kind in norms]) / most
        for kind in found[0]
    }
    protocol = subject.protocol(
        split,
        estimator="L2 norm over all pixels of an example of the critic's gradient",
        interpolated="t x + (1-t) y, x from train, y generated, t uniform, one an example",
        unit="critic's score per unit of its scaled images",
        # Of 1 nothing is said, as it was before critics declared it: those figures compare.
        **({"lipschitz": most} if most != 1 else {}),
    )
    table = {kind: _summary(found) for kind, found in norms.items()}
    note = "a table: every share above 1 has its own"
    total = sum(len(found) for found in norms.values())
    result = Result(table, None, total, protocol, note)
    return {"critic/gradient_norm": result}, {k: v.cpu().numpy() for k, v in norms.items()}


def _norms(critic: torch.nn.Module, x: Tensor) -> Tensor:
    return gradient_norm(input_gradient(critic, x)).detach()


def _inputs(subject: Subject, split: str, count: int) -> Iterator[Inputs]:
    """What a round of images is made of, a block of each at a time: more of them take no more memory.

    Latents and shares, and held-out and training images as long as there are any.
    """
    draw = generator(torch.device("cpu"), "lipschitz")
    t = torch.rand(count, generator=draw).to(subject.device)
    held = subject.example_blocks(split, count) if split != "train" else ()
    yield from zip_longest(
        torch.split(prior_latents(subject, count), BLOCK),
        torch.split(t, BLOCK),
        held,
        subject.example_blocks("train", count),
    )


def _images(
    method: object, split: str, z: Tensor, share: Tensor, held: Tensor | None, real: Tensor | None
) -> Iterator[tuple[str, Tensor]]:
    """Images of every kind in [0, 1] of a round, N×C×H×W."""
    assert isinstance(method, Samples)
    if held is not None:
        yield split, held
    with torch.no_grad():  # Not inference mode: gradients are taken at these images.
        generated = method.sample(z)
    if real is not None:
        yield "train", real
    yield "generated", generated
    if real is not None:
        yield "interpolated", interpolates(real, generated[: len(real)], share[: len(real)])


def _summary(norms: Tensor) -> dict[str, Any]:
    """Moments, quantiles, and the share above 1 with its standard error."""
    n, norms = len(norms), norms.cpu().double()
    share = float((norms > 1).double().mean())
    low, median, high = torch.quantile(norms, norms.new_tensor([0.05, 0.5, 0.95])).tolist()
    return {
        "mean": float(norms.mean()),
        "std": float(norms.std()) if n > 1 else 0.0,
        "5% quantile": low,
        "median": median,
        "95% quantile": high,
        "max": float(norms.max()),
        "share above 1": share,
        "stderr of share": share_error(share, n),
        "n": n,
    }
