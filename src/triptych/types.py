"""The contract between what is optimised and how.

A `Method` says *what*: its phases, and a pure function from a batch and noise
to losses. The loop says *how*: it draws the noise, freezes what a phase does
not train, reduces, back-propagates, steps, logs. What an evaluator may ask of a
method is structural: one of the small protocols at the end of this file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Protocol,
    TypeAlias,
    runtime_checkable,
)

import torch
from torch import Tensor, nn

from triptych.capability import Capability
from triptych.config import WIDEST, OptimizerConfig, ViewsConfig
from triptych.errors import TriptychError, shown

__all__ = [
    "STANDARD_NORMAL",
    "Batch",
    "DataSpec",
    "Decodes",
    "DiagonalGaussian",
    "Encodes",
    "Group",
    "HasCoordinateKL",
    "HasCritic",
    "HasImportanceBound",
    "HasLikelihood",
    "HasPrior",
    "LipschitzCritic",
    "Losses",
    "Method",
    "Moment",
    "Noise",
    "Phase",
    "Projects",
    "Proposal",
    "Reconstructs",
    "Samples",
    "Selection",
    "capabilities",
]


LARGEST_IMAGE = 10**9
"""Numbers in one image at most: times `WIDEST` units they still can be counted."""


# No named tuple: of one the compiler of PyTorch 2.10 and before reads no property.
@dataclass(frozen=True, eq=False)
class Batch:
    """One batch as a method sees it.

    ``views`` holds one or more tensors N×C×H×W of floats in [0, 1], different
    looks at the same N images; ``index`` is the position of each image in its split.
    """

    views: tuple[Tensor, ...]
    index: Tensor

    @property
    def x(self) -> Tensor:
        """The images, for a method that looks once."""
        return self.views[0]


class Losses(NamedTuple):
    """What a phase minimises, and every term worth logging by its name.

    Each is a vector over the examples of the batch, or a scalar of the batch as
    a whole (a learned scale, say). The loop takes the mean, once.
    """

    minimise: Tensor
    terms: Mapping[str, Tensor]


@dataclass(frozen=True)
class Noise:
    """Random numbers that a phase wants: one tensor N×shape, drawn from (seed, step)."""

    shape: tuple[int, ...]
    kind: Literal["normal", "uniform"] = "normal"
    shared: bool = False
    """One tensor of this very shape for the whole batch, the same on every device, and not one for each image."""


@dataclass(frozen=True)
class Group:
    """Parameters that share an optimizer, named by the submodules that hold them."""

    modules: tuple[str, ...]
    optimizer: OptimizerConfig


@dataclass(frozen=True)
class Phase:
    """One kind of update. A step runs every phase in order, each ``repeats`` times on fresh batches."""

    name: str
    groups: tuple[Group, ...]
    noise: Mapping[str, Noise] = field(default_factory=dict)
    repeats: int = 1
    images: bool = True
    """Whether it looks at images; one that does not is given a batch without views."""


class Moment(NamedTuple):
    """A point of the training at which the method is looked at, after ``step`` of ``total`` steps.

    ``due`` is true in the rhythm of the validation and at the end; ``landmark`` at
    steps 0, 1, 2, 5, 10, 20, 50 … and at the end, the same in runs of any length.
    """

    step: int
    total: int
    due: bool
    landmark: bool


class Selection(NamedTuple):
    """The validation metric that decides which weights are the best."""

    metric: str
    better: Literal["higher", "lower"]

    def improves(self, value: float, best: float | None) -> bool:
        """Whether later weights with ``value`` are to replace those with ``best`` (any replace none).

        Of equals the later ones win: they are trained for longer, and where the metric has
        nothing to tell apart, as with classes that even an untrained network separates, they alone are.
        """
        return best is None or (value >= best if self.better == "higher" else value <= best)


@dataclass(frozen=True)
class DataSpec:
    """What a method may know about the data when it is built: shape C×H×W and kind of values.

    ``values`` is ``binary`` also where grey levels are binarized on the way in.
    """

    shape: tuple[int, int, int]
    values: Literal["binary", "grey", "colour"]
    mirrors: bool = True
    """Whether a mirror image is still one of its kind; a digit's is not."""
    mean: tuple[float, ...] = ()
    """Mean of each channel over the training images, in [0, 1]; one half where nobody measured."""
    std: tuple[float, ...] = ()
    """Standard deviation of each channel over the pixels of the training images."""

    def __post_init__(self) -> None:
        """Refuse what no images are: a checkpoint of a stranger may say it."""
        if not all(1 <= side <= WIDEST for side in self.shape) or self.dimensions > LARGEST_IMAGE:
            raise TriptychError(f"there are no images of {shown(list(self.shape))}, C×H×W")
        if not {len(self.mean), len(self.std)} <= {0, self.shape[0]}:
            raise TriptychError(f"the images have {self.shape[0]} channels, and moments of others")

    @property
    def dimensions(self) -> int:
        """Numbers in one image, C·H·W."""
        c, h, w = self.shape
        return c * h * w


class Method(nn.Module, ABC):
    """A way of learning without labels: the subclass that a file defines, whose name is the method's name.

    A subclass names its config class in ``Config`` and is built as
    ``Method(config, spec)``. It never calls ``backward``, never logs and never
    touches an optimizer.
    """

    Config: ClassVar[type[Any]]
    title: ClassVar[str] = ""
    """What a page calls it; without one, its name on the command line."""
    selection: Selection | None = None
    """Which weights are the best; of a class, or of a method with this config alone."""
    gauge: ClassVar[str]
    """The logged term that the progress bar shows."""
    cosine: ClassVar[str | None] = None
    """The logged term that is the mean cosine of predictions and targets, in [−1, 1]; `-NAME` where NAME is it with its
    sign turned. The verdict on a method that compares views asks for it, and does without where none is declared."""
    only_agrees: ClassVar[bool] = True
    """Whether that cosine is all that is optimised, so that a low one is a failure; False where something else is
    weighed against it, which may leave it low in a good network."""
    by_direction: ClassVar[bool] = True
    """Whether projections are compared by their directions alone, as by a cosine. Where their lengths count too, and they are to
    have a standard deviation of 1 in each dimension, that is their spread: directions do not show that all shrink to a point."""
    guard: ClassVar[str] = ""
    """What keeps the looks at all images from becoming one, as it reads after "see that": the advice after a collapse."""
    worth_compiling: ClassVar[bool] = True
    """Whether long runs on a CPU are compiled where nobody says; convolutions are slower for it there."""
    gathers: bool | None = None
    """Whether its losses compare the images of a batch with each other, and gather them by `triptych.nets.joint.gathered`
    from all devices that share a batch; False where every image's loss is its own, normalisation over the batch
    aside. One that does not say it is trained on one device: a comparison within parts would be another loss."""
    views: ViewsConfig | None = None
    """How the two views differ that a batch has of every image; none for a method that looks once, unchanged."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """To a type checker: what a method can do beyond this class is its own."""

    def __init__(self, config: Any, spec: DataSpec) -> None:
        super().__init__()
        self.config = config
        self.spec = spec

    @classmethod
    def resolve(cls, config: Any, spec: DataSpec) -> Any:
        """The config with every ``auto`` decided from the data; what the run folder records."""
        return config

    def formula(self) -> str:
        """What is optimised, with this config, in LaTeX, a line or more: the page opens with it; empty for none."""
        return ""

    @property
    def smallest_batch(self) -> int:
        """Images that a batch of the training needs: batch normalisation has nothing to compare one image with."""
        over_batch = nn.modules.batchnorm._BatchNorm
        return 2 if any(isinstance(module, over_batch) for module in self.modules()) else 1

    @property
    def normalises_jointly(self) -> bool:
        """Whether batch normalisation is over the whole batch where several devices share it; `batch_norm` in its config says ``local`` if not."""
        return getattr(self.config, "batch_norm", "joint") != "local"

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The phases of one step, in order."""

    @abstractmethod
    def losses(
        self, phase: str, batch: Batch, noise: Mapping[str, Tensor], progress: Tensor
    ) -> Losses:
        """The losses of one phase: pure, without ``.item()`` or a branch on a tensor's value.

        ``progress`` is the share of the training done, a scalar tensor in [0, 1).
        """

    def after_initialise(self) -> None:
        """Called once every parameter has its own initial value: for those that depend on others."""

    def after_update(self, phase: str) -> None:
        """Called after every update of a phase, each repeat: for what follows the weights from update to update.

        A power iteration, for instance. Like `losses` it works on tensors alone.
        """

    def after_step(self, progress: Tensor) -> None:
        """Called when all phases of a step are done, with the progress that their losses saw: the place for a moving average.

        Like `losses` it works on tensors alone, those of its buffers: where a step is recorded and replayed,
        Python runs once.
        """


class DiagonalGaussian(NamedTuple):
    """N(mean, diag(exp(log_variance))), both tensors N×d."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Mean + std · noise; noise N×d, or N×K×d for K samples of each."""
        mean, std = self.mean, (0.5 * self.log_variance).exp()
        if noise.ndim == mean.ndim + 1:
            mean, std = mean.unsqueeze(1), std.unsqueeze(1)
        return torch.addcmul(mean, std, noise)


STANDARD_NORMAL = "N(0, I)"
"""What the prior of a method is called that has none of its own."""

Proposal: TypeAlias = Any
"""What `HasLikelihood.posterior` gives: a NamedTuple of tensors with one row an image."""


@runtime_checkable
class Decodes(Protocol, metaclass=Capability):
    """Turns latent vectors into images: a decoder or a generator. They are from N(0, I), or from the prior of `HasPrior`."""

    latent: int

    def decode(self, z: Tensor) -> Tensor:
        """N×latent → N×C×H×W in [0, 1]."""
        ...


@runtime_checkable
class Samples(Protocol, metaclass=Capability):
    """Draws images: statistics of what a model makes rest on these."""

    latent: int

    def sample(self, z: Tensor) -> Tensor:
        """N×latent from the prior → N×C×H×W in [0, 1], as the model's own distribution has them."""
        ...


@runtime_checkable
class HasCritic(Protocol, metaclass=Capability):
    """Scores images with a function that was trained to tell them from samples: a critic or a discriminator."""

    critic: nn.Module
    """N×C×H×W, scaled → N scores."""

    def scaled(self, x: Tensor) -> Tensor:
        """Images in [0, 1] in the units that the critic sees."""
        ...


@runtime_checkable
class LipschitzCritic(HasCritic, Protocol, metaclass=Capability):
    """Has a critic that was trained to be K-Lipschitz: no slope of it is to be above K. Of another nothing is asked."""

    lipschitz: float
    """K, of scores over Euclidean distances of scaled images."""


@runtime_checkable
class Encodes(Protocol, metaclass=Capability):
    """Turns images into features, which neighbours and probes are asked about."""

    def encode(self, x: Tensor) -> Tensor:
        """N×C×H×W in [0, 1] → N×features."""
        ...


@runtime_checkable
class Projects(Protocol, metaclass=Capability):
    """Learns by comparing views of an image, not by its features but by projections of them.

    How well predictions and targets agree is known only of a method whose `Method.cosine` names the term.
    """

    views: ViewsConfig | None

    def encode(self, x: Tensor) -> Tensor:
        """N×C×H×W in [0, 1] → N×features."""
        ...

    def project(self, h: Tensor) -> Tensor:
        """N×features, as `encode` gives them → N×projection, where views are compared."""
        ...


@runtime_checkable
class Reconstructs(Protocol, metaclass=Capability):
    """Turns images into latents and back."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """N×C×H×W in [0, 1] → the same shape."""
        ...


@runtime_checkable
class HasLikelihood(Protocol, metaclass=Capability):
    """A latent-variable model with a proposal for its posterior.

    Its latents may lie on several levels: ``latent`` counts all of their coordinates, and noise is for all of them.
    """

    latent: int
    likelihood: str
    """Which p(x|z): part of every protocol."""

    def posterior(self, x: Tensor) -> Proposal:
        """What is known of z from N×C×H×W images before noise comes in: a NamedTuple of tensors with N rows each.

        `DiagonalGaussian` where q(z|x) is one. Another holds whatever `log_weights` wants of an image, so that it is
        computed once for any number of samples; whoever holds it takes rows of it and hands them back.
        """
        ...

    def elbo(self, x: Tensor, noise: Tensor) -> Mapping[str, Tensor]:
        """``elbo``, ``reconstruction`` and ``kl`` in nats an image, from one sample of z; noise N×latent.

        Further terms (the divergence of each level, say) are measured under their own names.
        """
        ...

    def log_weights(self, x: Tensor, q: Proposal, noise: Tensor) -> Tensor:
        """Log p(x, z) − log q(z|x) in nats, N×K, for the z ~ q(z|x) that noise N×K×latent from N(0, I) makes of q."""
        ...


@runtime_checkable
class HasPrior(Protocol, metaclass=Capability):
    """Says what its prior p(z) is, and draws from it: of a method that does not, it is N(0, I)."""

    prior: str
    """What it is called: part of the protocol of what rests on it, where it is not `STANDARD_NORMAL`."""
    divergence: str
    """How `HasLikelihood.elbo` computes the divergence from it, for the protocol: ``analytic``, ``Monte-Carlo``."""

    def draw_prior(self, noise: Tensor) -> Tensor:
        """Noise N×latent from N(0, I) → z ~ p(z), N×latent, the same for the same noise."""
        ...


@runtime_checkable
class HasCoordinateKL(Protocol, metaclass=Capability):
    """Tells the divergence of each latent coordinate where that is more than one diagonal Gaussian against another."""

    def kl_per_coordinate(self, x: Tensor, noise: Tensor) -> Tensor | None:
        """N×latent in nats, which sum to ``kl`` of `HasLikelihood.elbo`; none where the prior does not factorise."""
        ...


@runtime_checkable
class HasImportanceBound(Protocol, metaclass=Capability):
    """Is trained on the importance-weighted bound with k samples: validation watches it beside the ELBO."""

    bound_samples: int
    """k; with 1 it is the ELBO, and not watched twice."""


_PROTOCOLS: tuple[type, ...] = (
    Decodes,
    Samples,
    HasCritic,
    LipschitzCritic,
    Encodes,
    Projects,
    Reconstructs,
    HasLikelihood,
    HasPrior,
    HasCoordinateKL,
    HasImportanceBound,
)


def capabilities(method: object) -> tuple[str, ...]:
    """The names of the protocols of this file that a method has.

    Example:
        >>> class Codes:
        ...     latent = 2
        ...     def encode(self, x): ...
        ...     def decode(self, z): ...
        >>> capabilities(Codes())
        ('Decodes', 'Encodes')
    """
    return tuple(what.__name__ for what in _PROTOCOLS if isinstance(method, what))
