"""A run or study at a glance: one number and one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from triptych.reporting.parts.charts import Chart
from triptych.reporting.parts.pictures import inlined, mosaic
from triptych.reporting.parts.tables import value_with_error
from triptych.reporting.table import at_the_weights
from triptych.runs import Run

__all__ = [
    "Hero",
    "first_chart",
    "run_hero",
]

COLUMNS, ROWS = 8, 4
"""Samples in the picture."""

HEADLINES = {
    "test/log_likelihood": "nats an image, test log-likelihood",
    "test/frechet": "Fréchet distance to test images",
    "test/knn_top1": "of test images right by their neighbours",
    "valid/elbo": "nats an image, validation ELBO",
}
"""In this order, the first that a run has."""


class Hero(NamedTuple):
    """The number, what it is, and a picture or the chart whose lines stand for one."""

    value: str
    label: str
    url: str = ""
    alt: str = ""
    chart: Chart | None = None


def run_hero(run: Run, charts: Sequence[Chart]) -> Hero | None:
    """The number that says most about a run, with its samples, or with its curve where it draws none."""
    value, label = _headline(run)
    arrays = run.arrays("samples")
    moments = run.moments()
    images = arrays["images"] if arrays else moments[max(moments)] if moments else None
    if images is not None:
        images = np.ascontiguousarray(images[: COLUMNS * ROWS])
        return Hero(value, label, inlined(mosaic(images, COLUMNS), 80), f"{len(images)} samples")
    chart = first_chart(charts, ("test-knn-top1", "elbo", "train-loss"))
    return Hero(value, label, chart=chart) if value or chart else None


def _headline(run: Run) -> tuple[str, str]:
    results = run.results()
    for name, label in HEADLINES.items():
        value = results.get(name, {}).get("value")
        if isinstance(value, (int, float)):
            return value_with_error(name, value, results[name]["stderr"]), label
        if (logged := at_the_weights(run, name)) is not None:
            step, value = logged
            return value_with_error(name, value, None), f"{label}, in training at step {step:,}"
    return "", ""


def first_chart(charts: Sequence[Chart], names: Sequence[str]) -> Chart | None:
    """The first chart of these names that there is, else the first of all."""
    by_name = {chart.name: chart for chart in charts}
    return next((by_name[name] for name in names if name in by_name), next(iter(charts), None))
