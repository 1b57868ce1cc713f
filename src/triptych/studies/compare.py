"""What a study found: arms averaged over seeds, differences from the control seed by seed, and a sentence for each."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from triptych import files
from triptych.errors import TriptychError
from triptych.evaluation.statistics import Paired, holm
from triptych.metrics import label, of_objective
from triptych.metrics import metric as declared
from triptych.reporting.words import value_with_error
from triptych.runs import Run
from triptych.studies.plan import Cell, Study
from triptych.studies.ranking import judged, ranked
from triptych.studies.sentences import absent, elsewhere, finding, lone_finding, unlike
from triptych.studies.values import (
    Number,
    Values,
    grouped,
    measured_alike,
    number_of,
    objectives,
    one_protocol,
)

__all__ = ["compare", "compare_metric", "write"]

NOTHING: Mapping[str, str] = MappingProxyType({})


def compare(study: Study, folder: Path) -> dict[str, Any]:
    """Everything that study.json holds, from the run folders alone.

    Runs that failed or are not done have no final values: they are counted and left
    out of the means. Nothing in it depends on when or in how many pieces the runs were made.
    """
    arms = {
        arm: _arm([(s, Run(Cell(arm, s).path(folder))) for s in study.config.seeds])
        for arm in study.arms
    }
    control, metrics = study.config.control, {}
    for name in study.config.metrics:
        if words := _words(study, folder, name):
            metrics[name] = _tabulated(name, words)
            continue
        values = {arm: _numbers(study, folder, arm, name) for arm in study.arms}
        minimised = objectives(study, folder, name) if of_objective(name) else {}
        metrics[name] = compare_metric(name, values, control, of=study.of, minimised=minimised)
    found = {
        "study": study.config.name,
        "control": control,
        "seeds": list(study.config.seeds),
        "curves": list(study.config.curves),
        "arms": {arm: {**_told(study, arm), **about} for arm, about in arms.items()},
        "metrics": metrics,
    }
    apart = {
        name: groups
        for name in dict.fromkeys((*study.config.curves, *study.config.metrics))
        if of_objective(name)
        and len(groups := grouped(objectives(study, folder, name), study.arms)) > 1
    }
    return found | ({"apart": apart} if apart else {}) | _variant(study)


def _told(study: Study, arm: str) -> dict[str, str]:
    """What of an arm is not as of all others: its method where there are several, the arm that it is a variant of."""
    several = len(set(study.methods.values())) > 1
    told = {"method": study.arms[arm].method_name} if several else {}
    return told | ({"of": study.of[arm]} if arm in study.of else {})


def _variant(study: Study) -> dict[str, str]:
    return {"variant": study.config.variant} if study.of else {}


def _words(study: Study, folder: Path, metric: str) -> dict[str, Counter[str]]:
    """How often the runs of each arm came to which word, of a metric that is none of numbers; nothing of another."""
    found: dict[str, Counter[str]] = {arm: Counter() for arm in study.arms}
    for cell in study.cells():
        run = Run(cell.path(folder))
        result = run.results().get(metric) if (run.path / "DONE").exists() else None
        if result is not None and isinstance(result["value"], str):
            found[cell.arm][result["value"]] += 1
    return found if any(found.values()) else {}


def _tabulated(metric: str, words: Mapping[str, Counter[str]]) -> dict[str, Any]:
    """A metric of words: how often each arm came to which, in a sentence; there is nothing to subtract."""
    said = (
        f"{arm} {', '.join(f'{n} × {word}' for word, n in sorted(of.items())) or 'none'}"
        for arm, of in words.items()
    )
    return _silent(f"{label(metric)}: {'; '.join(said)}.")


def write(study: Study, folder: Path) -> dict[str, Any]:
    """Compare and keep it as study.json; returns what that holds."""
    found = compare(study, folder)
    files.write(folder / "study.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    return found


def _arm(runs: Sequence[tuple[int, Run]]) -> dict[str, Any]:
    """How the runs of an arm ended, by seed, and how often each verdict was given."""
    ended = {str(seed): _ended(run) for seed, run in runs}
    verdicts = Counter(run["verdict"] for run in ended.values() if "verdict" in run)
    return {"runs": ended, "verdicts": dict(sorted(verdicts.items()))}


def _ended(run: Run) -> dict[str, Any]:
    state = "failed" if (run.path / "FAILED").exists() else "done"
    if state == "done" and not (run.path / "DONE").exists():
        return {"state": "not done"}
    ended: dict[str, Any] = {"state": state}
    if state == "failed":
        # The folder is named in an error; where the study lies is no finding.
        # A process on another machine knows the folder by its whole name.
        whole = run.reason().replace(str(run.path.absolute()), run.path.name)
        ended["reason"] = whole.replace(str(run.path), run.path.name)
    kept = run.chosen()
    if kept is not None:
        ended["weights"] = kept.digest
    verdict = run.results().get("verdict")
    if verdict is not None:
        ended |= {"verdict": verdict["value"], "evidence": verdict["note"]}
    if run.alarms():
        ended["alarms"] = [{"step": step, "alarm": said} for step, said in run.alarms()]
    return ended


def _numbers(study: Study, folder: Path, arm: str, metric: str) -> dict[int, Number]:
    found, left_open = {}, study.arms[arm].train.dtype == "auto"
    for seed in study.config.seeds:
        run = Run(Cell(arm, seed).path(folder))
        number = number_of(run, metric) if (run.path / "DONE").exists() else None
        if number is not None:
            chosen = run.config.get("train", {}).get("dtype") if left_open else None
            found[seed] = number._replace(precision=chosen)
    return found


def compare_metric(
    metric: str,
    values: Values,
    control: str,
    *,
    of: Mapping[str, str] = NOTHING,
    minimised: Mapping[str, str] = NOTHING,
) -> dict[str, Any]:
    """Means with standard errors, paired differences, a sentence for each arm, and which arms are surely better than others.

    The difference of an arm is from the control, that of a variant from the arm that it is ``of``, over the seeds for
    which both have a number; Holm's correction is over the arms. Arms that were measured by another protocol than the
    control are left out, and numbers in units of what is ``minimised`` are compared only where that is the same.

    Example:
        >>> values = {
        ...     "default": {s: Number(v, {}) for s, v in enumerate([0.40, 0.41, 0.42])},
        ...     "other": {s: Number(v, {}) for s, v in enumerate([0.20, 0.22, 0.21])},
        ... }
        >>> found = compare_metric("test/knn_top1", values, "default")
        >>> round(found["arms"]["other"]["mean"], 3), found["differences"]["other"]["n"]
        (0.21, 3)
        >>> found["findings"][0][:64]
        'test kNN top-1 is lower in other than in default, by 20.0 points'
    """
    name, about = label(metric), declared(metric)
    unit = f" {about.points}" if about.points else ""
    try:
        values, others = measured_alike(values, control)
        protocol = one_protocol(values)
    except TriptychError as error:
        return _silent(
            f"{name} is not compared, as it was not made and measured in one way: {error}."
        )
    if not any(values.values()):
        return _silent(f"{name} was measured in no run.")
    bases = {arm: of.get(arm, control) for arm in values if arm != control}
    bases = {arm: base for arm, base in bases.items() if base in values}
    apart = [a for a, base in bases.items() if minimised and minimised[a] != minimised[base]]
    missing = [arm for arm, found in values.items() if not found]
    paired = {
        arm: _differences(values[arm], values[base])
        for arm, base in bases.items()
        if arm not in apart
    }
    tests = {arm: judged(d) for arm, d in paired.items() if len(d) > 1}
    adjusted = dict(zip(tests, holm([t.p for t in tests.values()]), strict=True))
    findings = []
    for arm, d in paired.items():
        base = bases[arm]
        if arm in tests:
            read = _scaled(tests[arm], about.scale)
            findings.append(finding(name, arm, base, read, adjusted[arm], len(tests), unit))
        elif arm not in missing and base not in missing:
            read_in_units = [about.scale * each for each in d]
            findings.append(lone_finding(name, arm, base, read_in_units, unit))
    # Of an arm without runs it is not known what it minimises, and not said.
    known = [arm for arm in apart if not {arm, bases[arm]} & {*missing}]
    findings += unlike(name, known, bases) + absent(name, missing) + elsewhere(name, others)
    plain = {arm: {s: n.value for s, n in found.items()} for arm, found in values.items()}
    compared: dict[str, Any] = {
        "protocol": protocol,
        "arms": {arm: _summary(found) for arm, found in plain.items()},
        "differences": {
            arm: {**_difference(d, tests.get(arm), adjusted.get(arm)), **_from(arm, of)}
            for arm, d in paired.items()
        },
        "findings": findings,
    }
    ranking = None
    if about.better and len(set(minimised.values())) < 2:
        # A variant is held against its own arm; among all of them it would only cost the others certainty.
        ranking = ranked({arm: v for arm, v in plain.items() if arm not in of}, about.better)
    if ranking is None or len(ranking.order) < 3:
        return compared
    means = {arm: compared["arms"][arm] for arm in ranking.order}
    shown = {arm: value_with_error(metric, m["mean"], m["stderr"]) for arm, m in means.items()}
    findings.append(ranking.sentence(name, shown, about.better))
    return {**compared, "ranking": ranking.tables()}


def _from(arm: str, of: Mapping[str, str]) -> dict[str, str]:
    return {"from": of[arm]} if arm in of else {}


def _scaled(test: Paired, times: float) -> Paired:
    """The difference in the unit in which it is read."""
    mean, stderr, low, high = (times * x for x in (test.mean, test.stderr, test.low, test.high))
    return test._replace(mean=mean, stderr=stderr, low=low, high=high)


def _silent(why: str) -> dict[str, Any]:
    return {"protocol": None, "arms": {}, "differences": {}, "findings": [why]}


def _differences(arm: Mapping[int, Number], control: Mapping[int, Number]) -> list[float]:
    return [arm[seed].value - control[seed].value for seed in control if seed in arm]


def _summary(values: Mapping[int, float]) -> dict[str, Any]:
    """Mean, its standard error over seeds where there are two or more, and the value of each seed."""
    n, stderr = len(values), None
    mean = math.fsum(values.values()) / n if n else None
    if mean is not None and n > 1:
        stderr = math.sqrt(math.fsum((v - mean) ** 2 for v in values.values()) / (n - 1) / n)
    by_seed = {str(seed): value for seed, value in values.items()}
    return {"n": n, "mean": mean, "stderr": stderr, "values": by_seed}


def _difference(
    differences: Sequence[float], test: Paired | None, adjusted: float | None
) -> dict[str, Any]:
    if test is not None:
        return {**test._asdict(), "holm": adjusted}
    mean = differences[0] if differences else None
    unknown = dict.fromkeys(("stderr", "low", "high", "p", "holm"))
    return {"n": len(differences), "mean": mean, **unknown}
