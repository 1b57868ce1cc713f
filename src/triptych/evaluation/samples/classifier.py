"""A small classifier trained on the labelled images, to judge with what a method draws.

What it says of a sample is an opinion: it never saw a blurry one. Its accuracy and
confusions on real images go with it wherever it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from triptych import checkpoint
from triptych.data.hashing import digest
from triptych.data.places import cache_root
from triptych.data.stream import Stream
from triptych.environment import has_bf16
from triptych.errors import TriptychError
from triptych.evaluation.subject import Subject, generator
from triptych.intervals import wilson
from triptych.locks import locked
from triptych.nets.classifier import Classifier
from triptych.nets.initialise import initialise

__all__ = ["LabelClassifier", "label_classifier", "weakness"]

RECIPE = "1"
"""To be raised whenever the same images would give other weights: part of the name in the cache."""

BATCH = 64
EPOCHS = 10
STEPS = (300, 2500)
"""Fewest updates, where there are few images, and most, where 10 epochs would take minutes."""
RATE, DECAY = 4e-3, 0.05


@dataclass(frozen=True, eq=False)
class LabelClassifier:
    """A trained classifier and how far to trust it.

    ``confusion`` counts the images of the judged split whose class was trained on, K×K, rows the true
    class, columns the predicted; ``training_histogram`` counts the labels it was trained
    on, K; ``identity`` names its very weights for protocols.
    """

    network: Classifier
    classes: tuple[str, ...]
    accuracy: float
    confusion: npt.NDArray[np.int64]
    training_histogram: npt.NDArray[np.int64]
    identity: str


def label_classifier(subject: Subject, split: str) -> LabelClassifier:
    """The classifier of the subject's training images, from the cache or trained now, tried on a split.

    Raises `TriptychError` for data without labels.
    """
    labels = _labels(subject, "train")
    names = subject.dataset.classes or tuple(map(str, range(int(labels.max()) + 1)))
    network = _trained(subject, len(names))
    confusion = _confusion(subject, split, network)
    accuracy = float(np.trace(confusion) / confusion.sum())
    weights = [(k, v.cpu().numpy().tobytes().hex()) for k, v in network.state_dict().items()]
    return LabelClassifier(
        network,
        tuple(names),
        accuracy,
        confusion,
        np.bincount(labels, minlength=len(names)),
        f"conv classifier {digest(weights)[:8]}, {split} accuracy {accuracy:.3f}",
    )


def weakness(confusion: npt.NDArray[np.int64]) -> str:
    """Why a classifier with this confusion is not asked, or nothing: it must beat naming one class always.

    The lower end of Wilson's 95 % interval of its accuracy is to be above the share of the most frequent class.

    Example:
        >>> weakness(np.array([[5, 5], [5, 5]]))
        'the classifier that would judge them is right for 10 of 20 images: not surely more than the 10 of one class'
        >>> weakness(np.array([[9, 1], [1, 9]]))
        ''
    """
    right, total = int(np.trace(confusion)), int(confusion.sum())
    most = int(confusion.sum(1).max())
    if wilson(right / total, total)[0] > most / total:
        return ""
    return (
        f"the classifier that would judge them is right for {right:,} of {total:,} images: "
        f"not surely more than the {most:,} of one class"
    )


def _labels(subject: Subject, split: str) -> npt.NDArray[np.int64]:
    labels = subject.dataset.splits[split].labels
    if labels is None:
        raise TriptychError(
            f"{subject.dataset.title} has no labels to train a classifier on; "
            "take the features of another run: --features RUN"
        )
    return labels


def _trained(subject: Subject, classes: int) -> Classifier:
    """The classifier in ``eval()`` with frozen weights, which are those of the first rank."""
    network = Classifier(subject.dataset.shape, classes)
    network.load_state_dict(subject.ranks.by_first(lambda: _weights(subject, classes)))
    return network.to(subject.device).eval().requires_grad_(False)


def _weights(subject: Subject, classes: int) -> dict[str, Tensor]:
    """Those in the cache, or trained now and put there; of two processes at once one trains, the other waits."""
    dataset = subject.dataset
    key = digest((RECIPE, dataset.fingerprint, subject.binarize, *dataset.shape))[:32]
    path = cache_root() / "classifiers" / f"{key}.safetensors"
    network = Classifier(dataset.shape, classes)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock")):
            if not _load(network, path):
                _fit(network, subject)
                weights = {checkpoint.WEIGHTS + k: v for k, v in network.state_dict().items()}
                checkpoint.save(path, weights, {"recipe": RECIPE, "data": dataset.title})
    except OSError as error:
        raise TriptychError(
            f"cannot keep the classifier in '{path.parent}' ({error.strerror}); "
            "name a folder that can be written in the variable TRIPTYCH_CACHE"
        ) from None
    return {name: value.cpu() for name, value in network.state_dict().items()}


def _load(network: Classifier, path: Path) -> bool:
    """Whether the cache had the weights; a file that is damaged is as good as none, it can be made again."""
    try:
        tensors, _ = checkpoint.load(path)
        checkpoint.load_weights(network, tensors, path)
    except TriptychError:
        return False
    return True


def _fit(network: Classifier, subject: Subject) -> None:
    """Cross-entropy on shifted images, AdamW, one cycle of the learning rate (Smith and Topin 2017)."""
    images, device = subject.dataset.splits["train"], subject.device
    labels = torch.from_numpy(_labels(subject, "train")).to(device)
    stream = Stream(images, min(BATCH, len(images)), 0, device, subject.binarize)
    steps = min(max(EPOCHS * stream.batches_per_epoch, STEPS[0]), STEPS[1])
    initialise(network, 0)
    network.to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    draw = generator(torch.device("cpu"), "classifier")
    for step in range(steps):
        batch = stream.batch(step)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            logits = network(_shifted(batch.x, draw))
        F.cross_entropy(logits.float(), labels[batch.index.to(device)]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        subject.progress("training the classifier (steps)", step + 1, steps)


def _shifted(x: Tensor, draw: torch.Generator) -> Tensor:
    """Each image moved by up to a tenth of its side each way, its edge repeated; never flipped (digits)."""
    count, channels, height, width = x.shape
    reach = max(1, max(height, width) // 10)
    padded = F.pad(x, (reach,) * 4, mode="replicate")
    down, right = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=draw)
    rows = (down + torch.arange(height)).to(x.device)[:, None, :, None]
    columns = (right + torch.arange(width)).to(x.device)[:, None, None, :]
    image = torch.arange(count, device=x.device)[:, None, None, None]
    channel = torch.arange(channels, device=x.device)[None, :, None, None]
    return padded[image, channel, rows, columns]


def _confusion(subject: Subject, split: str, network: Classifier) -> npt.NDArray[np.int64]:
    truth, classes = _labels(subject, split), network.head.out_features

    def predict(number: int) -> Tensor:
        with torch.inference_mode():
            predicted: Tensor = network(subject.block(split, number)).argmax(-1)
        return predicted

    found = torch.cat(subject.map_blocks(split, predict)).cpu()
    # Of a class that it was not taught it knows nothing, and has perhaps no output.
    known = np.isin(truth, _labels(subject, "train"))
    pairs = truth[known] * classes + found.numpy()[known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
