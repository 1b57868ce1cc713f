"""Run folders: the only thing that passes from training to everything after it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from triptych import records, source, weights
from triptych.arrays import Moments, made_with, pack, save_sheet, unpack
from triptych.config import dump
from triptych.enclosed import enclosed
from triptych.errors import DamagedError, TriptychError, machine, printable, refused
from triptych.files import append, as_path, read_bytes, staged, sweep, write
from triptych.frames import frame
from triptych.locks import HeldError, locked
from triptych.ranks import ALONE, Ranks
from triptych.weights import Weights, staleness

if TYPE_CHECKING:
    from pandas import DataFrame

    from triptych.types import Method

__all__ = ["MethodFacts", "Result", "Run", "Status", "grouped", "holds", "kind", "list_runs"]

Status = Literal["done", "failed", "running", "interrupted"]

_SHOWN = {
    "train/elbo": "HasLikelihood",
    "valid/elbo": "HasLikelihood",
    "samples/diversity": "Samples",
    "train/critic_gap": "HasCritic",
    "train/gradient_norm": "LipschitzCritic",
    "features/std": "Projects",
}
"""What a method can do of which these are logged."""

REASON = 100_000
"""Bytes of the sentence in DONE or FAILED that are read at most."""

OURS = ("study.toml", "reproduce.json")
"""The files by which a study and a reproduction are known: folders that hold runs."""

DEEPEST = 4
"""Folders from a folder to the run of a study of a reproduction in it."""


@dataclass(frozen=True)
class Result:
    """One measured number, with all that is needed to believe or repeat it.

    ``value`` is a number, or a list or table of numbers; ``stderr`` is its
    standard error, or none with the reason in ``note``; ``n`` is how many
    examples it rests on; ``protocol`` says, field by field, how it was measured:
    two results may be compared only where all fields agree.
    """

    value: Any
    stderr: float | None
    n: int
    protocol: Mapping[str, str | int | float]
    note: str = ""

    @classmethod
    def left_out(cls, why: str, protocol: Mapping[str, str | int | float]) -> Result:
        """What was not measured, and the reason: it stands in results.json without a value.

        Example:
            >>> Result.left_out("the validation split has no labels", {"split": "valid"}).value is None
            True
        """
        return cls(None, None, 0, protocol, why)


class MethodFacts(NamedTuple):
    """What a run folder says of its method, without the method's code."""

    name: str
    """On the command line."""
    title: str
    """What a page calls it."""
    about: str
    """The first line of its docstring; empty where the folder does not say."""
    can: frozenset[str]
    """Its capabilities, by the names of the protocols of `triptych.types`."""
    formula: str = ""
    """What it optimises, as one formula in LaTeX; empty where the folder does not say."""


class Run:
    """One run's folder.

    Where several processes work on it together, it need be there for the first of them alone: what any of them writes
    is written by that one, and what a training or an evaluation reads (config, log, how it ended, what checkpoints say
    of themselves) is read by it and handed to all. Reading is a meeting then: every rank asks for the same in the same
    order. What only pictures and pages ask for (`results`, `arrays`, `moments`) is read where it is asked for.

    Example:
        >>> run = Run.create(tmp_path / "a", {"seed": 0, "method": {"name": "vae"}})
        >>> run.log({"step": 1, "train/elbo": -200.0})
        >>> Run.open(tmp_path / "a").metrics()
        [{'step': 1, 'train/elbo': -200.0}]
        >>> run.status()
        'interrupted'
    """

    def __init__(
        self, path: str | Path, made_with: Weights | None = None, ranks: Ranks = ALONE
    ) -> None:
        self.path = as_path(path, "a run")
        self.ranks = ranks
        self.made_with = made_with
        """The weights of the evaluation that writes into the folder: what it keeps carries their digest."""

    @classmethod
    def create(
        cls, path: str | Path, config: Mapping[str, Any], files: Mapping[str, str] | None = None
    ) -> Run:
        """Make the folder with its config and other ``files``, whole or not at all, whenever the process is killed.

        Raises `TriptychError` where something is there already.
        """
        path = as_path(path, "a run")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() or path.is_symlink():
                raise FileExistsError
            sweep(path.parent)
            with staged(path) as folder:
                for name in ("checkpoints", "samples", "figures"):
                    (folder / name).mkdir(parents=True)
                for name, text in {"config.toml": dump(config), **(files or {})}.items():
                    (folder / name).write_bytes(text.encode("utf-8", "replace"))
        except OSError as error:
            # The folder of a process that was quicker has files in it, and nothing takes their place.
            if path.parent.is_dir() and (path.exists() or path.is_symlink()):
                begun = (path / "config.toml").is_file()
                remedy = f"go on with it: triptych train --resume {path}" if begun else "delete it"
                raise TriptychError(
                    f"'{path}' exists already{'' if begun else ' and is no run'}; "
                    f"choose another --out, or {remedy}"
                ) from None
            raise refused("make the run folder", path, error) from None
        return cls(path)

    @classmethod
    def create_numbered(
        cls,
        root: str | Path,
        title: str,
        config: Mapping[str, Any],
        files: Mapping[str, str] | None = None,
    ) -> Run:
        """Make ``root/00007-title`` with the next free number, safe when two start at once."""
        root = as_path(root, "the folder of runs")
        with machine("make the folder", root):
            root.mkdir(parents=True, exist_ok=True)
        with locked(root / ".lock"):
            taken = [int(m[0]) for p in root.glob("*") if (m := re.match(r"\d{5}", p.name))]
            number = max(taken, default=-1) + 1
            return cls.create(root / f"{number:05d}-{_slug(title)}", config, files)

    @classmethod
    def open(cls, path: str | Path, ranks: Ranks = ALONE) -> Run:
        """An existing run's folder; a `TriptychError` for anything else, and where something in it leads out of it."""
        path = as_path(path, "a run")
        ranks.by_first(lambda: cls._must_be_there(path))
        return cls(path, ranks=ranks)

    @staticmethod
    def _must_be_there(path: Path) -> None:
        # A pipe of that name is no config either; another folder, a home say, is not walked through.
        if holds(path, "config.toml"):
            enclosed(path)
        if not os.path.lexists(path):
            raise TriptychError(f"'{path}' is not a run folder: there is nothing of that name")
        if not (path / "config.toml").is_file():
            below = "*/seed-*/config.toml" if kind(path) == "study" else "*/config.toml"
            inside = sorted(str(p.parent.relative_to(path)) for p in path.glob(below))
            held = f"; it holds {', '.join(inside[:4])}: name one of them" if inside else ""
            raise TriptychError(f"'{path}' is not a run folder: it has no config.toml{held}")

    @property
    def config(self) -> dict[str, Any]:
        """The tables of config.toml."""
        return self.ranks.by_first(self._config)

    def _config(self) -> dict[str, Any]:
        try:
            return records.config(self.path / "config.toml")
        except FileNotFoundError:
            raise TriptychError(f"'{self.path}' has no config.toml any more") from None

    def environment(self) -> dict[str, Any]:
        """What environment.json holds; empty where it is not there."""
        return self.ranks.by_first(lambda: records.environment(self.path / "environment.json"))

    def method(self) -> MethodFacts:
        """The method as environment.json has it; of a folder that does not say, what its log shows.

        Example:
            >>> run = Run.create(tmp_path / "older", {"method": {"name": "wae"}})
            >>> run.log({"step": 1, "features/std": 0.9})
            >>> run.method()
            MethodFacts(name='wae', title='wae', about='', can=frozenset({'Projects'}), formula='')
        """
        name = str(self.config.get("method", {}).get("name", ""))
        told: Any = self.environment().get("method")
        try:
            records.fit(told, records.METHOD, "it")
        except ValueError:
            logged = {key for line in self.metrics() for key in line}
            can = frozenset(what for key, what in _SHOWN.items() if key in logged)
            return MethodFacts(name, name, "", can)
        return MethodFacts(
            name,
            told["title"] or name,
            told["about"],
            frozenset(told["can"]),
            told.get("formula", ""),
        )

    def checkpoint(self, which: str) -> Path:
        """Where the checkpoint ``last`` or ``best`` lies."""
        return self.path / "checkpoints" / f"{which}.safetensors"

    def has(self, which: str) -> bool:
        """Whether there is a checkpoint ``last`` or ``best``."""
        return self.ranks.by_first(self.checkpoint(which).exists)

    def about(self, which: str) -> dict[str, Any]:
        """What the checkpoint ``last`` or ``best`` says of itself; empty where there is none that says anything."""
        return self.ranks.by_first(lambda: weights.about(self.checkpoint(which)))

    def weights(self, which: str) -> Weights | None:
        """Step and digest of the checkpoint ``last`` or ``best`` as it is now; none where it does not say."""
        about = self.about(which)
        step, digest = about.get("step"), about.get("weights")
        if not isinstance(step, int) or not isinstance(digest, str):
            return None
        return Weights(which, step, digest)

    def chosen(self) -> Weights | None:
        """The weights that an evaluation or an export takes if nobody says otherwise."""
        return self.weights("best") or self.weights("last")

    def edited(self, called: Callable[[str], str] = str) -> list[str]:
        """What config.toml says otherwise than the config that the weights were trained with, a clause each.

        ``called`` says how a clause calls a field, where not by its name in config.toml. The copy of a method's own file is held against its digest there.

        Example:
            >>> run = Run.create(tmp_path / "edited", {"train": {"batch_size": 64}})
            >>> run.edited()
            []
        """
        config = self.config
        trained = self.about("last").get("config") or self.about("best").get("config")
        told: Mapping[str, Any] = trained if isinstance(trained, Mapping) else config
        its_file = self.ranks.by_first(lambda: source.edited(self.path, told))
        return ([] if told is config else weights.edits(told, config, called)) + its_file

    def doubt(self) -> str:
        """Why the best weights are a bad choice, in a sentence; empty where nothing speaks against them."""
        chosen, best = self.about("best").get("chosen"), self.weights("best")
        if best is None or not isinstance(chosen, Mapping):
            return ""
        return weights.doubt(best, chosen, [since for since, _ in self.alarms()])

    def write(self, name: str, text: str) -> None:
        """Replace a text file of the folder in one step, never half-written."""
        if self.ranks.first:
            write(self.path / name, text)

    def tidy(self) -> None:
        """Remove what processes that were killed left half-written."""
        if self.ranks.first:
            below = ("checkpoints", "samples", "samples/moments", "figures")
            sweep(self.path, *(self.path / name for name in below))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run while training: a second process that tries is told so."""
        with ExitStack() as stack:
            self.ranks.by_first(lambda: stack.enter_context(self._held()))
            self.tidy()
            yield

    @contextmanager
    def _held(self) -> Iterator[None]:
        with locked(self.path / ".lock", f"another process is training '{self.path}' just now", 1):
            yield

    def status(self) -> Status:
        """How the run ended, or that it has not."""
        return self.ranks.by_first(self._status)

    def _status(self) -> Status:
        for name, status in (("DONE", "done"), ("FAILED", "failed")):
            if (self.path / name).exists():
                return status  # type: ignore[return-value]
        if not (self.path / ".lock").exists():
            return "interrupted"
        try:
            with self._held():
                return "interrupted"
        except HeldError:
            return "running"
        except TriptychError:
            # Nobody holds what is no lock; whether somebody does who may, this one cannot know.
            return "interrupted"

    def reason(self) -> str:
        """What DONE or FAILED says."""
        return self.ranks.by_first(self._reason)

    def _reason(self) -> str:
        for name in ("DONE", "FAILED"):
            if (self.path / name).exists():
                said = read_bytes(self.path / name, REASON).decode("utf-8", "replace")
                return printable(said.strip())
        return ""

    def finish(self, status: Literal["DONE", "FAILED"], reason: str) -> None:
        """Mark how the run ended."""
        self.write(status, reason + "\n")

    def reopen(self) -> None:
        """Forget how the run ended, and what was drawn and made playable then: it goes on.

        What was measured stays, and is stale as soon as the weights are others (`results`).
        """
        if not self.ranks.first:
            return
        for name in ("DONE", "FAILED", "playable.json"):
            (self.path / name).unlink(missing_ok=True)
        folder = self.path / "figures"
        # Behind a link of a stranger's folder lie pictures of somebody else.
        for drawn in () if folder.is_symlink() else folder.glob("*"):
            if drawn.suffix in (".png", ".pdf"):
                drawn.unlink()

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl, whole or not at all."""
        if self.ranks.first:
            append(self.path / "metrics.jsonl", json.dumps(entry) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line cut off by a kill is dropped."""
        return self.ranks.by_first(lambda: records.metrics(self.path / "metrics.jsonl"))

    def frame(self) -> DataFrame:
        """The same as a pandas frame: a row a step, a column for everything that was logged.

        Raises `TriptychError` where pandas is not installed.

        Example:
            >>> run = Run.create(tmp_path / "framed", {})
            >>> run.log({"step": 10, "train/loss": 2.0})
            >>> run.log({"step": 10, "valid/loss": 2.5})
            >>> run.frame().loc[10].to_dict()
            {'train/loss': 2.0, 'valid/loss': 2.5}
        """
        steps: dict[int, dict[str, Any]] = {}
        for line in self.metrics():
            steps.setdefault(line["step"], {}).update(line)
        return frame(list(steps.values()), "step")

    def load(self, which: Literal["best", "last"] = "best", *, device: str = "auto") -> Method:
        """The trained method, in ``eval()`` mode and without gradients; see `triptych.load_method`."""
        # The package's own door: a folder knows nothing of how a method is built.
        import triptych

        return triptych.load_method(self, which, device=device)

    def __repr__(self) -> str:
        """The folder, what was trained on what, how it ended and how far it came, on one line."""
        try:
            enclosed(self.path)
            config, last = self.config, self.metrics()[-1:]
            trained = config.get("method", {}).get("name", "?")
            data = Path(str(config.get("data", {}).get("name", "?"))).name
            steps = f", step {last[0]['step']:,}" if last else ""
            said = f"{trained} on {data}, {self.status()}{steps}"
        except (TriptychError, OSError) as error:
            said = str(error)
        return printable(f"<Run '{self.path}': {said}>")

    def _repr_html_(self) -> str:
        """A card for a notebook."""
        import triptych

        return triptych.card(self)

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of one logged metric."""
        found = [entry for entry in self.metrics() if name in entry]
        if not all("epoch" in entry for entry in found):
            raise DamagedError(self.path / "metrics.jsonl", f"a line with {name} has no epoch")
        return [e["epoch"] for e in found], [e[name] for e in found]

    def rewind(self, step: int) -> None:
        """Drop the metrics of steps after ``step``: a resumed run writes them again."""
        kept = [e for e in self.metrics() if e["step"] <= step]
        self.write("metrics.jsonl", "".join(json.dumps(e) + "\n" for e in kept))

    def results(self) -> dict[str, dict[str, Any]]:
        """What was measured, from results.json: name → {value, stderr, n, protocol, note}.

        Numbers of weights that the run does not have any more are stale and not among
        them: a training went on, or began again, after they were measured. As a table: `triptych.results`.
        """
        stale = self._stale()
        return {
            name: result
            for name, result in self._recorded().items()
            if not _left_out(result) and not stale(_protocol_of(result))
        }

    def recorded(self) -> dict[str, Result]:
        """All of results.json, what was left out and what is stale too."""
        return {name: Result(**result) for name, result in self._recorded().items()}

    def left_out(self) -> dict[str, str]:
        """What results.json names without a value, and what is stale: name → the reason."""
        stale, found = self._stale(), {}
        for name, result in self._recorded().items():
            if why := stale(_protocol_of(result)):
                found[name] = why
            elif _left_out(result):
                found[name] = str(result.get("note", ""))
        for path in sorted((self.path / "samples").glob("*.npz")):
            if why := stale(made_with(path)):
                found[f"pictures: {path.stem}"] = why
        return found

    def stale(self, made_with: Mapping[str, Any]) -> str:
        """Why what was made with these weights does not belong to the run now; empty where it does.

        Args:
            made_with: has ``checkpoint``, ``step`` and ``weights``, the digest, as every protocol does.
                What does not say its weights, or is of the untrained network, is not stale.
        """
        return self._stale()(made_with)

    def _stale(self) -> Callable[[Mapping[str, Any]], str]:
        """`stale`, for many questions: the checkpoints are looked at once."""
        return staleness(
            [w for which in ("best", "last") if (w := self.weights(which)) is not None]
        )

    def _recorded(self) -> dict[str, dict[str, Any]]:
        return records.results(self.path / "results.json")

    def record(self, results: Mapping[str, Result]) -> None:
        """Add results to results.json, replacing those of the same name and those of other images."""
        if not self.ranks.first:
            return
        added = {k: asdict(_finite(v)) for k, v in results.items()}
        images = {found for v in added.values() if (found := v["protocol"].get("fingerprint"))}
        # Of two evaluations at once neither may write back what it read before the other's results were there.
        with locked(self.path / ".results.lock"):
            merged = {
                name: result
                for name, result in self._recorded().items()
                if not images or _protocol_of(result).get("fingerprint") in (None, *images)
            } | added
            self.write(
                "results.json",
                json.dumps(dict(sorted(merged.items())), indent=1, allow_nan=False) + "\n",
            )

    def save_arrays(self, name: str, **arrays: npt.NDArray[Any]) -> None:
        """Keep what a picture is drawn from as samples/name.npz, with the weights it was made with."""
        if not self.ranks.first:
            return
        weights = None if self.made_with is None else self.made_with.protocol()
        pack(self.path / "samples" / f"{name}.npz", arrays, weights)

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """What `save_arrays` kept, or none; none too where it is stale, as `results` says."""
        try:
            found, weights = unpack(self.path / "samples" / f"{name}.npz")
        except FileNotFoundError:
            return None
        return None if self.stale(weights) else found

    def save_moment(self, step: int, images: npt.NDArray[np.uint8]) -> None:
        """Keep a square number of images N×C×H×W, side by side, as samples/moments/<step>.png."""
        if not self.ranks.first:
            return
        save_sheet(self.path / "samples" / "moments" / f"{step:08d}.png", images)

    def moments(self, side: int = 8) -> Moments:
        """What `save_moment` kept of side × side images, by step: N×C×H×W, each read when it is asked for."""
        return Moments(self.path / "samples" / "moments", side)

    def alarms(self) -> list[tuple[int, str]]:
        """Every alarm that was raised in training: the step since which it is so, and the sentence."""
        return [(e.get("since", e["step"]), e["alarm"]) for e in self.metrics() if "alarm" in e]


def kind(path: Path) -> Literal["run", "study"] | None:
    """Whether a folder is that of a run or of a study, compared already or not; none for any other.

    Example:
        >>> kind(Run.create(tmp_path / "one", {}).path), kind(tmp_path)
        ('run', None)
    """
    if any((path / name).is_file() for name in ("study.json", "study.toml")):
        return "study"
    return "run" if (path / "config.toml").is_file() else None


def _protocol_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    found = result.get("protocol") if isinstance(result, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _finite(result: Result) -> Result:
    """The result, or that it was no number: JSON has no word for that, and nobody could compare it."""
    try:
        json.dumps((result.value, result.stderr), allow_nan=False)
    except ValueError:
        return Result.left_out("what was measured is not a finite number", result.protocol)
    return result


def grouped(left_out: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Each reason once, with the names of all that it kept from being measured.

    Example:
        >>> grouped({"a": "no labels", "b": "one image", "c": "no labels"})
        [('no labels', ['a', 'c']), ('one image', ['b'])]
    """
    found: dict[str, list[str]] = {}
    for name, why in left_out.items():
        found.setdefault(why, []).append(name)
    return list(found.items())


def _left_out(result: Mapping[str, Any]) -> bool:
    return isinstance(result, Mapping) and result.get("value", 0) is None


def _slug(title: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-") or "run"


def list_runs(folder: str | Path = "runs") -> list[Run]:
    """Every run below a folder, those of studies and reproductions in it too, by path.

    A run, an arm or a study may be named itself. Other folders are not searched, since they are not Triptych's,
    and neither are links to folders of runs.
    """
    return [Run(path) for path in sorted(_found(as_path(folder, "a folder of runs"), DEEPEST))]


def _found(folder: Path, deep: int) -> Iterator[Path]:
    if holds(folder, "config.toml"):
        yield folder
        return
    try:
        # Hidden ones are half-made and nobody's.
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return
    a_study = holds(folder, "study.toml")
    for path in inside:
        leads_on = deep and not path.is_symlink() and (a_study or holds(path, *OURS))
        if leads_on or holds(path, "config.toml"):
            yield from _found(path, deep - 1)


def holds(folder: Path, *names: str) -> bool:
    """Whether something of one of these names is in a folder, a link that leads nowhere included: it is to be named, not hidden."""
    return any(os.path.lexists(folder / name) for name in names)
