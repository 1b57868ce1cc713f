"""Which classes a model draws too often or too seldom: the test of its histogram, on its samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.evaluation.samples.classifier import LabelClassifier
from triptych.evaluation.samples.histogram import (
    ALPHA,
    MISSING,
    SHIFTS,
    Array,
    could_be_missing,
    draws_for,
    histogram_test,
    marks,
    unmix,
    verdict,
)
from triptych.evaluation.samples.prior import from_prior
from triptych.evaluation.subject import BLOCK, Subject, generator
from triptych.runs import Result
from triptych.seeds import derive
from triptych.types import Samples

__all__ = ["class_histogram"]

SAMPLES = 10_000
"""Images that are drawn and classified."""


def _predicted(subject: Subject, classifier: LabelClassifier) -> Array:
    """How many of the samples the classifier takes for each class; the same latents for every run."""
    method, device = subject.method, subject.device
    assert isinstance(method, Samples)

    def predict(number: int) -> Tensor:
        draw = generator(device, "class histogram", number)
        with torch.inference_mode():
            noise = torch.randn(BLOCK, method.latent, generator=draw, device=device)
            z = from_prior(subject.method, noise)
            found: Tensor = classifier.network(method.sample(z)).argmax(-1)
        return found

    blocks = range(SAMPLES // BLOCK)
    found = subject.shared(predict, blocks, f"class histogram ({BLOCK} samples)")
    counts = torch.cat(found).bincount(minlength=len(classifier.classes))
    return counts.cpu().numpy()


def class_histogram(
    subject: Subject, classifier: LabelClassifier, split: str
) -> tuple[dict[str, Result], dict[str, Array]]:
    """``samples/class_histogram``: do the samples have the training data's classes in their shares?

    ``split`` is the one that the classifier was tested on. The value is a table
    with one list for each quantity, in the order of ``classes``; the arrays are
    ``counts`` (K) and ``confusion`` (K×K).
    """
    counts = _predicted(subject, classifier)
    confusion, training = (
        np.asarray(classifier.confusion),
        np.asarray(classifier.training_histogram),
    )
    value = _table(classifier, counts, confusion, training)
    protocol = subject.protocol(
        split,
        samples=SAMPLES,
        classifier=classifier.identity,
        confusion=f"{split} ({confusion.sum()})",
        null="predicted counts follow training shares x confusion",
        estimator=(
            "|z| of each class, parametric bootstrap of the likeliest confusion under the null "
            f"({draws_for(len(counts))} draws, largest p of {len(SHIFTS)} such), Bonferroni over classes"
        ),
        alpha=ALPHA,
        missing=MISSING,
        unmixing="maximum likelihood on the simplex, for display only",
    )
    note = (
        "a table, standard errors by class; the confusion was measured on real images and may not "
        "transfer to blurry samples"
    )
    result = Result(value, None, SAMPLES, protocol, note)
    return {"samples/class_histogram": result}, {"counts": counts, "confusion": confusion}


def _table(
    classifier: LabelClassifier, counts: Array, confusion: Array, training: Array
) -> dict[str, Any]:
    """The test and the un-mixed shares, as JSON has them."""
    random = np.random.default_rng(derive(0, "evaluate", "class histogram"))
    test, shares = histogram_test(counts, training, confusion, random), unmix(counts, confusion)
    marked = marks(test, training, shares)
    judging = confusion.sum(1)
    unseen = could_be_missing(counts, training, confusion, random)
    per_class = {
        "training_share": training / training.sum(),
        "expected_share": test.expected,
        "predicted_share": test.predicted,
        "stderr": test.stderr,
        "unmixed_share": shares,
        "z": test.z,
        "p_adjusted": test.adjusted,
        "critical_z": test.critical,
    }
    return {
        "verdict": verdict(classifier.classes, test, marked, unseen, judging[training > 0]),
        "p": float(test.p),
        "could be missing": [
            name for name, hidden in zip(classifier.classes, unseen, strict=True) if hidden
        ],
        "classifier_accuracy": classifier.accuracy,
        "classes": list(classifier.classes),
        "mark": marked,
        **{name: np.round(v.astype(float), 6).tolist() for name, v in per_class.items()},
    }
