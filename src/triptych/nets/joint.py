"""What a network needs of the whole batch where several ranks have a part of it each."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from triptych.ranks import Ranks, current

__all__ = ["JointBatchNorm", "gathered", "normalise_jointly", "summed"]


class _Summed(torch.autograd.Function):
    """Σ over ranks, which is its own adjoint: y on every rank depends on x of every rank."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        total = x.clone(memory_format=torch.contiguous_format)
        ranks.add_(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # Applied again, so that there is a second derivative.
        return summed(gradients[0], ctx.ranks), None


def summed(x: Tensor, ranks: Ranks | None = None) -> Tensor:
    """The sum of a tensor of one shape over all ranks, the same on each; gradients flow to all of them.

    All ranks must call it equally often and in the same order, backwards too. The gradient is that of the sum of what the ranks
    minimise, as often as it is differentiated. Alone it is the tensor.

    Example:
        >>> summed(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    ranks = ranks or current()
    if ranks.size == 1:
        return x
    out: Tensor = _Summed.apply(x, ranks)  # type: ignore[no-untyped-call]
    return out


def gathered(x: Tensor, ranks: Ranks | None = None) -> Tensor:
    """The rows of all ranks, first those of rank 0: n×d on each of N → (N·n)×d; gradients flow to all of them.

    For a loss that compares images of a batch with each other: the batch must divide evenly, and the method
    says `triptych.types.Method.gathers`. Alone it is the tensor.

    Example:
        >>> gathered(torch.zeros(3, 2)).shape
        torch.Size([3, 2])
    """
    ranks = ranks or current()
    if ranks.size == 1:
        return x
    before, after = ranks.rank, ranks.size - ranks.rank - 1
    around = [0, 0] * (x.ndim - 1) + [before * len(x), after * len(x)]
    # Zeros of the others: a sum of them is exact.
    return summed(F.pad(x, around), ranks)


class JointBatchNorm(_BatchNorm):
    """Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) over the images of all ranks.

    N×C×… with a part of the N on each rank. Mean and variance of the parts are gathered, one small sum over the ranks forwards and
    one backwards, and combined as Chan et al. (1979) do, so that nothing is lost by cancellation. It can be differentiated
    twice, and works on any device. In ``eval()`` it is the plain one.
    """

    def __init__(self, plain: _BatchNorm, ranks: Ranks) -> None:
        """The same parameters and statistics, not copies of them."""
        super().__init__(plain.num_features, plain.eps, plain.momentum, False, False)
        self.affine, self.track_running_stats = plain.affine, plain.track_running_stats
        # Registered by the plain one, as parameters, buffers or none.
        self._parameters, self._buffers = plain._parameters, plain._buffers
        self.training, self.ranks = plain.training, ranks

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"batch normalisation is of N×C×…, not of {x.ndim} dimensions")

    def forward(self, x: Tensor) -> Tensor:
        """The shape and type of x."""
        if not self.training:
            # Over the images at hand where there are no running statistics, as the plain one is.
            return super().forward(x)
        self._check_input_dim(x)
        mean, variance, count = self._statistics(x)
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self._follow(mean, variance, count)
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        wide = [1, -1] + [1] * (x.ndim - 2)
        # Centred first: of channels that hardly vary the product of mean and scale would be all rounding.
        centred = x.to(scale.dtype) - mean.view(wide)
        if self.affine:
            out = torch.addcmul(self.bias.view(wide), centred, scale.view(wide))
        else:
            out = centred * scale.view(wide)
        return out.to(x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and biased variance of each channel over all ranks, and how many values they are of."""
        dimensions = [0, *range(2, x.ndim)]
        # At least single precision: half of it would count no further than 2,048.
        precise = x if x.dtype.itemsize > 2 else x.float()
        variance, mean = torch.var_mean(precise, dimensions, correction=0)
        count = torch.full_like(mean[:1], x.numel() / x.shape[1])
        parts = gathered(torch.cat([mean, variance, count]).unsqueeze(0), self.ranks)
        means, variances, counts = torch.split(parts, [len(mean), len(mean), 1], dim=1)
        total = counts.sum()
        shares = counts / total
        mean = (shares * means).sum(0)
        variance = (shares * (variances + (means - mean).square())).sum(0)
        return mean, variance, total

    def _follow(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics, the variance without bias as PyTorch has it."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        rate: float | Tensor = (
            1 / self.num_batches_tracked if self.momentum is None else self.momentum
        )
        unbiased = variance * (count / (count - 1))
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)


def normalise_jointly(network: nn.Module, ranks: Ranks) -> None:
    """Let every batch normalisation within a network be over the images of all ranks."""
    for module in list(network.modules()):
        for name, child in list(module._modules.items()):
            if isinstance(child, _BatchNorm) and not isinstance(child, JointBatchNorm):
                setattr(module, name, JointBatchNorm(child, ranks))
