"""How likely the images are: ELBO, and log p(x) by importance sampling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice

import torch
from torch import Tensor

from triptych.errors import TriptychError
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.intervals import EFFECTIVE
from triptych.objectives.importance import (
    NestedBounds,
    WeightSums,
    importance_bound,
    nested_blocks,
)
from triptych.runs import Result
from triptych.types import (
    STANDARD_NORMAL,
    HasImportanceBound,
    HasLikelihood,
    HasPrior,
    Method,
    Proposal,
)

__all__ = [
    "ImportanceEstimate",
    "bf16_error",
    "elbo",
    "importance_estimate",
    "log_likelihood",
    "of_prior",
    "validation_elbo",
]

HEADLINE = 200
"""Samples for the figure that is compared with others: the reference's K."""

ROWS = 3000
"""Latents decoded at once: enough that calling costs little, few enough for a processor's cache."""

CHECKED = 64
"""Images on which both precisions are tried, at most."""
BF16_TOLERANCE = 0.02
"""Nats by which bf16 may move a log-likelihood before fp32 is used instead."""


def _mean(values: Tensor) -> tuple[float, float | None]:
    """Mean and its standard error over images, in double precision; one image has no error."""
    values = values.double()
    stderr = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), stderr


ONE_IMAGE = "one image has no standard error"


def _elbo_terms(subject: Subject, split: str) -> dict[str, Tensor]:
    method = subject.method
    assert isinstance(method, HasLikelihood)

    def terms(start: int) -> dict[str, Tensor]:
        number = start // BLOCK
        draw = generator(subject.device, "elbo", split, number)
        with torch.inference_mode():
            x = subject.block(split, number)
            noise = torch.randn(len(x), method.latent, generator=draw, device=subject.device)
            return dict(method.elbo(x, noise))

    found = subject.rows(range(0, len(subject.dataset.splits[split]), BLOCK), terms)
    # To the host once: a device is not waited for between blocks.
    return {name: values.cpu() for name, values in found.items()}


def validation_elbo(subject: Subject) -> dict[str, float]:
    """ELBO and its terms on the validation split, in nats an image: what training watches.

    With ``importance_bound`` where the method is trained on that, with its own number of samples.
    """
    terms, method = _elbo_terms(subject, "valid"), subject.method
    if isinstance(method, HasImportanceBound) and method.bound_samples > 1:
        terms["importance_bound"] = _bounds(subject, "valid", method.bound_samples)
    return {f"valid/{name}": _mean(values)[0] for name, values in terms.items()}


def _bounds(subject: Subject, split: str, samples: int) -> Tensor:
    """L_k of every image of a split, from one set of k samples each."""
    method = subject.method
    assert isinstance(method, HasLikelihood)

    def bound(start: int) -> dict[str, Tensor]:
        number = start // BLOCK
        with torch.inference_mode():
            x = subject.block(split, number)
            q = method.posterior(x)
            log_w = next(_log_weights(subject, x, q, samples, ("bound", split, number)))
        return {"bound": importance_bound(log_w)}

    return subject.rows(range(0, len(subject.dataset.splits[split]), BLOCK), bound)["bound"].cpu()


def of_prior(method: Method) -> dict[str, str]:
    """The field of a protocol that names the prior, where the method has one of its own."""
    own = isinstance(method, HasPrior) and method.prior != STANDARD_NORMAL
    return {"prior": method.prior} if own else {}


def elbo(subject: Subject, split: str) -> dict[str, Result]:
    """``<split>/elbo`` with ``reconstruction``, ``kl`` and what terms the method has beside: one sample of z an image.

    The divergence is analytic, or computed as a method with a prior of its own says.
    """
    method = subject.method
    assert isinstance(method, HasLikelihood)
    divergence = method.divergence if isinstance(method, HasPrior) else "analytic"
    protocol = subject.protocol(
        split,
        likelihood=method.likelihood,
        **of_prior(method),
        estimator=f"ELBO, {divergence} KL, 1 sample",
        unit="nats an image",
    )
    return {
        f"{split}/{name}": Result(
            *_mean(values), len(values), protocol, ONE_IMAGE if len(values) == 1 else ""
        )
        for name, values in _elbo_terms(subject, split).items()
    }


@dataclass(frozen=True)
class ImportanceEstimate:
    """What K importance samples say of N images: all tensors have one value an image.

    ``sums`` are over the first samples, 200 of them if there are so many; ``curve`` has, for each of
    ``blocks``, the bound L_k from all K samples in blocks of k.
    """

    blocks: tuple[int, ...]
    sums: WeightSums
    curve: Tensor


def _log_weights(
    subject: Subject,
    x: Tensor,
    q: Proposal,
    chunk: int,
    purpose: tuple[str | int, ...],
) -> Iterator[Tensor]:
    """Log-weights N×chunk of some images with their proposals q, for ever.

    The noise of each chunk follows from the purpose and the chunk's number, so
    the first 200 of 1,000 samples are the 200 samples of a shorter run.
    """
    method, device = subject.method, subject.device
    assert isinstance(method, HasLikelihood)
    rows = max(1, ROWS // chunk)
    for number in count():
        draw = generator(device, "importance", *purpose, number)
        parts = []
        for start in range(0, len(x), rows):
            images = x[start : start + rows]
            part = type(q)(*(t[start : start + rows] for t in q))
            noise = torch.randn(len(images), chunk, method.latent, generator=draw, device=device)
            parts.append(method.log_weights(images, part, noise))
        yield torch.cat(parts)


def _precision(subject: Subject, dtype: torch.dtype) -> torch.autocast:
    """Networks in ``dtype``; the casts of their weights are kept while the context lasts."""
    return torch.autocast(subject.device.type, torch.bfloat16, dtype == torch.bfloat16)


def importance_estimate(
    subject: Subject, split: str, samples: int, dtype: torch.dtype = torch.float32
) -> ImportanceEstimate:
    """Run the importance sampler over a split, in memory that does not grow with ``samples``.

    Above 200 the number of samples is rounded up to whole blocks of 200, so that
    the first 200 are the headline's whatever it is.

    ``dtype`` is the precision of the decoder's matrix products; weights are
    summed in fp32 logarithms whatever it is.
    """
    method = subject.method
    assert isinstance(method, HasLikelihood)
    if samples < 1:
        raise TriptychError(f"--samples {samples} is too few; give 1 or more")
    chunk = min(samples, HEADLINE)
    blocks = nested_blocks(math.ceil(samples / chunk) * chunk)

    def measure(number: int) -> tuple[WeightSums, Tensor]:
        bounds, head = NestedBounds(blocks), None
        with torch.inference_mode():
            x = subject.block(split, number)
            q = method.posterior(x)
            weights = _log_weights(subject, x, q, chunk, (split, number))
            with _precision(subject, dtype):
                for log_w in islice(weights, blocks[-1] // chunk):
                    bounds.add(log_w)
                    head = head or WeightSums.of(log_w)
            assert head is not None
            return head, bounds.curve().cpu()

    found = subject.map_blocks(split, measure, "log-likelihood (blocks)")
    heads, curves = zip(*found, strict=True)
    sums = WeightSums(
        torch.cat([h.log_sum for h in heads]).cpu(),
        torch.cat([h.log_sum_squares for h in heads]).cpu(),
        chunk,
    )
    return ImportanceEstimate(blocks, sums, torch.cat(curves))


def bf16_error(subject: Subject, split: str, images: int = CHECKED) -> tuple[float, float | None]:
    """How far bf16 moves the log-likelihood of some images on the same noise: mean and standard error, nats."""
    method, found = subject.method, []
    assert isinstance(method, HasLikelihood)
    with torch.inference_mode():
        x = subject.examples(split, images)
        q = method.posterior(x)
        for dtype in (torch.bfloat16, torch.float32):
            with _precision(subject, dtype):
                log_w = next(_log_weights(subject, x, q, HEADLINE, ("check",)))
            found.append(WeightSums.of(log_w).bound())
    return _mean((found[0] - found[1]).cpu())


def _bias(
    found: ImportanceEstimate,
    low: float,
    curve: Sequence[tuple[float, float | None]],
    protocol: Mapping[str, str | int | float],
) -> Result:
    """How far log_likelihood lies below log p(x), where that can be told; ``low`` is the 5 % quantile of the ESS."""
    if low >= EFFECTIVE:
        note = "leading term of how far log_likelihood lies below log p(x), by the delta method"
        bias = float(found.sums.bias().double().mean())
        return Result(bias, None, len(found.curve), protocol, note)
    why = (
        f"for 5 % of the images only {low:.1f} of the {found.sums.count} samples count, or fewer, and below {EFFECTIVE} "
        "the delta method is no estimate: how far the log-likelihood lies below log p(x) is not known"
    )
    at, most = found.blocks.index(found.sums.count), found.blocks[-1]
    if most > found.sums.count:
        rise = curve[-1][0] - curve[at][0]
        why += f"; by {rise:.2f} nat at least, by which {most:,} samples raise it"
    return Result.left_out(why, protocol)


def _checked(subject: Subject, split: str, dtype: torch.dtype) -> tuple[torch.dtype, str]:
    """The precision that is used, and what to know of it: bf16 only where it moves the figure by too little to matter."""
    if dtype != torch.bfloat16:
        return dtype, ""
    error, uncertain = bf16_error(subject, split)
    images = min(CHECKED, len(subject.dataset.splits[split]))
    if uncertain is None or abs(error) + 2 * uncertain > BF16_TOLERANCE:
        dtype = torch.float32
    known = "" if uncertain is None else f" ± {uncertain:.4f}"
    return dtype, (
        f"bf16 differs from fp32 by {error:+.4f}{known} nat on {images} image{'s' * (images > 1)}"
        + ("; fp32 was used" if dtype == torch.float32 else "")
    )


def log_likelihood(
    subject: Subject, split: str, samples: int, dtype: torch.dtype
) -> dict[str, Result]:
    """``<split>/log_likelihood`` with effective sample size, bias and the curve over K.

    In bf16 some images are computed in both precisions, and fp32 is used after all
    unless their mean difference, with two standard errors, is within 0.02 nat; one image has no such error.
    """
    method = subject.method
    assert isinstance(method, HasLikelihood)
    # The first rank decides for all, whatever hardware theirs is.
    dtype, note = subject.ranks.by_first(lambda: _checked(subject, split, dtype))
    found = importance_estimate(subject, split, samples, dtype)
    value, stderr = _mean(found.sums.bound())
    note = ", ".join(filter(None, [note, ONE_IMAGE if stderr is None else ""]))
    n, k = len(found.curve), found.sums.count
    protocol = _importance_protocol(subject, split, k)
    nats, bits = protocol | {"unit": "nats an image"}, protocol | {"unit": "bits"}
    per_dimension = 1 / (method.spec.dimensions * math.log(2))
    error = stderr and stderr * per_dimension
    return {
        f"{split}/log_likelihood": Result(value, stderr, n, nats, note),
        f"{split}/bits_per_dimension": Result(-value * per_dimension, error, n, bits, note),
        **_of_the_sampler(subject, split, found),
    }


def _of_the_sampler(subject: Subject, split: str, found: ImportanceEstimate) -> dict[str, Result]:
    """Effective sample size, bias and curve: how far the figure is to be trusted."""
    n, blocks = len(found.curve), found.blocks
    protocol = _importance_protocol(subject, split, found.sums.count)
    in_blocks = _importance_protocol(subject, split, f"blocks of k from {blocks[-1]} samples")
    ess = found.sums.effective_sample_size().double()
    median, low = (float(ess.quantile(q)) for q in (0.5, 0.05))
    curve = [_mean(found.curve[:, i]) for i in range(len(blocks))]
    value, stderr = ([c[i] for c in curve] for i in (0, 1))
    return {
        f"{split}/effective_sample_size": Result(
            {"median": median, "5% quantile": low},
            None,
            n,
            protocol | {"unit": "samples"},
            "a description of the sampler, not an estimate",
        ),
        f"{split}/importance_bias": _bias(found, low, curve, protocol | {"unit": "nats an image"}),
        f"{split}/log_likelihood_curve": Result(
            {"k": list(blocks), "value": value, "stderr": stderr},
            None,
            n,
            in_blocks | {"unit": "nats an image"},
            "a standard error for each k is in the value",
        ),
    }


def _importance_protocol(
    subject: Subject, split: str, k: int | str
) -> dict[str, str | int | float]:
    assert isinstance(subject.method, HasLikelihood)
    return subject.protocol(
        split,
        likelihood=subject.method.likelihood,
        **of_prior(subject.method),
        estimator="importance sampling, q(z|x) as proposal",
        K=k,
    )
