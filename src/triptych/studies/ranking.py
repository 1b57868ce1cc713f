"""Which arms of a study are surely better than which others: every pair, corrected for how many pairs there are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from triptych.evaluation.statistics import Paired, holm, paired_t
from triptych.reporting.findings.finding import both

__all__ = ["LEVEL", "ROUNDING", "Pair", "Ranking", "judged", "ranked"]

LEVEL = 0.05
"""Adjusted p-values below it are called a difference."""

ROUNDING = 1e-9
"""Differences whose spread is such a part of their mean are all the same but for rounding."""


class Pair(NamedTuple):
    """Two arms, the better one first by their paired difference, first − second, with its adjusted p.

    That is the order of the means unless one arm lacks seeds: then the means are of other seeds than the difference.
    """

    first: str
    second: str
    test: Paired
    adjusted: float

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0 after the correction."""
        return self.adjusted < LEVEL and not self.test.low <= 0 <= self.test.high


class Ranking(NamedTuple):
    """Arms with the best mean first, and every pair of them that could be tested."""

    order: list[str]
    pairs: list[Pair]

    def above(self, arm: str) -> list[str]:
        """The arms that this one is surely better than."""
        return [pair.second for pair in self.pairs if pair.first == arm and pair.certain]

    def tables(self) -> dict[str, Any]:
        """As study.json holds it."""
        pairs = [
            {
                **{"first": pair.first, "second": pair.second, "certain": pair.certain},
                **{**pair.test._asdict(), "holm": pair.adjusted},
            }
            for pair in self.pairs
        ]
        return {"order": self.order, "pairs": pairs}

    def sentence(self, name: str, shown: Mapping[str, str], better: str) -> str:
        """Which arms differ for certain; of all others it is undecided.

        Args:
            name: the metric's title.
            shown: the mean of each arm in words.
            better: "higher" or "lower".

        Example:
            >>> near, far = {0: 0.50, 1: 0.53, 2: 0.49}, {0: 0.51, 1: 0.52, 2: 0.50}
            >>> low = {0: 0.10, 1: 0.13, 2: 0.091}
            >>> found = ranked({"a": near, "b": far, "c": low}, "higher")
            >>> found.sentence("accuracy", {"a": "51", "b": "51", "c": "11"}, "higher")
            'Ranking by accuracy (higher is better): b 51, a 51, c 11. Certain after correction for 3 comparisons: b and a before c. Undecided: b or a; add seeds.'
        """
        listed = ", ".join(f"{arm} {shown[arm]}" for arm in self.order)
        said = f"Ranking by {name} ({better} is better): {listed}. "
        count = len(self.pairs)
        many = "1 comparison" if count == 1 else f"{count} comparisons"
        sure: dict[tuple[str, ...], list[str]] = {}
        for arm in self.order:
            if above := self.above(arm):
                sure.setdefault(tuple(above), []).append(arm)
        if not self.pairs:
            return (
                f"{said}No two arms have two seeds in common, so all of it is undecided; add seeds."
            )
        open_pairs = [f"{p.first} or {p.second}" for p in self.pairs if not p.certain]
        if not sure:
            return f"{said}Undecided: after correction for {many} no two arms differ for certain; add seeds."
        before = "; ".join(f"{both(arms)} before {both(above)}" for above, arms in sure.items())
        said += f"Certain after correction for {many}: {before}."
        if not open_pairs:
            return said
        rest = ", ".join(open_pairs) if len(open_pairs) <= FEW else f"{len(open_pairs)} other pairs"
        return f"{said} Undecided: {rest}; add seeds."


FEW = 4
"""Undecided pairs that a sentence lists."""


def judged(differences: Sequence[float]) -> Paired:
    """Student's paired test; differences that are the same but for rounding have no spread that would say anything.

    Example:
        >>> judged([0.1 + 0.2, 0.3, 0.3]).p, judged([0.0, 0.0]).p
        (0.25, 1.0)
    """
    found = paired_t(differences)
    if 0 < found.stderr <= ROUNDING * abs(found.mean):
        return paired_t([differences[0]] * len(differences))
    return found


def ranked(values: Mapping[str, Mapping[int, float]], better: str) -> Ranking:
    """Arms by their means, and Holm's correction over all pairs that have two seeds or more in common.

    Args:
        values: arm → seed → value.
        better: "higher" or "lower".

    Example:
        >>> up, down = {0: 1.0, 1: 1.1, 2: 1.05}, {0: 0.0, 1: 0.11, 2: 0.04}
        >>> found = ranked({"a": down, "b": up, "none": {}}, "higher")
        >>> found.order, found.above("b")
        (['b', 'a'], ['a'])
    """
    sign = -1 if better == "higher" else 1
    means = {arm: math.fsum(of.values()) / len(of) for arm, of in values.items() if of}
    order = sorted(means, key=lambda arm: sign * means[arm])
    tests = {}
    for first, second in itertools.combinations(order, 2):
        of, other = values[first], values[second]
        differences = [of[seed] - other[seed] for seed in of if seed in other]
        if len(differences) > 1:
            test = judged(differences)
            if sign * test.mean > 0:
                first, second, test = second, first, judged([-d for d in differences])
            tests[first, second] = test
    adjusted = holm([test.p for test in tests.values()])
    pairs = [Pair(*arms, test, p) for (arms, test), p in zip(tests.items(), adjusted, strict=True)]
    return Ranking(order, pairs)
