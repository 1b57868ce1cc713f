"""What a study of SimSiam's arms found, beside the reference report's Figure 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from triptych.report import reference_simsiam as reference
from triptych.report.page.finding import (
    ERRORS,
    Agreement,
    Finding,
    Standing,
    differs,
    measured_against,
    percent,
)
from triptych.report.page.study_arms import (
    KNN,
    config_of,
    listed,
    means_of,
    order,
    rises,
    untrained,
)
from triptych.report.page.tables import value_with_error
from triptych.report.study_folder import StudyFolder

__all__ = ["study_findings"]

LOSS, PROBE = "train/loss", "test/linear_top1"

NEAR = -0.95
"""A loss below it nears −1, at which two views agree whatever the image."""

LOSS_READ_OFF = 0.02
"""How far off the reference's losses may be, which were read off its figure."""


class Arm(NamedTuple):
    """One arm: its name, and which of the reference's it is."""

    name: str
    known: str | None


def study_findings(folder: StudyFolder) -> list[Finding]:
    """Which arms learn, which near a loss of −1, and how well a linear probe does: where it was measured."""
    config = config_of(folder, folder.found["control"])
    arms = [Arm(name, reference.arm(config_of(folder, name))) for name in folder.arms]
    if config.get("method", {}).get("name") != "simsiam":
        arms = [Arm(arm.name, None) for arm in arms]
    changed = reference.differences(config)
    said = (
        _which_learn(folder, arms, changed),
        _which_near(folder, arms, changed),
        _which_probe(folder, arms, changed),
    )
    return [finding for finding in said if finding is not None]


def _which_learn(
    folder: StudyFolder, arms: Sequence[Arm], changed: Sequence[str]
) -> Finding | None:
    means = means_of(folder, KNN)
    if not means:
        return None
    floors = {arm: untrained(folder, arm) for arm in means}
    shown = {arm: percent({"value": s["mean"], "stderr": s["stderr"]}) for arm, s in means.items()}
    learn = [arm for arm in means if rises(folder, arm, floors[arm])]
    others = [arm for arm in means if arm not in learn]
    known = any(floors.values())
    sentence = _learning(learn, others, shown, floors) if known else _unfloored(shown)
    named = {arm.name: arm.known for arm in arms if arm.name in means}
    if None in named.values() or not named:
        return Finding("kNN accuracy of the arms", sentence, shows=("test-knn-top1",))
    agreement, because = order(named, means)
    if known:
        same = {named[arm] for arm in learn} == {
            a for a in reference.LEARNED if a in named.values()
        }
        agreement = "agrees" if same and agreement == "agrees" else "disagrees"
        only = "the same arms learn" if same else "other arms learn than in the reference"
        because = f"{only}; {because}"
    return Finding(
        "Which arms learn (Figure 8b)",
        sentence,
        "only the default learns: kNN 68.6 %; fixed predictor 16 %, no predictor 11 %, no stop-gradient 10 %",
        *_stands(KNN, named, means, changed),
        (8,),
        ("test-knn-top1", "study-curves"),
        agreement,
        because,
    )


def _learning(
    learn: Sequence[str],
    others: Sequence[str],
    shown: Mapping[str, str],
    floors: Mapping[str, Mapping[str, tuple[float, float]]],
) -> str:
    levels = [100 * value for by_seed in floors.values() for value, _ in by_seed.values()]
    low, high = f"{min(levels):.1f}", f"{max(levels):.1f}"
    floor = f"{low} %" if low == high else f"{low} to {high} %"
    often = "in every seed" if max(map(len, floors.values())) > 1 else "with the one seed"
    rise = f"above the untrained encoder ({floor}) by more than the errors, {often}"
    if not learn:
        return f"No arm rises {rise}: {listed(others, shown)}."
    said = f"{'Only ' if len(learn) == 1 and others else ''}{listed(learn, shown)} "
    said += f"{'rises' if len(learn) == 1 else 'rise'} in kNN accuracy {rise}"
    return (
        f"{said}; {listed(others, shown)} {'does' if len(others) == 1 else 'do'} not."
        if others
        else f"{said}."
    )


def _unfloored(shown: Mapping[str, str]) -> str:
    return (
        f"kNN accuracy at the end: {listed(list(shown), shown)}; what the untrained encoder "
        "scores is not in the folder."
    )


def _stands(
    metric: str,
    named: Mapping[str, str | None],
    means: Mapping[str, Mapping[str, Any]],
    changed: Sequence[str],
) -> tuple[Standing, str]:
    """The default arm's accuracy beside the reference's, if it was reached in the same way."""
    if changed:
        return "not comparable", differs(changed)
    arm = next((arm for arm, name in named.items() if name == "default"), None)
    if arm is None:
        return "not comparable", "there is no default arm"
    known = (
        reference.LINEAR["default"]
        if metric == PROBE
        else (reference.final(metric, "default"),) * 2
    )
    read = min(known) - reference.READ_OFF, max(known) + reference.READ_OFF
    standing = measured_against(means[arm]["mean"], means[arm]["stderr"], read)
    return standing, f"the arm “{arm}”, within two standard errors and what a figure can be read to"


def _which_near(folder: StudyFolder, arms: Sequence[Arm], changed: Sequence[str]) -> Finding | None:
    means = means_of(folder, LOSS)
    if not means:
        return None
    shown = {arm: value_with_error(LOSS, s["mean"], s["stderr"]) for arm, s in means.items()}
    near = [arm for arm in means if means[arm]["mean"] < NEAR]
    others = [arm for arm in means if arm not in near]
    if near:
        sentence = (
            f"The loss of {listed(near, shown)} nears −1, at which two views agree whatever the image"
            + (
                f"; {listed(others, shown)} {'stays' if len(others) == 1 else 'stay'} away from it."
                if others
                else "."
            )
        )
    else:
        sentence = f"No arm's loss nears −1: {listed(others, shown)}."
    named = {arm.name: arm.known for arm in arms if arm.name in means}
    if None in named.values() or not named:
        return Finding("Loss of the arms", sentence, shows=("train-loss",))
    expected = [arm for arm, name in named.items() if name in reference.COLLAPSED]
    odd = [arm for arm in named if (arm in near) != (arm in expected)]
    agreement: Agreement = "disagrees" if odd else "agrees"
    because = f"not as in the reference: {', '.join(odd)}" if odd else "the same arms near −1"
    return Finding(
        "Which losses near −1 (Figure 8a)",
        sentence,
        "default −0.754; no stop-gradient and no predictor −0.99; fixed predictor −0.31",
        *_losses_stand(named, means, changed),
        (8,),
        ("train-loss",),
        agreement,
        because,
    )


def _losses_stand(
    named: Mapping[str, str | None],
    means: Mapping[str, Mapping[str, Any]],
    changed: Sequence[str],
) -> tuple[Standing, str]:
    if changed:
        return "not comparable", differs(changed)
    off = [
        arm
        for arm, name in named.items()
        if name
        and abs(means[arm]["mean"] - reference.final(LOSS, name))
        > LOSS_READ_OFF + ERRORS * (means[arm]["stderr"] or 0.0)
    ]
    rule = f"within {LOSS_READ_OFF} and two standard errors; a lower loss is not a better one"
    return ("outside", f"{', '.join(off)}; {rule}") if off else ("within", rule)


def _which_probe(
    folder: StudyFolder, arms: Sequence[Arm], changed: Sequence[str]
) -> Finding | None:
    means = means_of(folder, PROBE)
    if not means:
        return None
    shown = {arm: percent({"value": s["mean"], "stderr": s["stderr"]}) for arm, s in means.items()}
    named = {arm.name: arm.known for arm in arms if arm.name in means}
    best = max(means, key=lambda arm: means[arm]["mean"])
    ranked = sorted(means, key=lambda arm: -means[arm]["mean"])
    sentence = (
        f"A linear probe on the frozen features is right most often in {listed([best], shown)}"
    )
    sentence += f", before {listed(ranked[1:], shown)}." if ranked[1:] else "."
    if None in named.values() or not named:
        return Finding("Linear probe", sentence, shows=("study-differences",))
    first = named[best] == "default"
    return Finding(
        "Linear probe",
        sentence,
        "default 66.2 %; fixed predictor 14 to 15 %, no predictor 12 %, no stop-gradient 10 to 11 %",
        *_stands(PROBE, named, means, changed),
        shows=("study-differences",),
        agreement="agrees" if first else "disagrees",
        because="the default comes first" if first else f"{best} comes first",
    )
