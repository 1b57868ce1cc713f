"""The nearest of many vectors by cosine, exactly and in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.environment import has_bf16, tf32
from triptych.errors import TriptychError

__all__ = ["Bank", "nearest"]

T = TypeVar("T")

Scores: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Of queries with the whole bank, M×N, and what is to be added to them for the products."""

CHUNK, SCORES = 1000, 2**24
"""Queries compared with the bank at once on the CPU, at most, and their scores: 32 MiB in bf16."""

ACCELERATED = 2**27
"""Scores held at once on an accelerator: 512 MiB. Of fewer, launching would take longer than computing."""

GROUP = 16
"""Scores of which the greatest alone decides whether the others are looked at."""

SPARE = 32
"""Candidates beyond k, since scores in half precision swap neighbours that are almost equally near."""

SMALL = 4096
"""Up to this size a bank is searched in full precision: there is little to gain."""

CENTRED = 2**14
"""Rows of which the products with their mean are held at once."""

PROBES = 2000
"""Members of the bank from which the score of the k-th neighbour is guessed."""

PRODUCTS = 2**19
"""Products held at once where candidates are scored again: 2 MiB stay in a core's cache."""


def nearest(bank: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest cosines of each query with the bank, q·b / ‖q‖‖b‖, and where they are.

    On a CPU that multiplies faster in bf16, that chooses candidates, k and a few more, which
    are scored again in fp32; a query for which a neighbour may have been left out is compared with
    the whole bank in fp32. Products are taken about the bank's mean, so that features which are
    almost alike are not all the same in bf16. On an accelerator all products are fp32's, without TF32.

    Args:
        bank: N×d features.
        queries: M×d features.
        k: how many neighbours; all N where there are fewer.

    Returns:
        M×k cosines, the largest first, and M×k places in the bank, int64. Neither depends on how
        many queries are given at once (on an accelerator but for the rounding of products); the memory for
        more of them is that of the answer.

    Raises:
        TriptychError: k < 1, or features that are not finite.

    Example:
        >>> cosine, place = nearest(torch.eye(3), torch.tensor([[3.0, 4.0, 0.0]]), k=2)
        >>> [round(c, 6) for c in cosine[0].tolist()], place.tolist()
        ([0.8, 0.6], [[1, 0]])
    """
    return Bank(bank).nearest(queries, k)


class Bank:
    """N×d features made ready to be searched as `nearest` does, for queries that come in parts.

    Beside the features it holds one copy of them, and where candidates are chosen in bf16 half of one more.
    """

    def __init__(self, features: Tensor) -> None:
        self._rows, self._centre = _centred(features)
        fast = features.device.type == "cpu" and has_bf16(features.device)
        self._half = _halved(self._rows) if fast and len(features) > SMALL else None

    def nearest(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest cosines of each query and where they are, as of `nearest`."""
        if k < 1:
            raise TriptychError(f"the number of neighbours, k, must be 1 or more, not {k}")
        rows, centre, k = self._rows, self._centre, min(k, len(self._rows))
        units = queries.float() * _inverse_norms(queries)[:, None]
        terms = F.pad(units - centre, (0, 1), value=1)
        shift = (units * centre).sum(-1, keepdim=True)
        if rows.device.type != "cpu":
            with tf32(False):
                score, index = _by_products(rows, terms, k)
            return score + shift, index

        def full(chunk: Tensor) -> tuple[Tensor, Tensor]:
            return chunk @ rows.T, chunk.new_zeros(())

        if self._half is None:
            score, index, _ = _search(rows, terms, k, full)
            return score + shift, index
        score, index, sure = _search(rows, terms, k, _in_half(self._half, k))
        if not sure.all():
            score[~sure], index[~sure], _ = _search(rows, terms[~sure], k, full)
        return score + shift, index


def _by_products(rows: Tensor, terms: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest products of each query with the rows, and their places; of equal ones the first."""
    found, places = [], []
    for chunk in torch.split(terms, max(1, ACCELERATED // len(rows))):
        scores = chunk @ rows.T
        place = _largest(scores, k).sort(1).values
        score, order = scores.gather(1, place).sort(dim=1, descending=True, stable=True)
        found.append(score)
        places.append(place.gather(1, order))
    return torch.cat(found), torch.cat(places)


def _inverse_norms(x: Tensor) -> Tensor:
    """1 / ‖x‖ of every row, 0 for a row of zeros, which is like nothing."""
    norms = x.float().norm(dim=1)
    if not norms.isfinite().all():
        raise TriptychError(
            "the features are not finite numbers, so nothing is near them: "
            "the training has diverged; lower the learning rate"
        )
    return torch.where(norms > 0, 1 / norms, 0)


def _centred(bank: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (b − m, m·(b − m)) of the unit vectors b, and their mean m.

    Their products with (q − m, 1) are q·b − q·m: the order of the cosines.
    """
    rows = torch.empty(len(bank), bank.shape[1] + 1, device=bank.device)
    torch.mul(bank, _inverse_norms(bank)[:, None], out=rows[:, :-1])
    # Not matrix products: on some processors the order of their sums depends on the number of threads.
    centre = rows[:, :-1].mean(0)
    rows[:, :-1] -= centre
    for part in torch.split(rows, CENTRED):
        part[:, -1] = (part[:, :-1] * centre).sum(-1)
    return rows, centre


def _halved(rows: Tensor) -> Tensor:
    """Rows in bf16, what their last numbers have lost by it, and a 1."""
    half = torch.ones(len(rows), rows.shape[1] + 2, dtype=torch.bfloat16, device=rows.device)
    half[:, :-2] = rows
    half[:, -2] = rows[:, -1] - rows[:, -1].bfloat16()
    return half


def _in_half(half: Tensor, k: int) -> Scores:
    """Scores by bf16 products, each query's less about that of its k-th neighbour, and how much less.

    Rounding is finest around 0, and it is there that neighbours are told from others.
    """
    few = half[:: max(1, len(half) // PROBES)]
    rank = max(1, round(k * len(few) / len(half)))

    def scores(terms: Tensor) -> tuple[Tensor, Tensor]:
        halves = F.pad(F.pad(terms, (0, 1), value=1), (0, 1)).bfloat16()
        level = (halves @ few.T).topk(rank).values[:, -1:]
        halves[:, -1:] = -level
        return halves @ half.T, level

    return scores


def _search(rows: Tensor, terms: Tensor, k: int, scores: Scores) -> tuple[Tensor, Tensor, Tensor]:
    """The k best of each query's candidates by products in fp32, their places, and if they are sure.

    They are where the k-th beats whatever was left out, even if that was scored twice as wrongly
    as the worst of the candidates.
    """

    def best(chunk: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rough, level = scores(chunk)
        candidates = _largest(rough, min(k + SPARE, len(rows))).sort(1).values
        exact = _products(rows, chunk, candidates)
        rough = rough.gather(1, candidates) + level.float()
        found, order = exact.sort(dim=1, descending=True, stable=True)
        left_out = rough.amin(1) + 2 * (exact - rough).abs().amax(1)
        return found[:, :k], candidates.gather(1, order[:, :k]), found[:, k - 1] > left_out

    chunks = torch.split(terms, max(1, min(CHUNK, SCORES // len(rows))))
    found, places, sure = zip(*_on_every_core(best, chunks), strict=True)
    return torch.cat(found), torch.cat(places), torch.cat(sure)


def _on_every_core(work: Callable[[Tensor], T], chunks: Sequence[Tensor]) -> list[T]:
    """Each core takes a chunk of its own: none waits for others between small operations."""
    threads = torch.get_num_threads()
    if chunks[0].device.type != "cpu" or threads == 1 or len(chunks) < threads:
        return [work(chunk) for chunk in chunks]
    try:
        with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
            return list(pool.map(work, chunks))
    finally:
        # What a worker sets is also the default of threads that start later.
        torch.set_num_threads(threads)


def _largest(scores: Tensor, count: int) -> Tensor:
    """Places of the ``count`` largest of each row, in no order.

    They lie in the ``count`` groups with the largest maxima, so few scores need to be ranked.
    """
    groups = scores.shape[1] // GROUP
    if groups < 2 * count:
        return scores.topk(count, sorted=False).indices
    grouped = groups * GROUP
    # Members of a group lie far apart, so that maxima are taken over whole rows at once.
    maxima = scores[:, :grouped].reshape(-1, GROUP, groups).amax(1).float()
    inside = maxima.topk(count, sorted=False).indices
    offsets = groups * torch.arange(GROUP, device=scores.device)[:, None]
    rest = torch.arange(grouped, scores.shape[1], device=scores.device)
    members = torch.cat([(inside[:, None] + offsets).flatten(1), rest.expand(len(scores), -1)], 1)
    best = scores.gather(1, members).float().topk(count, sorted=False).indices
    return members.gather(1, best)


def _products(rows: Tensor, terms: Tensor, places: Tensor) -> Tensor:
    """Σ rows[places] · terms for each query's own places, in pieces that stay in the cache.

    All pieces are made in the same memory: between short-lived pieces of megabytes, results of their own
    would lie where no later piece fits any more, and a process would grow by gigabytes.
    """
    count, width = places.shape[1], rows.shape[1]
    size = min(max(1, PRODUCTS // (count * width)), len(terms))
    found = rows.new_empty(len(terms), count)
    held = rows.new_empty(size * count, width)
    # Not a matrix product: the order of its sums may depend on how many queries there are.
    pairs = zip(
        torch.split(terms, size), torch.split(places, size), torch.split(found, size), strict=True
    )
    for q, i, sums in pairs:
        picked = held[: i.numel()]
        torch.index_select(rows, 0, i.flatten(), out=picked)
        products = picked.view(*i.shape, width).mul_(q[:, None])
        torch.sum(products, -1, out=sums)
    return found
