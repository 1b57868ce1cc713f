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
    both,
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
    surely_above,
    untrained,
)
from triptych.report.page.tables import value_with_error
from triptych.report.study_folder import StudyFolder
from triptych.report.words import signed

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
    changed = list(reference.differences(config))
    short = [f for run in folder.runs(folder.found["control"]) for f in reference.cut_short(run)]
    changed += [field for field in dict.fromkeys(short) if field not in changed]
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
    risen = {arm: rises(folder, arm, floors[arm]) for arm in means}
    shown = {arm: percent({"value": s["mean"], "stderr": s["stderr"]}) for arm, s in means.items()}
    paired = all(set(s["values"]) <= set(floors[arm]) for arm, s in means.items())
    known = any(rise is not None for rise in risen.values())
    sentence = _learning(risen, shown, floors, paired) if known else _unfloored(shown)
    named = {arm.name: arm.known for arm in arms if arm.name in means}
    if None in named.values() or not named:
        return Finding("kNN accuracy of the arms", sentence, shows=("test-knn-top1",))
    return Finding(
        "Which arms learn (Figure 8b)",
        sentence,
        "only the default learns: kNN 68.6 %; fixed predictor 16 %, no predictor 11 %, no stop-gradient 10 %",
        *_stands(folder, KNN, named, changed),
        (8,),
        ("test-knn-top1", "study-curves"),
        *_same_learn(risen, named, means, paired),
    )


def _same_learn(
    risen: Mapping[str, bool | None],
    named: Mapping[str, str | None],
    means: Mapping[str, Mapping[str, Any]],
    paired: bool,
) -> tuple[Agreement, str]:
    """Whether the reference's arms learn, and in its order; it can be told of no arm without a floor."""
    agreement, because = order(named, means)
    odd = [
        arm
        for arm, rise in risen.items()
        if rise is not None and rise != (named[arm] in reference.LEARNED)
    ]
    if odd:
        return "disagrees", f"other arms learn than in the reference; {because}"
    if not paired:
        lacking = "what some untrained encoders score is not in the folder"
        return ("disagrees" if agreement == "disagrees" else ""), f"{lacking}; {because}"
    return agreement, f"the same arms learn; {because}"


def _learning(
    risen: Mapping[str, bool | None],
    shown: Mapping[str, str],
    floors: Mapping[str, Mapping[str, tuple[float, float]]],
    paired: bool,
) -> str:
    learn, others, unknown = ([a for a in risen if risen[a] is r] for r in (True, False, None))
    levels = [100 * value for by_seed in floors.values() for value, _ in by_seed.values()]
    low, high = f"{min(levels):.1f}", f"{max(levels):.1f}"
    floor = f"{low} %" if low == high else f"{low} to {high} %"
    several = max(map(len, floors.values())) > 1
    often = "in every seed" if several else "with the one seed"
    often = often if paired else "in every seed of which that is known"
    rise = f"above the untrained encoder ({floor}) by more than the errors, {often}"
    more = f" Of {listed(unknown, shown)} the floor is not in the folder." if unknown else ""
    if not learn:
        none = "No arm of which that is known" if unknown else "No arm"
        return f"{none} rises {rise}: {listed(others, shown)}.{more}"
    only = len(learn) == 1 and others and not unknown
    said = f"{'Only ' if only else ''}{listed(learn, shown)} "
    said += f"{'rises' if len(learn) == 1 else 'rise'} in kNN accuracy {rise}"
    if others:
        said += f"; {listed(others, shown)} {'does' if len(others) == 1 else 'do'} not"
    return f"{said}.{more}"


def _unfloored(shown: Mapping[str, str]) -> str:
    return (
        f"kNN accuracy at the end: {listed(list(shown), shown)}; what the untrained encoder "
        "scores is not in the folder."
    )


def _stands(
    folder: StudyFolder, metric: str, named: Mapping[str, str | None], changed: Sequence[str]
) -> tuple[Standing, str]:
    """The default arm's accuracy beside the reference's, if it was reached and measured in the same way."""
    if metric == KNN:
        protocol = folder.found["metrics"][KNN]["protocol"] or {}
        changed = [*changed, *reference.measured_otherwise(protocol)]
    if changed:
        return "not comparable", differs(changed)
    means = means_of(folder, metric)
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
    near = [arm for arm in means if means[arm]["mean"] < NEAR]
    sentence = _nearing(near, means)
    named = {arm.name: arm.known for arm in arms if arm.name in means}
    if None in named.values() or not named:
        return Finding("Loss of the arms", sentence, shows=("train-loss",))
    expected = [arm for arm, name in named.items() if name in reference.COLLAPSED]
    odd = [arm for arm in named if (arm in near) != (arm in expected)]
    return Finding(
        "Which losses near −1 (Figure 8a)",
        sentence,
        "default −0.754; no stop-gradient and no predictor −0.99; fixed predictor −0.31",
        *_losses_stand(named, means, changed),
        (8,),
        ("train-loss",),
        "disagrees" if odd else "agrees",
        f"not as in the reference: {', '.join(odd)}" if odd else "the same arms near −1",
    )


def _nearing(near: Sequence[str], means: Mapping[str, Mapping[str, Any]]) -> str:
    shown = {arm: value_with_error(LOSS, s["mean"], s["stderr"]) for arm, s in means.items()}
    others = [arm for arm in means if arm not in near]
    if not near:
        return (
            f"No arm's loss nears −1, which is to be below {signed(NEAR)}: {listed(others, shown)}."
        )
    said = f"The loss of {listed(near, shown)} nears −1, at which two views agree whatever the image: it is below {signed(NEAR)}"
    if others:
        said += f"; {listed(others, shown)} {'stays' if len(others) == 1 else 'stay'} above that"
    return f"{said}."


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
    named = {arm.name: arm.known for arm in arms if arm.name in means}
    best = max(means, key=lambda arm: means[arm]["mean"])
    tied = [a for a in means if a != best and not surely_above(means[best], means[a])]
    sentence = _probing(best, tied, means)
    if None in named.values() or not named:
        return Finding("Linear probe", sentence, shows=("study-differences",))
    return Finding(
        "Linear probe",
        sentence,
        "default 66.2 %; fixed predictor 14 to 15 %, no predictor 12 %, no stop-gradient 10 to 11 %",
        *_stands(folder, PROBE, named, changed),
        (),
        ("study-differences",),
        *_same_first(best, tied, named),
    )


def _probing(best: str, tied: Sequence[str], means: Mapping[str, Mapping[str, Any]]) -> str:
    shown = {arm: percent({"value": s["mean"], "stderr": s["stderr"]}) for arm, s in means.items()}
    ranked = sorted(means, key=lambda arm: -means[arm]["mean"])
    others = [arm for arm in ranked if arm != best and arm not in tied]
    said = "A linear probe on the frozen features"
    if tied:
        said += f": {listed([arm for arm in ranked if arm not in others], shown)} cannot be told apart by their errors"
        return f"{said}; less often right in {listed(others, shown)}." if others else f"{said}."
    said += f" is right most often in {listed([best], shown)}"
    return f"{said}, before {listed(others, shown)}." if others else f"{said}."


def _same_first(
    best: str, tied: Sequence[str], named: Mapping[str, str | None]
) -> tuple[Agreement, str]:
    """Whether the default comes first, as in the reference, by more than the errors."""
    if "default" not in (named[arm] for arm in (best, *tied)):
        return "disagrees", f"{best} comes first"
    if tied:
        return "", f"{both([best, *tied])} cannot be told apart"
    return "agrees", "the default comes first"
