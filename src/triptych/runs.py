"""Run folders: the only thing that passes from training to everything after it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from triptych.config import dump, read_toml
from triptych.errors import TriptychError

__all__ = ["Result", "Run", "Status", "grouped", "list_runs"]

Status = Literal["done", "failed", "running", "interrupted"]


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


class Run:
    """One run's folder.

    Example:
        >>> run = Run.create(tmp_path / "a", {"seed": 0, "method": {"name": "vae"}})
        >>> run.log({"step": 1, "train/elbo": -200.0})
        >>> Run.open(tmp_path / "a").metrics()
        [{'step': 1, 'train/elbo': -200.0}]
        >>> run.status()
        'interrupted'
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any]) -> Run:
        """Make the folder and write its config; a `TriptychError` where something is there already."""
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            raise TriptychError(
                f"'{path}' exists already; choose another --out, "
                f"or go on with it: triptych train --resume {path}"
            ) from None
        except OSError as error:
            raise TriptychError(f"cannot make the run folder '{path}': {error.strerror}") from None
        for folder in ("checkpoints", "samples", "figures"):
            (path / folder).mkdir()
        run = cls(path)
        run.write("config.toml", dump(config))
        return run

    @classmethod
    def create_numbered(cls, root: Path, title: str, config: Mapping[str, Any]) -> Run:
        """Make ``root/00007-title`` with the next free number, safe when two start at once."""
        from filelock import FileLock

        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TriptychError(f"cannot make the folder '{root}': {error.strerror}") from None
        with FileLock(root / ".lock"):
            taken = [int(m[0]) for p in root.glob("*") if (m := re.match(r"\d{5}", p.name))]
            number = max(taken, default=-1) + 1
            return cls.create(root / f"{number:05d}-{_slug(title)}", config)

    @classmethod
    def open(cls, path: Path) -> Run:
        """An existing run's folder; a `TriptychError` for anything else."""
        if not (path / "config.toml").is_file():
            inside = sorted(str(p.parent.relative_to(path)) for p in path.glob("*/config.toml"))
            held = f"; it holds {', '.join(inside[:4])}: name one of them" if inside else ""
            raise TriptychError(f"'{path}' is not a run folder: it has no config.toml{held}")
        return cls(path)

    @property
    def config(self) -> dict[str, Any]:
        """The tables of config.toml."""
        return read_toml(self.path / "config.toml")

    def checkpoint(self, which: str) -> Path:
        """Where the checkpoint ``last`` or ``best`` lies."""
        return self.path / "checkpoints" / f"{which}.safetensors"

    def write(self, name: str, text: str) -> None:
        """Replace a text file of the folder in one step, never half-written."""
        target = self.path / name
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run while training: a second process that tries is told so."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.path / ".lock", timeout=1):
                yield
        except Timeout:
            raise TriptychError(f"another process is training '{self.path}' just now") from None

    def status(self) -> Status:
        """How the run ended, or that it has not."""
        for name, status in (("DONE", "done"), ("FAILED", "failed")):
            if (self.path / name).exists():
                return status  # type: ignore[return-value]
        if not (self.path / ".lock").exists():
            return "interrupted"
        try:
            with self.lock():
                return "interrupted"
        except (TriptychError, PermissionError):
            return "running"

    def reason(self) -> str:
        """What DONE or FAILED says."""
        for name in ("DONE", "FAILED"):
            if (self.path / name).exists():
                return (self.path / name).read_text(encoding="utf-8").strip()
        return ""

    def finish(self, status: Literal["DONE", "FAILED"], reason: str) -> None:
        """Mark how the run ended."""
        self.write(status, reason + "\n")

    def reopen(self) -> None:
        """Forget how the run ended and what was measured then: it goes on."""
        for name in ("DONE", "FAILED", "results.json"):
            (self.path / name).unlink(missing_ok=True)

    def log(self, entry: Mapping[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line cut off by a kill is dropped."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").split("\n")
        try:
            return [json.loads(line) for line in lines[:-1] if line]
        except ValueError as error:
            raise TriptychError(f"'{path}' is damaged: {error}") from None

    def curve(self, name: str) -> tuple[list[float], list[float]]:
        """Epochs and values of one logged metric."""
        points = [(e["epoch"], e[name]) for e in self.metrics() if name in e]
        return [p[0] for p in points], [p[1] for p in points]

    def rewind(self, step: int) -> None:
        """Drop the metrics of steps after ``step``: a resumed run writes them again."""
        kept = [e for e in self.metrics() if e["step"] <= step]
        self.write("metrics.jsonl", "".join(json.dumps(e) + "\n" for e in kept))

    def results(self) -> dict[str, dict[str, Any]]:
        """What was measured, from results.json: name → {value, stderr, n, protocol, note}."""
        return {k: v for k, v in self._recorded().items() if not _left_out(v)}

    def left_out(self) -> dict[str, str]:
        """What results.json names without a value: name → the reason."""
        return {k: v["note"] for k, v in self._recorded().items() if _left_out(v)}

    def _recorded(self) -> dict[str, dict[str, Any]]:
        path = self.path / "results.json"
        if not path.exists():
            return {}
        try:
            found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise TriptychError(f"'{path}' is damaged: {error}") from None
        return found

    def record(self, results: Mapping[str, Result]) -> None:
        """Add results to results.json, replacing those of the same name."""
        merged = self._recorded() | {k: asdict(v) for k, v in results.items()}
        self.write(
            "results.json",
            json.dumps(dict(sorted(merged.items())), indent=1, allow_nan=False) + "\n",
        )

    def save_arrays(self, name: str, **arrays: npt.NDArray[Any]) -> None:
        """Keep what a picture is drawn from as samples/name.npz."""
        temporary = self.path / "samples" / f".{name}.{os.getpid()}.npz"
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(self.path / "samples" / f"{name}.npz")

    def arrays(self, name: str) -> dict[str, npt.NDArray[Any]] | None:
        """What `save_arrays` kept, or none."""
        path = self.path / "samples" / f"{name}.npz"
        if not path.exists():
            return None
        # Opened here, since NumPy leaves open what turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)

    def save_moment(self, step: int, images: npt.NDArray[np.uint8]) -> None:
        """Keep a square number of images N×C×H×W, side by side, as samples/moments/<step>.png."""
        from PIL import Image

        count, channels, height, width = images.shape
        side = math.isqrt(count)
        sheet = images.reshape(side, side, channels, height, width).transpose(0, 3, 1, 4, 2)
        sheet = sheet.reshape(side * height, side * width, channels)
        folder = self.path / "samples" / "moments"
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{step}.{os.getpid()}"
        Image.fromarray(sheet.squeeze(2) if channels == 1 else sheet).save(temporary, "PNG")
        temporary.replace(folder / f"{step:08d}.png")

    def moments(self, side: int = 8) -> Moments:
        """What `save_moment` kept of side × side images, by step: N×C×H×W, each read when it is asked for."""
        return Moments(self.path / "samples" / "moments", side)

    def alarms(self) -> list[tuple[int, str]]:
        """Every alarm that was raised in training: the step since which it is so, and the sentence."""
        return [(e.get("since", e["step"]), e["alarm"]) for e in self.metrics() if "alarm" in e]


class Moments(Mapping[int, npt.NDArray[np.uint8]]):
    """Images by step, of which only those that are held fill the memory."""

    def __init__(self, folder: Path, side: int) -> None:
        self.side = side
        self.paths = {int(path.stem): path for path in sorted(folder.glob("*.png"))}

    def __getitem__(self, step: int) -> npt.NDArray[np.uint8]:
        from PIL import Image

        with Image.open(self.paths[step]) as picture:
            sheet = np.atleast_3d(np.asarray(picture))
        side, channels = self.side, sheet.shape[2]
        height, width = sheet.shape[0] // side, sheet.shape[1] // side
        images = sheet.reshape(side, height, side, width, channels).transpose(0, 2, 4, 1, 3)
        return images.reshape(-1, channels, height, width)

    def __iter__(self) -> Iterator[int]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


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


def list_runs(roots: Iterable[Path]) -> list[Run]:
    """Every run folder directly below the given folders, by name."""
    found = [p.parent for root in roots if root.is_dir() for p in root.glob("*/config.toml")]
    return [Run(path) for path in sorted(found)]
