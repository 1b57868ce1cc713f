"""What the reference report says of its ablation, Figure 8, and whether a study is that and found the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, Literal, NamedTuple

from triptych.reporting.findings.finding import APART, ERRORS, Claim, Finding, Standing, both
from triptych.reporting.reference.protocol import (
    Scope,
    agreeing,
    apart,
    differs,
    measured_against,
    scope,
    silenced,
)
from triptych.reporting.reference.simsiam import (
    COLLAPSED,
    CURVES,
    EPOCHS,
    LEARNED,
    LINEAR,
    LOSS_READ_OFF,
    PROTOCOL,
    READ_OFF,
    arms,
    cut_short,
    differences,
    final,
    measured_otherwise,
)
from triptych.reporting.study.arms import (
    KNN,
    LOSS,
    PROBE,
    Rise,
    Summary,
    collapsed,
    config_of,
    means_of,
    noises,
    rises,
    surely_above,
    untrained,
)
from triptych.reporting.study.findings import first
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.panels import StudyOverlay

__all__ = ["study_against", "study_not_comparable", "study_overlay"]


class Ablation(NamedTuple):
    """A study that repeats the reference's ablation: which arm is which of the reference's, and where the protocols differ."""

    of: Scope
    named: Mapping[str, str]
    config: Mapping[str, Any]
    other: str
    """Why it is not held against the reference; empty for a study of its protocol."""


def study_against(folder: StudyFolder, found: Mapping[str, Finding]) -> list[Finding]:
    """The findings of a study with what the reference says of its own arms, where the study is its ablation."""
    ablation = _ablation(folder)
    if ablation is None:
        return list(found.values())
    ways = {"learning": _learning, "collapse": _collapse, "probe": _probe}
    told = [ways[name](folder, ablation, finding) for name, finding in found.items()]
    return [silenced(finding) for finding in told] if ablation.other else told


def study_not_comparable(folder: StudyFolder) -> str:
    """Why a study is not held against the report; empty where it is, and where it is not the report's ablation."""
    ablation = _ablation(folder)
    return ablation.other if ablation else ""


def _ablation(folder: StudyFolder) -> Ablation | None:
    control = folder.found["control"]
    config = config_of(folder, control)
    of = scope(PROTOCOL, config)
    named = arms({arm: config_of(folder, arm) for arm in folder.arms})
    if not (of and named):
        return None
    changed = list(differences(config))
    cut = [field for run in folder.runs(control) for field in cut_short(run)]
    changed += [field for field in dict.fromkeys(cut) if field not in changed]
    return Ablation(of, named, config, apart(PROTOCOL, config, changed))


def _said(found: Finding, given: str, claim: Claim, standing: tuple[Standing, str]) -> Finding:
    """A finding on the arms with what the reference says of them, and how the two stand to each other."""
    found = agreeing(found._replace(reference=given), claim)
    return found._replace(standing=standing[0], why=standing[1])


def _learning(folder: StudyFolder, ablation: Ablation, found: Finding) -> Finding:
    means = means_of(folder, KNN)
    named = {arm: name for arm, name in ablation.named.items() if arm in means}
    if not named:
        return found
    starts = {arm: untrained(folder, arm) for arm in means}
    risen = {arm: rises(folder, arm, starts[arm]) for arm in means}
    paired = all(set(s["values"]) <= set(starts[arm]) for arm, s in means.items())
    turned = _order(named, means, noises(folder, KNN, means))
    return _said(
        found._replace(title="Which arms learn (Figure 8b)", figures=(8,)),
        "only the default learns: kNN 68.6 %; fixed predictor 16 %, no predictor 11 %, no stop-gradient 10 %",
        _same_learn(risen, named, turned, paired and len(named) == len(ablation.named)),
        _stands(folder, KNN, named),
    )


def _order(
    named: Mapping[str, str], means: Mapping[str, Summary], noise: Mapping[str, float | None]
) -> tuple[Literal["yes", "no", "undecided"], str]:
    """Whether two arms stand the other way round than in the reference, by more than their errors."""
    known = {arm: final(KNN, name) for arm, name in named.items()}
    pairs = [(a, b) for a, b in permutations(known, 2) if known[a] > known[b]]
    turned = [
        f"{below} stands above {above}"
        for above, below in pairs
        if surely_above(below, above, means, noise)
    ]
    if turned:
        return "no", f"another order of the arms: {'; '.join(turned)}"
    if not any(surely_above(above, below, means, noise) for above, below in pairs):
        return "undecided", "the arms cannot be told apart by their errors"
    return "yes", "the order of the arms is the same, as far as their errors tell"


def _same_learn(
    risen: Mapping[str, Rise],
    named: Mapping[str, str],
    turned: tuple[str, str],
    whole: bool,
) -> Claim:
    """Whether the same arms learn as in the reference, in the same order; undecided where an untrained encoder was not measured."""
    expected = {arm: "yes" if name in LEARNED else "no" for arm, name in named.items()}
    odd = [arm for arm in named if risen[arm] in ("yes", "no") and risen[arm] != expected[arm]]
    if odd:
        because = f"other arms learn than in the reference ({', '.join(odd)}); {turned[1]}"
        return Claim("no", because)
    if turned[0] == "no":
        return Claim("no", turned[1])
    if not whole:
        lacking = "of some arms or their untrained encoders there is no number in the folder"
        return Claim("undecided", f"{lacking}; {turned[1]}")
    near = [arm for arm in named if risen[arm] == "undecided"]
    if near:
        because = f"whether {both(near)} {'learns' if len(near) == 1 else 'learn'} is undecided"
        return Claim("undecided", f"{because}; {turned[1]}")
    return Claim("yes", f"the same arms learn; {turned[1]}")


def _stands(folder: StudyFolder, metric: str, named: Mapping[str, str]) -> tuple[Standing, str]:
    """How the default arm's accuracy stands to the reference's, if it was measured in the same way."""
    protocol = folder.found["metrics"][metric]["protocol"] or {}
    if metric == KNN and (otherwise := measured_otherwise(protocol)):
        return "not comparable", differs(otherwise)
    means = means_of(folder, metric)
    arm = next((arm for arm, name in named.items() if name == "default"), None)
    if arm is None:
        return "not comparable", "there is no default arm"
    known = LINEAR["default"] if metric == PROBE else (final(metric, "default"),) * 2
    read = min(known) - READ_OFF, max(known) + READ_OFF
    standing = measured_against(means[arm]["mean"], means[arm]["stderr"], read)
    return standing, f"the arm “{arm}”, within two standard errors and what a figure can be read to"


def _collapse(folder: StudyFolder, ablation: Ablation, found: Finding) -> Finding:
    means = means_of(folder, LOSS)
    named = {arm: name for arm, name in ablation.named.items() if arm in means}
    if not named:
        return found
    fallen = {arm: collapsed(folder, arm) for arm in means}
    return _said(
        found._replace(title="Which arms collapse (Figure 8a)", figures=(8,)),
        "default −0.754; no stop-gradient and no predictor −0.99, at which two views agree whatever the image; "
        "fixed predictor −0.31",
        _same_collapse(fallen, ablation.named),
        _losses_stand(named, means),
    )


def _same_collapse(fallen: Mapping[str, Rise], named: Mapping[str, str]) -> Claim:
    """Whether those arms collapse that do in the reference."""
    expected = {arm: "yes" if name in COLLAPSED else "no" for arm, name in named.items()}
    sure = {arm: fact for arm, fact in fallen.items() if fact in ("yes", "no")}
    odd = [arm for arm, fact in sure.items() if fact != expected[arm]]
    if odd:
        return Claim("no", f"not as in the reference: {', '.join(odd)}")
    open_ = [arm for arm in named if arm not in sure]
    if open_:
        return Claim("undecided", f"whether {both(open_)} collapsed is not known")
    return Claim("yes", "the same arms collapse")


def _losses_stand(
    named: Mapping[str, str], means: Mapping[str, Mapping[str, Any]]
) -> tuple[Standing, str]:
    off: list[str] = []
    near: list[str] = []
    for arm, name in named.items():
        away = abs(means[arm]["mean"] - final(LOSS, name)) - LOSS_READ_OFF
        stderr = means[arm]["stderr"]
        # Without an error, as far again as the figure can be read to.
        same, other = (0.0, LOSS_READ_OFF) if stderr is None else (ERRORS * stderr, APART * stderr)
        if away > same:
            (off if away > other else near).append(arm)
    rule = f"within {LOSS_READ_OFF} and two standard errors; a lower loss is not a better one"
    if off:
        return "outside", f"{', '.join(off)}; {rule}"
    return ("undecided", f"{', '.join(near)}; {rule}") if near else ("within", rule)


def _probe(folder: StudyFolder, ablation: Ablation, found: Finding) -> Finding:
    means = means_of(folder, PROBE)
    named = {arm: name for arm, name in ablation.named.items() if arm in means}
    if not named:
        return found
    best, tied = first(folder, means, PROBE)
    return _said(
        found,
        "default 66.2 %; fixed predictor 14 to 15 %, no predictor 12 %, no stop-gradient 10 to 11 %",
        _same_first(best, tied, ablation.named, means),
        _stands(folder, PROBE, named),
    )


def _same_first(
    best: str,
    tied: Sequence[str],
    named: Mapping[str, str],
    means: Mapping[str, Any],
) -> Claim:
    """Whether the default comes first, as in the reference, by more than the errors."""
    if "default" not in (named.get(arm) for arm in (best, *tied)):
        return Claim("no", f"{best} comes first")
    if tied:
        return Claim("undecided", f"{both([best, *tied])} cannot be told apart")
    lacking = [arm for arm in named if arm not in means]
    if lacking:
        return Claim("undecided", f"{both(lacking)} has no number")
    return Claim("yes", "the default comes first")


def study_overlay(folder: StudyFolder) -> StudyOverlay | None:
    """Its curves for a study that is its ablation, on its data; stretched or squeezed to the study's length."""
    ablation = _ablation(folder)
    if ablation is None or ablation.of != "same data":
        return None

    def curve(arm: str, metric: str, end: float) -> tuple[list[float], list[float]]:
        epochs, values = CURVES.get(metric, {}).get(ablation.named.get(arm, ""), ((), ()))
        return [epoch * end / EPOCHS for epoch in epochs], list(values)

    def caption(end: float) -> str:
        return _about(differences(ablation.config), end)

    return StudyOverlay("reference report", curve, caption)


def _about(differ: Sequence[str], end: float) -> str:
    """What must stand where its curves are shown with those of another training, of ``end`` epochs."""
    said = "Thin dots: the reference report's arms, values read off its Figure 8, so approximate"
    if "train.duration" in differ:
        said += (
            f"; its {EPOCHS:.0f} epochs are squeezed into these {end:g}, so that "
            "the same place is the same share of the training and not the same epoch"
        )
    others = [field for field in differ if field != "train.duration"]
    if others:
        other = differs(others)
        said += f". {other[:1].upper()}{other[1:]}: compare the order of the arms, not points"
    return said + "."
