"""What the reference report's figure of SimSiam's ablations shows, and how a run leaves its protocol.

Source: IFT6135 Representation Learning, assignment 3, practical part (April 2022), Figure 8:
ResNet-18 with the ImageNet stem on CIFAR-10, 200 epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from triptych.reporting.findings.finding import Finding
from triptych.reporting.reference.protocol import (
    Allowed,
    Reference,
    Results,
    differing,
    look_up,
    measured_against,
    number_against,
)
from triptych.runs import Run

__all__ = [
    *(
        "COLLAPSED",
        "CURVES",
        "EPOCHS",
        "LEARNED",
        "LINEAR",
        "LOSS_READ_OFF",
        "PROTOCOL",
        "READ_OFF",
    ),
    *("REFERENCE", "arms", "cut_short", "differences", "final", "measured_otherwise"),
]

EPOCHS = 200.0
"""The length of its training."""

Curve = tuple[tuple[float, ...], tuple[float, ...]]

_FROM_TENTH, _FROM_START = (10.0, 199.0), (0.0, 199.0)

CURVES: Mapping[str, Mapping[str, Curve]] = {
    "train/loss": {
        "default": (
            (0.0, 25.0, 50.0, 100.0, 150.0, 199.0),
            (-0.32, -0.64, -0.68, -0.72, -0.737, -0.754),
        ),
        "no stop-gradient": (_FROM_TENTH, (-0.99, -0.99)),
        "no predictor": (_FROM_TENTH, (-0.99, -0.99)),
        "fixed predictor": (_FROM_START, (-0.31, -0.31)),
    },
    "test/knn_top1": {
        "default": (
            (0.0, 25.0, 50.0, 75.0, 100.0, 125.0, 150.0, 175.0, 199.0),
            (0.22, 0.397, 0.501, 0.531, 0.587, 0.634, 0.663, 0.681, 0.686),
        ),
        "no stop-gradient": (_FROM_START, (0.10, 0.10)),
        "no predictor": (_FROM_START, (0.11, 0.11)),
        "fixed predictor": (_FROM_START, (0.16, 0.16)),
    },
}
"""Metric → arm → epochs and values, all read off the figure, so approximate; kNN as a share."""

LINEAR: Mapping[str, tuple[float, float]] = {
    "default": (0.662, 0.662),
    "no stop-gradient": (0.10, 0.11),
    "no predictor": (0.12, 0.12),
    "fixed predictor": (0.14, 0.15),
}
"""Accuracy of its linear probe on frozen features: a range, where the figure tells no more."""

READ_OFF, LOSS_READ_OFF = 0.01, 0.02
"""How far off a share, and a loss, may be that was read off its figure."""

LEARNED, COLLAPSED = ("default",), ("no stop-gradient", "no predictor")
"""Its arms that learn, and those whose loss nears −1."""

_SGD: Mapping[str, tuple[Any, ...]] = {
    "name": ("sgd",),
    "lr": (0.12,),
    "momentum": (0.9,),
    "weight_decay": (5e-4,),
    "warmup": (0.0,),
}
"""The rate is 0.03 for every 256 images of a batch."""

PROTOCOL: Allowed = {
    "method.name": ("simsiam",),
    "data.name": ("cifar10",),
    "data.image_size": (None, 32),
    "data.skip_broken": (False, None),
    "data.colour": ("auto", "colour"),
    "data.binarize": ("none",),
    "data.holdout": (None,),
    "method.depth": (18,),
    "method.stem": ("imagenet",),
    "method.width": (64,),
    "method.projector": ([512, 512, 2048],),
    # None: of before there was a choice.
    "method.batch_norm": ("joint", None),
    "method.predictor_width": (512,),
    "method.views.crop_scale": ([0.08, 1.0],),
    "method.views.crop_ratio": ([3 / 4, 4 / 3],),
    "method.views.jitter": (0.8,),
    "method.views.brightness": (0.4,),
    "method.views.contrast": (0.4,),
    "method.views.saturation": (0.4,),
    "method.views.hue": (0.1,),
    "method.views.grey": (0.2,),
    **{f"method.optimizer.{name}": allowed for name, allowed in _SGD.items()},
    "method.optimizer.schedule": ("cosine",),
    **{f"method.predictor_optimizer.{name}": allowed for name, allowed in _SGD.items()},
    "method.predictor_optimizer.schedule": ("constant",),
    "train.batch_size": (1024,),
    "train.duration": ("200 epochs",),
    # Other precision is other arithmetic, not another protocol; figures name it.
    "train.dtype": ("fp32", "bf16", "auto"),
    # None: of before there was a choice.
    "train.tf32": (True, False, None),
}
"""The fields of a run's config that make the reference's protocol beyond its arms, and the values they may have."""

NEIGHBOURS: Mapping[str, Any] = {"k": 200, "temperature": 0.1}
"""How the neighbours vote."""


def final(metric: str, arm: str) -> float:
    """The last value of an arm's curve.

    Example:
        >>> final("test/knn_top1", "default")
        0.686
    """
    return CURVES[metric][arm][1][-1]


def arm(config: Mapping[str, Any]) -> str | None:
    """The arm of the reference that a run is of, by its switches.

    Example:
        >>> arm({"method": {"stop_gradient": True, "predictor": "none"}})
        'no predictor'
    """
    method = config.get("method", {})
    switches = {
        (True, "mlp"): "default",
        (False, "mlp"): "no stop-gradient",
        (True, "none"): "no predictor",
        (True, "fixed-random"): "fixed predictor",
    }
    return switches.get((method.get("stop_gradient"), method.get("predictor")))


def arms(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Arm → the arm of the reference that it repeats; empty where the study is not the reference's ablation.

    That is one whose arms are its arms by their switches, each once, the default and others, and which
    differ in nothing else that belongs to the protocol: two learning rates of the default are none.

    Example:
        >>> default = {"method": {"name": "simsiam", "stop_gradient": True, "predictor": "mlp"}}
        >>> other = {"method": {"name": "simsiam", "stop_gradient": True, "predictor": "none"}}
        >>> arms({"a": default, "b": other}), arms({"slow": default, "fast": default})
        ({'a': 'default', 'b': 'no predictor'}, {})
    """
    named = {name: arm(config) for name, config in configs.items()}
    known = [name for name in named.values() if name is not None]
    once = len(set(known)) == len(named)
    if not (once and len(known) > 1 and "default" in known):
        return {}
    # A run has the precision that a study file's "auto" came to; which one is not of the protocol.
    for field in PROTOCOL.keys() - {"train.dtype"}:
        # Of an arm whose runs are not there only what its table changes is known.
        values = [v for c in configs.values() if (v := look_up(c, field)) is not None]
        if any(value != values[0] for value in values):
            return {}
    return {name: of for name, of in named.items() if of is not None}


def differences(config: Mapping[str, Any]) -> list[str]:
    """The fields in which a run's config leaves the reference's protocol.

    Example:
        >>> differences({"method": {"name": "simsiam", "stem": "half", "width": 64}})[:2]
        ['data.name', 'data.colour']
    """
    return differing(PROTOCOL, config)


def measured_otherwise(protocol: Mapping[str, Any]) -> list[str]:
    """The fields in which a kNN accuracy was measured otherwise than the reference's.

    Example:
        >>> measured_otherwise({"k": 5, "temperature": 0.1})
        ['k']
    """
    return [field for field, value in NEIGHBOURS.items() if protocol.get(field) != value]


def cut_short(run: Run) -> list[str]:
    """The field ``train.duration`` where a run did not end at the reference's last epoch; else nothing."""
    epochs = [line["epoch"] for line in run.metrics() if "epoch" in line]
    whole = run.status() == "done" and bool(epochs) and epochs[-1] == EPOCHS
    return [] if whole else ["train.duration"]


def _neighbours(run: Run, results: Results, found: Finding) -> Finding:
    """The last value of the same arm's curve in its Figure 8b."""
    of = arm(run.config)
    if of is None:
        return found
    result, known = results["test/knn_top1"], final("test/knn_top1", of)
    found = found._replace(title="kNN accuracy (Figure 8)", figures=(8,))
    otherwise = measured_otherwise(result["protocol"])
    read = known - READ_OFF, known + READ_OFF
    standing = measured_against(result["value"], result["stderr"], read)
    rule = "within: two standard errors and what a figure can be read to"
    given = f"{100 * known:.1f} % of its arm “{of}”"
    return number_against(found, given, otherwise, (standing, rule))


def _changed(run: Run) -> list[str]:
    """The fields in which a run leaves the protocol, its length among them."""
    return list(dict.fromkeys([*differences(run.config), *cut_short(run)]))


REFERENCE = Reference(PROTOCOL, _changed, {"neighbours": _neighbours})
