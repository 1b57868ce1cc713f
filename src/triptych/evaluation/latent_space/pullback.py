"""The directions of latent space that move the image most: the average pullback metric of the generator.

M = E_z[JᵀJ] with J the Jacobian of z ↦ x: a small step v moves the image by
√(vᵀMv), root mean square over latents (Wang & Ponce 2021, arXiv 2101.06006).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp, vmap

from triptych.evaluation.samples.prior import prior_latents
from triptych.evaluation.statistics import holm
from triptych.evaluation.subject import Each, Subject, as_levels, generator
from triptych.runs import Result
from triptych.types import Samples

__all__ = [
    "effective_dimension",
    "largest_components",
    "principal",
    "principal_directions",
    "pullback_metrics",
]

LATENTS = 128
TANGENTS = 128
"""Columns of a Jacobian computed at once."""

SHOWN = 6
"""Directions that are shown and compared with the axes."""
PICTURED = 3
REACH, STEPS = 3.0, 7
RANDOM = 10_000
ALPHA = 0.05


def pullback_metrics(function: Callable[[Tensor], Tensor], z: Tensor, each: Each = map) -> Tensor:
    """JᵀJ of a function at every latent, by forward-mode differentiation: exact, one product a coordinate.

    Args:
        function: 1×latent → 1×anything, deterministic: pixels, or features of them.
        z: N×latent.
        each: how the latents are gone through, one after the other.

    Returns:
        N×latent×latent float64, symmetric and positive semi-definite, in squared units of the output,
        summed over it. Their mean estimates M.
    """
    basis = torch.eye(z.shape[1], device=z.device, dtype=z.dtype)

    def metric(at: Tensor) -> Tensor:
        def product(v: Tensor) -> Tensor:
            moved: Tensor = jvp(function, (at,), (v[None],))[1]
            return moved.flatten()

        jacobian = vmap(product, chunk_size=TANGENTS)(basis).double()
        return jacobian @ jacobian.T

    with torch.no_grad(), warnings.catch_warnings():
        # At its first use torch loads its own rules of forward mode by a function that it has deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.script`", DeprecationWarning)
        # That a gate's product is done one direction after the other.
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        return torch.stack(list(each(metric, torch.split(z, 1))))


def effective_dimension(metrics: Tensor) -> tuple[float, float]:
    """(tr M)² / tr M² of M = mean of N metrics N×d×d, and its jackknife standard error over latents.

    Between 1 (one direction does everything) and d (all do the same); 0 where nothing does
    anything. A finite N makes it a little too small.
    """
    n = len(metrics)
    left_out = (metrics.sum(0) - metrics) / (n - 1)
    parts = _participation(left_out)
    stderr = math.sqrt((n - 1) * float(parts.var(correction=0)))
    return float(_participation(metrics.mean(0))), stderr


def _participation(m: Tensor) -> Tensor:
    trace = m.diagonal(dim1=-2, dim2=-1).sum(-1)
    tiny = torch.finfo(m.dtype).tiny
    return trace.square() / m.square().sum((-2, -1)).clamp(min=tiny)


def principal_directions(metric: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues of M, descending, and unit eigenvectors as rows, each one's largest component positive."""
    values, vectors = torch.linalg.eigh(metric)
    rows = vectors.T.flip(0)
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return values.flip(0).clamp(min=0), rows * largest.sign()


def largest_components(rows: Tensor, draw: torch.Generator) -> dict[str, Any]:
    """How near unit vectors K×d lie to an axis, maxⱼ |vⱼ|, against 10,000 random unit vectors.

    Returns ``coordinate``, ``component``, the Holm-corrected ``p`` of so large a one
    for each vector, and the ``random`` ones' median and 95 % quantile.
    """
    shape = (RANDOM, rows.shape[1])
    random = F.normalize(torch.randn(shape, generator=draw, dtype=torch.float64)).abs().amax(1)
    component, coordinate = rows.abs().max(1)
    at_least = (random >= component.cpu()[:, None]).sum(1)
    median, high = torch.quantile(random, random.new_tensor([0.5, 0.95])).tolist()
    return {
        "coordinate": coordinate.tolist(),
        "component": component.tolist(),
        "p": holm(((at_least + 1) / (RANDOM + 1)).tolist()),
        "random": {"median": median, "95% quantile": high},
    }


def _sentence(found: dict[str, Any]) -> str:
    """Whether principal directions are axes, in words."""
    high = found["random"]["95% quantile"]
    near = [
        f"{rank + 1} (coordinate {j}, component {c:.2f})"
        for rank, (j, c, p) in enumerate(
            zip(found["coordinate"], found["component"], found["p"], strict=True)
        )
        if p < ALPHA
    ]
    count = len(found["p"])
    if not near:
        return (
            f"None of the first {count} principal directions surely lies nearer to a coordinate axis than "
            f"random unit vectors do (smallest Holm-corrected p = {min(found['p']):.2g})."
        )
    return (
        f"Of the first {count} principal directions, nearer to a coordinate axis than random unit "
        f"vectors (95 % of which have no component above {high:.2f}): {', '.join(near)}."
    )


def principal(subject: Subject) -> tuple[dict[str, Result], dict[str, npt.NDArray[Any]]]:
    """``latent/effective_dimension`` and ``latent/principal_spectrum`` of the map from latents to pixels.

    Returns:
        The results, and for pictures ``images`` (directions × latents × steps × C×H×W): the coordinate
        along each principal direction set to ``values`` prior deviations, the rest of the latent
        kept; with ``directions`` (latent×latent, one a row, the largest eigenvalue first).
    """
    method = subject.method
    assert isinstance(method, Samples)
    z = prior_latents(subject, LATENTS)
    metrics = pullback_metrics(
        method.sample, z, partial(subject.shared, said="pullback metric (latents)")
    )
    values, rows = principal_directions(metrics.mean(0))
    axes = largest_components(rows[:SHOWN], generator(torch.device("cpu"), "pullback"))
    protocol = subject.protocol(
        "none",
        estimator="M = E[J^T J] over latents from the prior, J by forward-mode differentiation",
        output="pixels in [0, 1], flattened",
        latent=method.latent,
    )
    spectrum = {"eigenvalues": values.tolist(), "axes": axes, "sentences": [_sentence(axes)]}
    results = {
        "latent/effective_dimension": Result(
            *effective_dimension(metrics),
            LATENTS,
            protocol | {"unit": "dimensions, (tr M)^2 / tr M^2", "error": "jackknife over latents"},
        ),
        "latent/principal_spectrum": Result(
            spectrum,
            None,
            LATENTS,
            protocol | {"unit": "squared pixel change per squared step, summed over the image"},
            "a table; its one summary with an error is latent/effective_dimension",
        ),
    }
    steps = torch.linspace(-REACH, REACH, STEPS, device=subject.device)
    return results, {
        "images": _traversals(method, z[:PICTURED], rows[:SHOWN].to(z), steps),
        "values": steps.cpu().numpy(),
        "directions": rows.float().cpu().numpy(),
    }


def _traversals(method: Samples, z: Tensor, rows: Tensor, steps: Tensor) -> npt.NDArray[np.uint8]:
    """Directions × latents × steps × C×H×W."""
    offset = steps - (rows @ z.T)[:, :, None]
    moved = z[:, None] + offset[..., None] * rows[:, None, None]
    with torch.inference_mode():
        images = as_levels(method.sample(moved.flatten(0, 2)))
    return images.reshape(*moved.shape[:3], *images.shape[1:])
