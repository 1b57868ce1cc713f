"""Is the critic as steep as it promises at most? The norm of its gradient, where it was held to it and elsewhere."""

from __future__ import annotations

from typing import Any

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
    norms = {
        kind: torch.cat([_norms(method.critic, x) for x in torch.split(images, BLOCK)]) / most
        for kind, images in _images(subject, split, count).items()
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


def _images(subject: Subject, split: str, count: int) -> dict[str, Tensor]:
    """Images of every kind in the critic's units, N×C×H×W."""
    method = subject.method
    assert isinstance(method, LipschitzCritic) and isinstance(method, Samples)
    z = prior_latents(subject, count)
    draw = generator(torch.device("cpu"), "lipschitz")
    t = torch.rand(count, generator=draw).to(subject.device)
    with torch.no_grad():  # Not inference mode: gradients are taken at these images.
        generated = torch.cat([method.sample(part) for part in torch.split(z, BLOCK)])
        real = {name: subject.examples(name, count) for name in dict.fromkeys((split, "train"))}
        pairs = len(real["train"])
        mixed = interpolates(real["train"], generated[:pairs], t[:pairs])
        kinds = {**real, "generated": generated, "interpolated": mixed}
        return {kind: method.scaled(images) for kind, images in kinds.items()}


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
