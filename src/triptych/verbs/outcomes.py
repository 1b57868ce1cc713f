"""What the verbs give back: the numbers of a run, and a study that is done, as things that can be looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triptych.errors import TriptychError, printable, unknown
from triptych.files import as_path
from triptych.frames import frame
from triptych.metrics import metric
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.terminal import result_lines
from triptych.reporting.words import value_with_error, with_error
from triptych.runs import Result, Run, grouped
from triptych.verbs.cards import results_card, study_card

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Results", "Study"]


class Results(Mapping[str, Result]):
    """The numbers of a run by name, each a `Result` with value, standard error, count and protocol.

    Shown, they are a table; ``left_out`` says what was not measured, and why.

    Example:
        >>> measured = Result(-95.5, 0.25, 1000, {"split": "test", "K": 200})
        >>> missing = Result.left_out("these data have no labels", {})
        >>> results = Results({"test/log_likelihood": measured, "test/knn_top1": missing})
        >>> results["test/log_likelihood"].stderr, results.protocol("test/log_likelihood")["K"]
        (0.25, 200)
        >>> results
        split test, K 200
        test/log_likelihood  −95.500 ± 0.250       n=1000    K=200
        left out: test/knn_top1 (these data have no labels)
    """

    def __init__(
        self, results: Mapping[str, Result], left_out: Mapping[str, str] | None = None
    ) -> None:
        self._found = {name: r for name, r in results.items() if r.value is not None}
        unmeasured = {name: r.note for name, r in results.items() if r.value is None}
        self.left_out = {**unmeasured, **(left_out or {})}
        """What was not measured, or is stale: name → the reason."""

    @classmethod
    def of(cls, run: Run) -> Results:
        """What is kept in a run's folder, of the weights that it has now."""
        found = {
            name: Result(r["value"], r["stderr"], r["n"], r["protocol"], r["note"])
            for name, r in run.results().items()
        }
        return cls(found, run.left_out())

    def __getitem__(self, name: str) -> Result:
        if name in self._found:
            return self._found[name]
        if name in self.left_out:
            raise KeyError(f"'{name}' was left out: {self.left_out[name]}")
        raise KeyError(str(unknown("result", str(name), self._found)))

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def protocol(self, name: str = "") -> dict[str, str | int | float]:
        """How a number was measured, field by field; without a name, what all of them share."""
        if name:
            return dict(self[name].protocol)
        every = [result.protocol for result in self.values()]
        first = every[0] if every else {}
        return {k: v for k, v in first.items() if all(p.get(k) == v for p in every)}

    def to_frame(self) -> DataFrame:
        """A pandas frame: a row a number, with its error, count, note and every field of its protocol.

        ``unit`` and ``better`` (higher, lower, or empty) are what `triptych.metrics` declares of the number, which is to be
        multiplied by ``scale`` for the unit.

        Raises `TriptychError` where pandas is not installed.

        Example:
            >>> results = Results({"test/elbo": Result(-99.5, 0.25, 1000, {"split": "test"})})
            >>> results.to_frame().loc["test/elbo", "protocol.split"]
            'test'
            >>> results.to_frame().loc["test/elbo", ["unit", "better"]].tolist()
            ['nats an image', 'higher']
        """
        rows = [
            {"result": name, "value": r.value, "stderr": r.stderr, "n": r.n, "note": r.note}
            | {
                "unit": metric(name).unit,
                "scale": metric(name).scale,
                "better": metric(name).better,
            }
            | {f"protocol.{field}": said for field, said in r.protocol.items()}
            for name, r in self.items()
        ]
        return frame(rows, "result")

    def records(self) -> dict[str, dict[str, Any]]:
        """The same as results.json has it: name → {value, stderr, n, protocol, note}."""
        return {name: vars(result) for name, result in self.items()}

    def __repr__(self) -> str:
        lines = result_lines(self.records())
        lines += [f"left out: {', '.join(n)} ({why})" for why, n in grouped(self.left_out)]
        return "\n".join(map(printable, lines)) or "no results"

    def _repr_html_(self) -> str:
        """A table for a notebook, with each protocol folded away."""
        return results_card(self.records(), self.left_out)


class Study:
    """A study's folder after it was compared: arms over seeds, means with their errors, paired differences.

    Shown, it is a table of arms and metrics.
    """

    def __init__(self, path: str | Path, problems: Mapping[str, str] | None = None) -> None:
        self._folder = StudyFolder(as_path(path, "a study"))
        self.path = self._folder.path
        self.problems = dict(problems or {})
        """Runs that ended without an outcome, and why; `triptych.study` tries them again."""

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._folder.found["study"])

    @property
    def arms(self) -> list[str]:
        """The arms by name; the control is among them."""
        return list(self._folder.arms)

    @property
    def control(self) -> str:
        """The arm that the others are compared with."""
        return str(self._folder.found["control"])

    @property
    def seeds(self) -> list[int]:
        """One run of every arm for each."""
        return list(self._folder.found["seeds"])

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """What was compared, as study.json has it: metric → protocol, arms, differences and findings."""
        return dict(self._folder.found["metrics"])

    @property
    def findings(self) -> list[str]:
        """What was found, a sentence each."""
        return [said for found in self.metrics.values() for said in found["findings"]]

    def status(self) -> dict[str, str]:
        """How far every run is now, wherever it is worked on, in words; once all have ended they are compared anew.

        Raises `TriptychError` where the study was submitted to Slurm and its queue cannot be asked.
        """
        from triptych.studies.conclude import conclude
        from triptych.studies.plan import load
        from triptych.studies.status import status

        study = load(self.path / "study.toml")
        found = status(study, self.path)
        if found.complete:
            conclude(study, self.path)
            self._folder = StudyFolder(self.path)
        elif found.note:
            raise TriptychError(found.note)
        self.problems = {str(cell): why for cell, why in found.problems.items()}
        return {
            str(row.cell): f"{row.state}: {row.reason}" if row.reason else row.state
            for row in found.rows
        }

    def runs(self, arm: str) -> list[Run]:
        """The runs of an arm that are done; where none is, those that failed."""
        if arm not in self._folder.arms:
            raise unknown("arm", arm, self._folder.arms)
        return [Run(run.path) for run in self._folder.runs(arm)]

    def to_frame(self) -> DataFrame:
        """A pandas frame: a row for each arm and metric, with mean, error, and the difference from the control.

        ``low`` and ``high`` are the difference's 95 % interval and ``p`` is after Holm's correction; of one seed
        there is neither. Raises `TriptychError` where pandas is not installed.
        """
        rows = [
            {"arm": arm, "metric": metric}
            | {key: summary[key] for key in ("mean", "stderr", "n")}
            | self._difference(found, arm)
            for metric, found in self.metrics.items()
            for arm, summary in found["arms"].items()
        ]
        return frame(rows, "arm")

    def _difference(self, found: Mapping[str, Any], arm: str) -> dict[str, Any]:
        of = found["differences"].get(arm, {})
        names = {"difference": "mean", "low": "low", "high": "high", "p": "holm"}
        return {name: of.get(key) for name, key in names.items()}

    def table(self) -> list[list[str]]:
        """A head, then a row an arm: its name, and each metric's mean with its error and its difference."""
        metrics = {name: found for name, found in self.metrics.items() if found["arms"]}
        rows = [
            [arm, *(_cell(name, found, arm) for name, found in metrics.items())]
            for arm in self.arms
        ]
        return [["arm", *metrics], *rows]

    def __repr__(self) -> str:
        head = f"{self.name}: {len(self.arms)} arms × {len(self.seeds)} seeds, differences from {self.control}"
        rows = self.table()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        stuck = [f"no outcome: {cell}: {why}" for cell, why in self.problems.items()]
        return "\n".join(map(printable, [head, *lines, *stuck]))

    def _repr_html_(self) -> str:
        """A card for a notebook."""
        return study_card(self._folder, self.table(), self.problems)


def _cell(name: str, found: Mapping[str, Any], arm: str) -> str:
    """An arm's mean of a metric with its error, and in brackets the paired difference from the control with its own."""
    summary, difference = found["arms"][arm], found["differences"].get(arm)
    if summary["mean"] is None:
        return "none"
    said = value_with_error(name, summary["mean"], summary["stderr"])
    if difference is None or difference["mean"] is None:
        return said
    known, error = metric(name), difference["stderr"]
    apart = with_error(
        known.scale * difference["mean"], None if error is None else known.scale * error
    )
    unit = f" {known.points}" if known.points == "points" else ""
    return f"{said} ({'' if apart.startswith('−') else '+'}{apart}{unit})"
