"""What a study of representations found; of the reference's ablation of SimSiam, beside its Figure 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from triptych.reporting.findings.finding import (
    APART,
    ERRORS,
    Claim,
    Finding,
    Standing,
    both,
    differs,
    held,
    measured_against,
    percent,
)
from triptych.reporting.parts.tables import value_with_error
from triptych.reporting.reference import simsiam as reference
from triptych.reporting.reference.protocol import Scope, other_data, scope
from triptych.reporting.study.arms import (
    KNN,
    Rise,
    collapsed,
    config_of,
    listed,
    means_of,
    noises,
    order,
    rises,
    surely_above,
    untrained,
)
from triptych.reporting.study.folder import StudyFolder

__all__ = ["study_findings"]

LOSS, PROBE = "train/loss", "test/linear_top1"

LOSS_READ_OFF = 0.02
"""How far off the reference's losses may be, which were read off its figure."""


class Ablation(NamedTuple):
    """How a study stands to the reference's: arm → its arm, empty where it is no such ablation."""

    of: Scope
    named: Mapping[str, str]
    changed: Sequence[str]
    """The fields in which it leaves the protocol."""
    config: Mapping[str, Any]
    short: bool = False
    """Whether it ended before the reference's did and before its default arm had learned."""


def study_findings(folder: StudyFolder, *, reference: bool = False) -> list[Finding]:
    """Which arms learn, which collapse, and how well a linear probe does: where it was measured.

    With ``reference`` that report's words stand beside a study on other data too, as not comparable.
    """
    ablation = _ablation(folder, reference)
    said = (
        _which_learn(folder, ablation),
        _which_collapse(folder, ablation),
        _which_probe(folder, ablation),
    )
    return [finding for finding in said if finding is not None]


def _ablation(folder: StudyFolder, asked: bool) -> Ablation:
    control = folder.found["control"]
    config = config_of(folder, control)
    of = scope(reference.PROTOCOL, config, asked)
    named = reference.arms({arm: config_of(folder, arm) for arm in folder.arms})
    if not (of and named):
        return Ablation("", {}, (), config)
    changed = list(reference.differences(config))
    cut = [field for run in folder.runs(control) for field in reference.cut_short(run)]
    changed += [field for field in dict.fromkeys(cut) if field not in changed]
    default = next(arm for arm, name in named.items() if name == "default")
    learned = default in means_of(folder, KNN) and (
        rises(folder, default, untrained(folder, default)) == "yes"
    )
    return Ablation(of, named, changed, config, "train.duration" in changed and not learned)


def _beside(
    told: Finding,
    ablation: Ablation,
    given: str,
    claim: Claim,
    standing: tuple[Standing, str],
) -> Finding:
    """A finding on the reference's arms with what that says of them, and how the two stand to each other."""
    told = told._replace(reference=given)
    if ablation.of == "other data":
        return told._replace(standing="not comparable", why=other_data(ablation.config))
    if ablation.short:
        few = "nothing follows: the default arm had not learned yet when this training ended"
        claim = claim._replace(holds="undecided", because=few)
    return held(told, claim, ())._replace(standing=standing[0], why=standing[1])


def _which_learn(folder: StudyFolder, ablation: Ablation) -> Finding | None:
    means = means_of(folder, KNN)
    if not means:
        return None
    floors = {arm: untrained(folder, arm) for arm in means}
    risen = {arm: rises(folder, arm, floors[arm]) for arm in means}
    shown = {arm: percent({"value": s["mean"], "stderr": s["stderr"]}) for arm, s in means.items()}
    paired = all(set(s["values"]) <= set(floors[arm]) for arm, s in means.items())
    known = any(rise != "unknown" for rise in risen.values())
    sentence = _learning(risen, shown, floors, paired) if known else _unfloored(shown)
    told = Finding("kNN accuracy of the arms", sentence, shows=("test-knn-top1", "study-curves"))
    if not ablation.named:
        return told
    named = {arm: name for arm, name in ablation.named.items() if arm in means}
    turned = order(named, means, noises(folder, KNN, means))
    return _beside(
        told._replace(title="Which arms learn (Figure 8b)", figures=(8,)),
        ablation,
        "only the default learns: kNN 68.6 %; fixed predictor 16 %, no predictor 11 %, no stop-gradient 10 %",
        _same_learn(sentence, risen, named, turned, paired and len(named) == len(ablation.named)),
        _stands(folder, KNN, named, ablation.changed),
    )


def _same_learn(
    sentence: str,
    risen: Mapping[str, Rise],
    named: Mapping[str, str],
    turned: tuple[str, str],
    whole: bool,
) -> Claim:
    """Whether the reference's arms learn, and in its order; it can be told of no arm without a floor."""
    expected = {arm: "yes" if name in reference.LEARNED else "no" for arm, name in named.items()}
    odd = [arm for arm in named if risen[arm] in ("yes", "no") and risen[arm] != expected[arm]]
    if odd:
        because = f"other arms learn than in the reference ({', '.join(odd)}); {turned[1]}"
        return Claim("no", sentence, because)
    if turned[0] == "no":
        return Claim("no", sentence, turned[1])
    if not whole:
        lacking = "of some arms or their untrained encoders there is no number in the folder"
        return Claim("undecided", sentence, f"{lacking}; {turned[1]}")
    near = [arm for arm in named if risen[arm] == "undecided"]
    if near:
        because = f"whether {both(near)} {'learns' if len(near) == 1 else 'learn'} is undecided"
        return Claim("undecided", sentence, f"{because}; {turned[1]}")
    return Claim("yes", sentence, f"the same arms learn; {turned[1]}")


def _learning(
    risen: Mapping[str, Rise],
    shown: Mapping[str, str],
    floors: Mapping[str, Mapping[str, tuple[float, float]]],
    paired: bool,
) -> str:
    learn, others, near, unknown = (
        [a for a in risen if risen[a] == rise] for rise in ("yes", "no", "undecided", "unknown")
    )
    levels = [100 * value for by_seed in floors.values() for value, _ in by_seed.values()]
    low, high = f"{min(levels):.1f}", f"{max(levels):.1f}"
    floor = f"{low} %" if low == high else f"{low} to {high} %"
    several = max(map(len, floors.values())) > 1
    often = "in every seed" if several else "with the one seed"
    often = often if paired else "in every seed of which that is known"
    rise = f"above the untrained encoder ({floor}) by more than the errors, {often}"
    more = f" Of {listed(near, shown)} it is undecided." if near else ""
    more += f" Of {listed(unknown, shown)} the floor is not in the folder." if unknown else ""
    if not learn:
        none = "No arm of which that is known" if unknown else "No arm"
        whom = f": {listed(others, shown)}" if others else ""
        return f"{none} surely rises {rise}{whom}.{more}"
    only = len(learn) == 1 and others and not unknown and not near
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
    folder: StudyFolder, metric: str, named: Mapping[str, str], changed: Sequence[str]
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


def _which_collapse(folder: StudyFolder, ablation: Ablation) -> Finding | None:
    means = means_of(folder, LOSS)
    if not means:
        return None
    fallen = {arm: collapsed(folder, arm) for arm in means}
    seeds = max(summary["n"] for summary in means.values())
    shown = {arm: value_with_error(LOSS, s["mean"], s["stderr"]) for arm, s in means.items()}
    sentence = _collapsing(fallen, shown, seeds)
    told = Finding("Loss of the arms", sentence, shows=("train-loss",))
    named = {arm: name for arm, name in ablation.named.items() if arm in means}
    if not named:
        return told
    return _beside(
        told._replace(title="Which arms collapse (Figure 8a)", figures=(8,)),
        ablation,
        "default −0.754; no stop-gradient and no predictor −0.99, at which two views agree whatever the image; "
        "fixed predictor −0.31",
        _same_collapse(sentence, fallen, ablation.named),
        _losses_stand(named, means, ablation.changed),
    )


def _collapsing(fallen: Mapping[str, Rise], shown: Mapping[str, str], seeds: int) -> str:
    """The losses, and which arms collapsed by spread and rank beside them; nothing of it where no verdict is there."""
    yes, no, near, unknown = (
        [arm for arm in fallen if fallen[arm] == fact]
        for fact in ("yes", "no", "undecided", "unknown")
    )
    if not (yes or no or near):
        return f"Training loss at the end: {listed(unknown, shown)}."
    every, ever = "with the one seed", "with the one seed"
    if seeds > 1:
        every, ever = f"in each of {seeds} seeds", f"in any of {seeds} seeds"
    said = []
    if yes:
        what = "collapses" if len(yes) == 1 else "collapse"
        said.append(f"{listed(yes, shown)} {what} {every}, by spread or rank of the projections")
    if no:
        what = "does" if len(no) == 1 else "do"
        said.append(f"{listed(no, shown)} {what} not{'' if yes else f' collapse {ever}'}")
    if near:
        said.append(f"of {listed(near, shown)} it is undecided")
    if unknown:
        said.append(f"of {listed(unknown, shown)} there is no verdict")
    return f"Training loss at the end in brackets: {'; '.join(said)}."


def _same_collapse(sentence: str, fallen: Mapping[str, Rise], named: Mapping[str, str]) -> Claim:
    """Whether those arms collapse that do in the reference."""
    expected = {arm: "yes" if name in reference.COLLAPSED else "no" for arm, name in named.items()}
    sure = {arm: fact for arm, fact in fallen.items() if fact in ("yes", "no")}
    odd = [arm for arm, fact in sure.items() if fact != expected[arm]]
    if odd:
        return Claim("no", sentence, f"not as in the reference: {', '.join(odd)}")
    open_ = [arm for arm in named if arm not in sure]
    if open_:
        return Claim("undecided", sentence, f"whether {both(open_)} collapsed is not known")
    return Claim("yes", sentence, "the same arms collapse")


def _losses_stand(
    named: Mapping[str, str], means: Mapping[str, Mapping[str, Any]], changed: Sequence[str]
) -> tuple[Standing, str]:
    if changed:
        return "not comparable", differs(changed)
    off: list[str] = []
    near: list[str] = []
    for arm, name in named.items():
        away = abs(means[arm]["mean"] - reference.final(LOSS, name)) - LOSS_READ_OFF
        stderr = means[arm]["stderr"]
        # Without an error, as far again as the figure can be read to.
        same, other = (0.0, LOSS_READ_OFF) if stderr is None else (ERRORS * stderr, APART * stderr)
        if away > same:
            (off if away > other else near).append(arm)
    rule = f"within {LOSS_READ_OFF} and two standard errors; a lower loss is not a better one"
    if off:
        return "outside", f"{', '.join(off)}; {rule}"
    return ("undecided", f"{', '.join(near)}; {rule}") if near else ("within", rule)


def _which_probe(folder: StudyFolder, ablation: Ablation) -> Finding | None:
    means = means_of(folder, PROBE)
    if not means:
        return None
    best, noise = max(means, key=lambda arm: means[arm]["mean"]), noises(folder, PROBE, means)
    tied = [a for a in means if a != best and not surely_above(best, a, means, noise)]
    sentence = _probing(best, tied, means)
    told = Finding("Linear probe", sentence, shows=("study-differences",))
    named = {arm: name for arm, name in ablation.named.items() if arm in means}
    if not named:
        return told
    return _beside(
        told,
        ablation,
        "default 66.2 %; fixed predictor 14 to 15 %, no predictor 12 %, no stop-gradient 10 to 11 %",
        _same_first(sentence, best, tied, ablation.named, means),
        _stands(folder, PROBE, named, ablation.changed),
    )


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


def _same_first(
    sentence: str,
    best: str,
    tied: Sequence[str],
    named: Mapping[str, str],
    means: Mapping[str, Any],
) -> Claim:
    """Whether the default comes first, as in the reference, by more than the errors."""
    if "default" not in (named.get(arm) for arm in (best, *tied)):
        return Claim("no", sentence, f"{best} comes first")
    if tied:
        return Claim("undecided", sentence, f"{both([best, *tied])} cannot be told apart")
    lacking = [arm for arm in named if arm not in means]
    if lacking:
        return Claim("undecided", sentence, f"{both(lacking)} has no number")
    return Claim("yes", sentence, "the default comes first")
