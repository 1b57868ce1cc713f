"""A trained backbone as a file for other programs, read back and compared before anybody gets it."""

from __future__ import annotations

import copy
import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from triptych import experiment
from triptych.capability import Capability
from triptych.errors import TriptychError, machine, unknown
from triptych.evaluation.representation.knn import knn_predict
from triptych.evaluation.subject import BLOCK, Network, Subject
from triptych.experiment import Trained
from triptych.files import staged
from triptych.progress import Progress, silent
from triptych.weights import Weights

__all__ = ["Check", "Exported", "Format", "HasBackbone", "export"]

Format = Literal["safetensors", "onnx"]

NORMALISATION = "x in [0, 1]: (x - mean) / std of each channel, then the backbone"

CLOSE = 1e-4
"""The largest difference of a feature, to the network that was exported, that a file may have."""

SPARE = 0.01
"""Share of images whose nearest neighbours' class a file may change beyond twice what rounding changes."""

QUERIES, BANK = 500, 2000
"""Held-out images, at most, on which a file is checked, and training images around them."""


@runtime_checkable
class HasBackbone(Protocol, metaclass=Capability):
    """Learns a network that is of use by itself, on images that are normalised first."""

    backbone: nn.Module
    """N×C×H×W, normalised → N×features."""
    mean: Tensor
    std: Tensor

    def encode(self, x: Tensor) -> Tensor:
        """N×C×H×W in [0, 1] → N×features: normalisation and backbone."""
        ...


class Check(NamedTuple):
    """How a file's features compare with those of the network in memory, on the same held-out images."""

    images: int
    difference: float
    """The largest of any feature of any image."""
    knn_top1: tuple[float, float] | None
    """Share right of nearest neighbours, in memory and from the file; none without labels."""
    changed: float = 0.0
    """Share of the images that nearest neighbours give another class from the file."""
    rounding: float = 0.0
    """Share that the network in float64 gives another class than in float32; looked at where ``changed`` is not small."""

    @property
    def good(self) -> bool:
        """Whether the file is the network, but for rounding."""
        return self.difference < CLOSE and self.changed <= 2 * self.rounding + SPARE


class Exported(NamedTuple):
    """A file that was written, and what its check found."""

    path: Path
    check: Check
    weights: Weights
    """Which weights of the run it holds."""


def export(
    path: str | Path,
    to: Format,
    out: str | Path | None = None,
    *,
    checkpoint: Literal["best", "last"] = "best",
    data_dir: str | Path | None = None,
    data: str | Path | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write the backbone of a run to ``out``, or to ``backbone.<format>`` in the run's folder.

    ``safetensors`` holds the weights under torchvision's names, without a classifier, and
    what to know about them as metadata. ``onnx`` is the graph from images N×C×H×W in [0, 1],
    any N, to features N×d, normalisation included. The file is read again and its features
    of real images compared with the network's; the name ``out`` is given to a good file only.

    Raises:
        TriptychError: the method has no backbone, packages for ONNX are missing, or the
            file is not what was exported.
    """
    if not isinstance(to, str) or to not in WRITERS:
        raise unknown("format", to, WRITERS)
    write, read, packages = WRITERS[to]
    trained = experiment.open_trained(
        path, checkpoint, data_dir=data_dir, data=data, device="cpu", progress=progress
    )
    subject, about = trained.subject, _about(trained)
    method = subject.method
    assert isinstance(method, HasBackbone)
    # After what no package can help with.
    if any(importlib.util.find_spec(package) is None for package in packages):
        raise TriptychError("ONNX needs more packages: pip install 'triptych[onnx]'")
    out = Path(out or trained.run.path / f"backbone.{to}")
    with machine("write", out), staged(out) as temporary:
        write(temporary, method, subject, about)
        check = _compare(subject, method, read(temporary, method))
        if not check.good:
            raise TriptychError(
                f"'{out}' was not written: read again it differs from the network by "
                f"{check.difference:.1e} on {check.images} images and gives another class for "
                f"{check.changed:.1%}; please report it with the versions of torch and onnxruntime"
            )
    return Exported(out, check, subject.made_with)


def _about(trained: Trained) -> dict[str, str]:
    """What a reader of the file is to know."""
    method, dataset, weights = (
        trained.subject.method,
        trained.subject.dataset,
        trained.subject.made_with,
    )
    if not isinstance(method, HasBackbone):
        raise TriptychError(
            f"'{trained.run.path}' is a run of {trained.config.method_name}, which has no backbone "
            "to export"
        )
    table = trained.run.config["method"]
    return {
        "method": trained.config.method_name,
        "data": trained.trained_on if trained.subject.trained_on else dataset.title,
        "fingerprint": trained.subject.trained_on or dataset.fingerprint,
        "checkpoint": weights.checkpoint,
        "step": str(weights.step),
        "weights": weights.digest,
        "images": "x".join(map(str, dataset.shape)),
        "normalisation": NORMALISATION,
        "mean": json.dumps(method.mean.flatten().tolist()),
        "std": json.dumps(method.std.flatten().tolist()),
        **{key: str(table[key]) for key in ("depth", "stem", "width") if key in table},
    }


def _compare(subject: Subject, method: HasBackbone, other: Network) -> Check:
    """Compare the method's features of held-out images, and the classes they lead to, with another network's."""
    splits = subject.dataset.splits
    split = next(name for name in ("test", "valid", "train") if name in splits)
    queries, bank = subject.examples(split, QUERIES), subject.examples("train", BANK)
    first, second = _features(method.encode, queries), _features(other, queries)
    difference = float((first - second).abs().max())
    truth, classes = splits[split].labels, splits["train"].labels
    if truth is None or classes is None:
        return Check(len(queries), difference, None)
    labels = torch.from_numpy(classes[subject.spread("train", BANK)])
    right = torch.from_numpy(truth[subject.spread(split, QUERIES)])
    here = knn_predict(_features(method.encode, bank), labels, first)
    there = knn_predict(_features(other, bank), labels, second)
    scores = _share(here == right), _share(there == right)
    changed, rounding = _share(here != there), 0.0
    if changed > SPARE:
        network = _exact(method)
        exact = knn_predict(_features(network, bank), labels, _features(network, queries))
        rounding = _share(here != exact)
    return Check(len(queries), difference, scores, changed, rounding)


def _share(these: Tensor) -> float:
    return float(these.double().mean())


def _exact(method: HasBackbone) -> Network:
    """The same network in float64."""
    assert isinstance(method, nn.Module)
    exact = copy.deepcopy(method).double()
    return lambda images: exact.encode(images.double())


def _features(network: Network, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network(x) for x in torch.split(images, BLOCK)])


def _write_safetensors(
    path: Path, method: HasBackbone, subject: Subject, about: Mapping[str, str]
) -> None:
    from safetensors.torch import save

    weights = {name: value.contiguous() for name, value in method.backbone.state_dict().items()}
    path.write_bytes(save(weights, dict(about)))


def _read_safetensors(path: Path, method: HasBackbone) -> Network:
    """The method with its backbone from the file."""
    from safetensors.torch import load_file

    fresh = copy.deepcopy(method)
    for value in fresh.backbone.state_dict().values():
        value.zero_()
    fresh.backbone.load_state_dict(load_file(path))
    return fresh.encode


class _Encoder(nn.Module):
    """What the graph is made of."""

    def __init__(self, method: HasBackbone) -> None:
        super().__init__()
        self.method = method

    def forward(self, images: Tensor) -> Tensor:
        return self.method.encode(images)


def _write_onnx(
    path: Path, method: HasBackbone, subject: Subject, about: Mapping[str, str]
) -> None:
    import onnx

    with _quiet():
        torch.onnx.export(
            _Encoder(method).eval(),
            (torch.zeros(2, *subject.dataset.shape),),
            path,
            input_names=["images"],
            output_names=["features"],
            # With an end: without one PyTorch 2.7 finds that the number must not be 2⁶³ − 1, and refuses.
            dynamic_shapes={"images": {0: torch.export.Dim("N", max=2**31)}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    graph = onnx.load(path)
    onnx.helper.set_model_props(graph, dict(about))
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of its own internals from a person who can do nothing about it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _read_onnx(path: Path, method: HasBackbone) -> Network:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def features(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["features"], {"images": images.numpy()})[0])

    return features


Writer = Callable[[Path, HasBackbone, Subject, Mapping[str, str]], None]
Reader = Callable[[Path, HasBackbone], Network]

WRITERS: Mapping[str, tuple[Writer, Reader, tuple[str, ...]]] = {
    "safetensors": (_write_safetensors, _read_safetensors, ()),
    "onnx": (_write_onnx, _read_onnx, ("onnx", "onnxruntime", "onnxscript")),
}
"""How each format is written and read, and the packages that it needs."""
