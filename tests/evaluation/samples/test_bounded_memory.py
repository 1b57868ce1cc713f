"""What is measured and drawn of many samples takes the memory of their features, and not that of their images."""

import weakref
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from triptych.data.spec import Dataset, Images
from triptych.evaluation.samples import classes, distances, lipschitz
from triptych.evaluation.samples.extractors import Extractor
from triptych.evaluation.samples.prior import prior_blocks
from triptych.evaluation.subject import BLOCK, Subject, as_levels

SHAPE = (3, 16, 16)
IMAGE = 4 * 3 * 16 * 16
FEATURES = Extractor("four", lambda x: x.flatten(1)[:, :4].contiguous())


class Live(TorchDispatchMode):
    """Counts the bytes of all tensors that exist at once, of those made within it."""

    def __init__(self) -> None:
        super().__init__()
        self.held: Counter[int] = Counter()
        self.bytes = self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, size = storage.data_ptr(), storage.nbytes()
                if size:
                    self.bytes += size * (self.held[key] == 0)
                    self.held[key] += 1
                    weakref.finalize(tensor, self.gone, key, size)
        self.peak = max(self.peak, self.bytes)
        return found

    def gone(self, key: int, size: int) -> None:
        self.held[key] -= 1
        self.bytes -= size * (self.held[key] == 0)


class Sampler(nn.Module):
    """Uniformly grey images, and a critic of them."""

    latent, method_name, lipschitz = 8, "", 1.0

    def sample(self, z):
        return torch.sigmoid(z.mean(1)[:, None, None, None]).expand(-1, *SHAPE).contiguous()

    def scaled(self, x):
        return x

    def critic(self, x):
        return x.square().flatten(1).mean(1)


class Judge:
    classes = ("dark", "light")

    def network(self, x):
        return torch.stack([1 - x.mean((1, 2, 3)), x.mean((1, 2, 3))], 1)


def features_of_samples(subject: Subject, count: int) -> None:
    distances._sample_features(subject, subject.method, count, FEATURES)


def features_of_images(subject: Subject, count: int) -> None:
    distances._real_features(subject, "train", torch.arange(count), FEATURES)


def predicted_classes(subject: Subject, count: int) -> None:
    classes.SAMPLES = count
    classes._predicted(subject, Judge())


def slopes_of_the_critic(subject: Subject, count: int) -> None:
    lipschitz.audit(subject, "train", count)


def pictures(subject: Subject, count: int) -> None:
    assert sum(len(as_levels(images)) for images in prior_blocks(subject, count)) == count


def peak(work: Callable[[Subject, int], None], count: int) -> int:
    """Bytes of tensors at once, at most, while so many samples are measured."""
    random = np.random.default_rng(0)
    train = Images(random.integers(0, 256, (20 * BLOCK, *SHAPE), dtype=np.uint8), None)
    data = Dataset("d", "D", {"train": train}, None, "colour", "")
    subject = Subject(Sampler(), data, "none", torch.device("cpu"))
    with Live() as live:
        work(subject, count)
    return live.peak


@pytest.mark.parametrize(
    "work",
    [features_of_samples, features_of_images, predicted_classes, slopes_of_the_critic, pictures],
)
def test_memory_is_that_of_a_block(work, monkeypatch: pytest.MonkeyPatch):
    """Five times as many samples take more by their latents, features and norms alone."""
    monkeypatch.setattr(classes, "SAMPLES", 0)
    few, many = peak(work, 4 * BLOCK), peak(work, 20 * BLOCK)
    assert few > BLOCK * IMAGE, "the images of a block are counted"
    # 8 latents of each, and what is made of them, where an image has 768 numbers.
    assert many - few < 16 * BLOCK * IMAGE / 12


def test_images_that_are_all_held_would_be_seen():
    def everything(subject: Subject, count: int) -> None:
        torch.cat(list(prior_blocks(subject, count)))

    few, many = peak(everything, 4 * BLOCK), peak(everything, 20 * BLOCK)
    assert many - few >= 16 * BLOCK * IMAGE
