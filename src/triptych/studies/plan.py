"""A study file, read strictly: complete configs of every arm, and the folder that holds their runs."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from triptych import plugins, presets
from triptych.config import dump, limited, merge, read_toml, to_dict
from triptych.enclosed import enclosed
from triptych.errors import DamagedError, TriptychError, unknown
from triptych.experiment import SEEDS, ExperimentConfig, default_config
from triptych.files import as_path, read_text, write
from triptych.plugins import Own
from triptych.records import Shape, fit

__all__ = [
    "FILE",
    "Cell",
    "Study",
    "StudyConfig",
    "difference",
    "find",
    "load",
    "open_folder",
    "planned",
    "refuse_another",
]

TABLES = ("method", "data", "train")
"""What an arm may change; its seeds are the study's."""

FILE = "study.toml"
"""The study file in the study's folder, which needs no preset any more."""

FOLDER: Shape = {"study": {"checkpoint": str}, "arms": {...: dict}}
"""What of it runs depend on that are there already."""

RESERVED = ("figures", "logs")
"""Folders of a study that are no arms."""


@dataclass(frozen=True)
class StudyConfig:
    """The table [study]: what is compared over which seeds, and by which numbers."""

    name: str = ""
    """What the study is called; without one, its file's name."""
    method: str = ""
    """The method that every arm trains: a name, or the path of a file as seen from the study's own."""
    preset: str | None = None
    """The preset that the arms start from."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run of every arm for each; the runs of one seed make a pair."""
    control: str = ""
    """The arm that the others are compared with; without one, the first."""
    metrics: tuple[str, ...] = ()
    """The numbers to compare: names of results.json, or of metrics.jsonl (their last value)."""
    curves: tuple[str, ...] = ()
    """The metrics to draw over the training."""
    evaluate: bool = True
    """Whether every run is measured after its training."""
    checkpoint: Literal["best", "last"] = "best"
    """The weights that are measured; the best ones may be from before a collapse."""

    def __post_init__(self) -> None:
        """Refuse seeds that pair nothing."""
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise TriptychError("a study needs one seed or more, each of them once")
        for seed in self.seeds:
            limited("a seed", seed, -SEEDS, SEEDS)


class Cell(NamedTuple):
    """One run of a study."""

    arm: str
    seed: int

    def path(self, folder: Path) -> Path:
        """Its run folder in the study's."""
        return folder / self.arm / f"seed-{self.seed}"

    @property
    def log(self) -> str:
        """Where its process says what goes wrong, as seen from the study's folder."""
        return f"logs/{self.arm}-seed-{self.seed}.log"

    def __str__(self) -> str:
        return f"{self.arm}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """Arms by name, the complete config of each, and how they are compared.

    The arms of a seed share initial weights, order of the images and all random draws
    wherever their configs agree, since those follow from (seed, purpose) alone.
    """

    config: StudyConfig
    arms: Mapping[str, ExperimentConfig]

    def cells(self) -> Iterator[Cell]:
        """Every run, the arms of a seed together: pairs are complete as early as can be."""
        return (Cell(arm, seed) for seed in self.config.seeds for arm in self.arms)

    def experiment(self, cell: Cell) -> ExperimentConfig:
        """The config of one run."""
        return dataclasses.replace(self.arms[cell.arm], seed=cell.seed)

    @property
    def method(self) -> str:
        """The method as the study file in the study's folder names it: a file of one's own lies beside it."""
        own = self._own()
        return self.config.method if own is None else f"{own.name}.py"

    def files(self) -> dict[str, str]:
        """The file of the arms' method, if it is one's own, by its name in the study's folder."""
        own = self._own()
        return {} if own is None else {self.method: own.text}

    def _own(self) -> Own | None:
        config = next(iter(self.arms.values()), None)
        if config is None or config.source is None or config.source.package:
            return None
        return plugins.loaded(config.method_name, config.source)

    def tables(self) -> dict[str, Any]:
        """As study.toml holds it: a study file that needs no preset any more, and none of one's own beside it."""
        config = self.config
        if (config.preset or "").endswith(".toml"):
            config = dataclasses.replace(config, preset=None)
        return {
            "study": {**to_dict(config), "method": self.method},
            "arms": {name: _changeable(config) for name, config in self.arms.items()},
        }


def _changeable(config: ExperimentConfig) -> dict[str, Any]:
    tables = config.tables()
    for name in ("name", "source"):
        tables["method"].pop(name, None)
    return {name: tables[name] for name in TABLES}


def find(name: str) -> Path:
    """The study file of that path, or else the one of that name which comes with Triptych.

    Example:
        >>> name = min(presets.studies())
        >>> find(f"anywhere/{name}.toml") == find(name)
        True
    """
    path = as_path(name, "a study file")
    if path.is_file():
        return path
    packaged = presets.studies()
    if path.stem not in packaged:
        raise unknown("study file", name, packaged)
    return packaged[path.stem]


def load(
    path: Path,
    changes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    options: Mapping[str, Any] | None = None,
    *,
    only_trusted: bool = True,
) -> Study:
    """Read a study file; ``changes`` (``train.batch_size=32``) hold for all arms, ``seeds`` replace its own.

    ``options`` are fields of its table [study], and win over it.

    Raises `TriptychError` for anything in it that no config knows, naming the arm, and with ``only_trusted`` for
    a method's file that was neither trained nor trusted on this machine: whose study file it is, nobody knows.

    Example:
        >>> file = tmp_path / "batches.toml"
        >>> _ = file.write_text(find(min(presets.studies())).read_text() + '''
        ... [arms.small-batches]
        ... train.batch_size = 16
        ... ''')
        >>> study = load(file, seeds=[7])
        >>> [(str(cell), study.experiment(cell).train.batch_size) for cell in study.cells()][-1]
        ('small-batches, seed 7', 16)
    """
    tables = read_toml(path)
    told = _table(tables.get("study", {}), "[study]")
    study = {"name": path.stem, **told, **(options or {})}
    # A method among the options was named by whoever calls.
    only_trusted = only_trusted and "method" not in (options or {})
    tables = {**tables, "study": study}
    return planned(tables, changes, seeds, path.parent, only_trusted=only_trusted)


def planned(
    tables: Mapping[str, Any],
    changes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    folder: Path = Path(),
    *,
    only_trusted: bool = False,
) -> Study:
    """As `load`, of the tables of a study file that lies, or might lie, in ``folder``."""
    _only(tables, ("study", "base", "arms"), "table of a study file")
    for name in tables:
        _table(tables[name], f"[{name}]")
    config = merge(StudyConfig(), tables.get("study", {}))
    if seeds:
        config = dataclasses.replace(config, seeds=tuple(seeds))
    base = _changed(_start(config, folder, only_trusted), tables.get("base", {}), "[base]")
    for change in changes:
        base = _changed(base, _one_change(change), f"--set {change}")
    arms = {
        name: _changed(base, _table(table, f"[arms.{name}]"), f"arm '{name}'")
        for name, table in tables.get("arms", {}).items()
    }
    return Study(_checked(config, list(arms)), arms)


def _start(config: StudyConfig, folder: Path, only_trusted: bool) -> ExperimentConfig:
    if not config.method:
        raise TriptychError('a study file names its method: [study] with method = "..."')
    # Files of one's own are named as seen from the study file.
    method = folder / config.method if config.method.endswith(".py") else config.method
    preset = config.preset
    if preset is not None and preset.endswith(".toml"):
        preset = str(folder / preset)
    return default_config(method, preset, only_trusted=only_trusted)


def _checked(config: StudyConfig, arms: list[str]) -> StudyConfig:
    if not arms or not config.metrics:
        raise TriptychError("a study needs an arm or more, [arms.NAME], and metrics in [study]")
    for name in arms:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in RESERVED:
            raise TriptychError(
                f"an arm cannot be called '{name}': its name is that of a folder; use letters, "
                f"digits and hyphens, and neither {' nor '.join(RESERVED)}"
            )
    config = dataclasses.replace(config, control=config.control or arms[0])
    if config.control not in arms:
        raise unknown("arm", config.control, arms)
    return config


def _changed(config: ExperimentConfig, tables: Mapping[str, Any], where: str) -> ExperimentConfig:
    try:
        _only(tables, TABLES, "table of an arm")
        return merge(config, tables)
    except TriptychError as error:
        raise TriptychError(f"{where}: {error}") from None


def _only(tables: Mapping[str, Any], known: Sequence[str], kind: str) -> None:
    for name in tables:
        if name not in known:
            raise unknown(kind, name, known)


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TriptychError(f"{where} must be a table, not {value!r}")
    return value


def _one_change(text: str) -> dict[str, Any]:
    """``train.batch_size=32`` as tables; what is no TOML value is a text."""
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[\w.-]+", key):
        raise TriptychError(f"--set takes KEY=VALUE, train.batch_size=32 say, not '{text}'")
    try:
        return tomllib.loads(f"{key} = {value}")
    except tomllib.TOMLDecodeError:
        tables: Any = value
        for name in reversed(key.split(".")):
            tables = {name: tables}
        return dict(tables)


def open_folder(folder: Path, study: Study) -> None:
    """Make the study's folder, or see that one which exists has runs of the same arms, and write down what it is.

    Whoever may not be alone in it holds it first (`triptych.studies.guard.alone`).
    """
    refuse_another(folder, study)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in study.files().items():
        write(folder / name, text)
    write(folder / FILE, dump(study.tables()))


def refuse_another(folder: Path, study: Study) -> None:
    """`TriptychError` where the folder holds anything but this study.

    A study may grow by arms and seeds, and compare by other numbers; runs that were made by
    another config than the file's are not mixed with new ones.
    """
    path = folder / FILE
    others = not os.path.lexists(path) and folder.is_dir()
    if others and any(_is_no_beginning(p, study) for p in folder.iterdir()):
        raise TriptychError(f"'{folder}' is not empty and holds no study; choose another --out")
    enclosed(folder)
    if path.exists():
        before, now = read_toml(path), study.tables()
        try:
            fit(before, FOLDER, "it")
        except ValueError as error:
            raise DamagedError(path, str(error), "choose another --out") from None
        fixed = before["arms"]
        differs = difference(_fixed(before, fixed), _fixed(now, fixed)) or _other_file(
            folder, study
        )
        if differs:
            raise TriptychError(
                f"'{folder}' holds a study in which {differs}; choose another --out, or delete it"
            )


def _is_no_beginning(path: Path, study: Study) -> bool:
    """Whether a file is another than those that a study begins with, its study.toml among them: that may come just now."""
    begun = (FILE, *study.files())
    return path.name not in (".lock", *begun) and not path.name.startswith(
        tuple(f".{name}." for name in begun)
    )


def _other_file(folder: Path, study: Study) -> str:
    """Whether the method's file is another than the study's folder has, in words."""
    for name, text in study.files().items():
        kept = folder / name
        if not kept.is_file() or read_text(kept) != text:
            return f"{name} was another file"
    return ""


def _fixed(tables: Mapping[str, Any], arms: Iterable[str]) -> dict[str, Any]:
    """What runs that are there already depend on."""
    return {
        "study": {"checkpoint": tables["study"]["checkpoint"]},
        "arms": {name: tables["arms"].get(name) for name in arms},
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> str:
    """The first field that is not the same, in words, or nothing.

    Example:
        >>> difference({"seed": 0, "train": {"lr": 0.1}}, {"seed": 0, "train": {"lr": 0.2}})
        'train.lr is 0.1 and now is 0.2'
    """
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            differs = difference(old, new, f"{where}{key}.")
            if differs:
                return differs
        elif old != new:
            return f"{where}{key} {_was(old)} and now {_was(new)}"
    return ""


def _was(value: Any) -> str:
    if value is None:
        return "is not there"
    return "is there" if isinstance(value, Mapping) else f"is {value!r}"
