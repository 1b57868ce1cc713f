"""What a study of representations found: which arms learn, which collapse, and how well a linear probe does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from triptych.reporting.findings.finding import Finding, percent
from triptych.reporting.study.arms import (
    KNN,
    LOSS,
    PROBE,
    Rise,
    collapsed,
    listed,
    means_of,
    noises,
    rises,
    surely_above,
    untrained,
)
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.words import rounded, value_with_error

__all__ = ["first", "study_findings"]

BESIDE = {"spread": "features/std", "rank": "features/effective_rank"}
"""What is told beside the loss, which alone is no sign of a collapse."""


def study_findings(folder: StudyFolder) -> dict[str, Finding]:
    """What can be said of a study, by name: where it was measured."""
    ways: Mapping[str, Callable[[StudyFolder], Finding | None]] = {
        "learning": _which_learn,
        "collapse": _which_collapse,
        "probe": _which_probe,
    }
    said = {name: find(folder) for name, find in ways.items()}
    return {name: finding for name, finding in said.items() if finding is not None}


def _which_learn(folder: StudyFolder) -> Finding | None:
    means = means_of(folder, KNN)
    if not means:
        return None
    starts = {arm: untrained(folder, arm) for arm in means}
    risen = {arm: rises(folder, arm, starts[arm]) for arm in means}
    shown = {arm: percent({"value": s["mean"], "stderr": s["stderr"]}) for arm, s in means.items()}
    paired = all(set(s["values"]) <= set(starts[arm]) for arm, s in means.items())
    known = any(rise != "unknown" for rise in risen.values())
    sentence = _learning(risen, shown, starts, paired) if known else _ends(shown)
    best, tied = first(folder, means, KNN)
    if list(risen.values()).count("yes") > 1 and risen[best] == "yes" and not tied:
        above = means[best]["mean"] - max(s["mean"] for arm, s in means.items() if arm != best)
        sentence += f" {best} ends highest, {100 * above:.1f} points above the next."
    return Finding("kNN accuracy of the arms", sentence, shows=("test-knn-top1",))


def _learning(
    risen: Mapping[str, Rise],
    shown: Mapping[str, str],
    starts: Mapping[str, Mapping[str, tuple[float, float]]],
    paired: bool,
) -> str:
    learn, others, near, unknown = (
        [a for a in risen if risen[a] == rise] for rise in ("yes", "no", "undecided", "unknown")
    )
    levels = [100 * value for by_seed in starts.values() for value, _ in by_seed.values()]
    low, high = f"{min(levels):.1f}", f"{max(levels):.1f}"
    start = f"{low} %" if low == high else f"{low} to {high} %"
    several = max(map(len, starts.values())) > 1
    often = "in every seed" if several else "with the one seed"
    often = often if paired else "in every seed of which that is known"
    rise = f"above that of the untrained encoder ({start}) by more than the errors, {often}"
    more = f" Of {listed(near, shown)} it is undecided." if near else ""
    more += f" Of {listed(unknown, shown)} that is not in the folder." if unknown else ""
    if not learn:
        none = "No arm of which that is known" if unknown else "No arm"
        whom = f": {listed(others, shown)}" if others else ""
        return f"{none} surely learns, that is, ends with a kNN accuracy {rise}{whom}.{more}"
    only = len(learn) == 1 and others and not unknown and not near
    said = f"{'Only ' if only else ''}{listed(learn, shown)} "
    said += "learns, that is, ends" if len(learn) == 1 else "learn, that is, end"
    said += f" with a kNN accuracy {rise}"
    if others:
        said += f"; {listed(others, shown)} {'does' if len(others) == 1 else 'do'} not"
    return f"{said}.{more}"


def _ends(shown: Mapping[str, str]) -> str:
    return (
        f"kNN accuracy at the end: {listed(list(shown), shown)}; what the untrained encoder "
        "scores is not in the folder."
    )


def _which_collapse(folder: StudyFolder) -> Finding | None:
    """By the verdicts, with the loss beside them: of arms that minimise several things no loss is told."""
    means, apart = means_of(folder, LOSS), LOSS in folder.found.get("apart", {})
    if not means and not apart:
        return None
    judged = [a for a in folder.arms if folder.found["arms"][a]["verdicts"]] if apart else means
    fallen = {arm: collapsed(folder, arm) for arm in judged}
    seeds = max((len(folder.found["arms"][arm]["runs"]) for arm in judged), default=0)
    if not apart:
        seeds = max(summary["n"] for summary in means.values())
    told = {arm: [] if apart else [_read_loss(s)] for arm, s in means.items()}
    brackets = [] if apart else ["the training loss at the end, which alone does not tell"]
    beside = {word: means_of(folder, name) for word, name in BESIDE.items()}
    if all(set(fallen) <= set(found) for found in beside.values()):
        # A loss near −1 is met by features that learn and by features that collapse: these tell them apart.
        for arm in fallen:
            loss = [f"loss {said}" for said in told.get(arm, [])]
            more = (
                f"{word} {rounded(of[arm]['mean'], of[arm]['stderr'])}"
                for word, of in beside.items()
            )
            told[arm] = [*loss, *more]
        brackets += [
            "the spread of the projections, 1 where it is even and 0 where all are the same",
            "and their rank, the directions that they use",
        ]
    shown = {arm: ", ".join(told.get(arm, [])) for arm in fallen}
    sentence = _collapsing(fallen, shown, seeds, "; ".join(brackets))
    title = "Collapse of the arms" if apart else "Loss of the arms"
    return Finding(title, sentence, shows=() if apart else ("train-loss",)) if sentence else None


def _read_loss(summary: Mapping[str, Any]) -> str:
    if summary["stderr"] is None:
        return rounded(summary["mean"])
    return value_with_error(LOSS, summary["mean"], summary["stderr"])


def _collapsing(
    fallen: Mapping[str, Rise], shown: Mapping[str, str], seeds: int, brackets: str
) -> str:
    """What is told of the arms, and which collapsed by their verdicts; only the former where there is no verdict."""
    yes, no, near, unknown = (
        [arm for arm in fallen if fallen[arm] == fact]
        for fact in ("yes", "no", "undecided", "unknown")
    )
    if not (yes or no or near):
        return f"Training loss at the end: {listed(unknown, shown)}." if any(shown.values()) else ""
    every, ever = "with the one seed", "with the one seed"
    if seeds > 1:
        every, ever = f"in each of {seeds} seeds", f"in any of {seeds} seeds"
    said = []
    if yes:
        what = "collapses" if len(yes) == 1 else "collapse"
        said.append(
            f"{listed(yes, shown)} {what} {every}, by the spread or rank of the projections"
        )
    if no:
        what = "does" if len(no) == 1 else "do"
        said.append(f"{listed(no, shown)} {what} not{'' if yes else f' collapse {ever}'}")
    if near:
        said.append(f"of {listed(near, shown)} it is undecided")
    if unknown:
        said.append(f"of {listed(unknown, shown)} there is no verdict")
    sentence = "; ".join(said)
    # An arm is called as it is, also at the beginning of a sentence.
    sentence = f"O{sentence[1:]}" if sentence.startswith("of ") and not (yes or no) else sentence
    return f"{sentence} (in brackets {brackets})." if brackets else f"{sentence}."


def _which_probe(folder: StudyFolder) -> Finding | None:
    means = means_of(folder, PROBE)
    if not means:
        return None
    best, tied = first(folder, means, PROBE)
    return Finding("Linear probe", _probing(best, tied, means), shows=("study-differences",))


def first(
    folder: StudyFolder, means: Mapping[str, Mapping[str, Any]], metric: str
) -> tuple[str, list[str]]:
    """The arm of the highest mean of a metric, and those that the errors do not tell apart from it."""
    best, noise = max(means, key=lambda arm: means[arm]["mean"]), noises(folder, metric, means)
    return best, [a for a in means if a != best and not surely_above(best, a, means, noise)]


def _probing(best: str, tied: Sequence[str], means: Mapping[str, Mapping[str, Any]]) -> str:
    shown = {arm: percent({"value": s["mean"], "stderr": s["stderr"]}) for arm, s in means.items()}
    ranked = sorted(means, key=lambda arm: -means[arm]["mean"])
    others = [arm for arm in ranked if arm != best and arm not in tied]
    alone = max(summary["n"] for summary in means.values()) == 1
    said = f"A linear probe on the frozen features{' of the one seed' if alone else ''}"
    if tied:
        said += f": {listed([arm for arm in ranked if arm not in others], shown)} cannot be told apart by their errors"
        return f"{said}; less often right in {listed(others, shown)}." if others else f"{said}."
    said += f" is right most often in {listed([best], shown)}"
    return f"{said}, before {listed(others, shown)}." if others else f"{said}."
