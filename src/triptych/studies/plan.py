"""A study file, read strictly: complete configs of every arm, and the folder that holds their runs."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from triptych import plugins, presets
from triptych.config import dump, limited, merge, read_toml, to_dict
from triptych.enclosed import enclosed
from triptych.errors import DamagedError, TriptychError, unknown
from triptych.experiment import SEEDS, ExperimentConfig
from triptych.files import as_path, read_text, write
from triptych.records import Shape, fit
from triptych.studies.arms import TABLES, Arms, Start, Starts, only, table_at

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

FILE = "study.toml"
"""The study file in the study's folder, which needs no preset any more."""

FOLDER: Shape = {
    "study": {"checkpoint": str, "method?": str},
    "arms": {...: {"method?": dict}},
}
"""What of it runs depend on that are there already."""

RESERVED = ("figures", "logs")
"""Folders of a study that are no arms."""


@dataclass(frozen=True)
class StudyConfig:
    """The table [study]: what is compared over which seeds, and by which numbers."""

    name: str = ""
    """What the study is called; without one, its file's name."""
    method: str = ""
    """The method of every arm that names none: a name, or the path of a file as seen from the study's own."""
    preset: str | None = None
    """The preset that the arms start from, each that of its own method; an arm may name another."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """One run of every arm for each; the runs of one seed make a pair."""
    control: str = ""
    """The arm that the others are compared with; without one, the first. A variant is compared with the arm that it is of."""
    variant: str = "changed"
    """What the arms that are `of` another are, in a word or two above their verdicts: `without its guard`."""
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
    wherever their configs agree, since those follow from (seed, purpose) alone. Those of two methods share the
    order, the draws for views and for noise of one name and shape, and the start of layers of one name and shape.
    """

    config: StudyConfig
    arms: Mapping[str, ExperimentConfig]
    of: Mapping[str, str] = field(default_factory=dict)
    """Arm → the arm that it is a variant of, and is compared with."""

    def cells(self) -> Iterator[Cell]:
        """Every run, the arms of a seed together: pairs are complete as early as can be."""
        return (Cell(arm, seed) for seed in self.config.seeds for arm in self.arms)

    def experiment(self, cell: Cell) -> ExperimentConfig:
        """The config of one run."""
        return dataclasses.replace(self.arms[cell.arm], seed=cell.seed)

    @property
    def methods(self) -> dict[str, str]:
        """Arm → its method as the study file in the study's folder names it: a file of one's own lies beside it."""
        return {
            arm: f"{config.method_name}.py" if _is_own(config) else config.method_name
            for arm, config in self.arms.items()
        }

    def files(self, arms: Collection[str] | None = None) -> dict[str, str]:
        """The files of the arms' methods that are one's own, by their names in the study's folder; of these arms, or of all."""
        return {
            self.methods[arm]: plugins.loaded(config.method_name, config.source).text
            for arm, config in self.arms.items()
            if config.source is not None and _is_own(config) and (arms is None or arm in arms)
        }

    def tables(self) -> dict[str, Any]:
        """As study.toml holds it: a study file that needs no preset any more, and none of one's own beside it."""
        config = self.config
        if (config.preset or "").endswith(".toml"):
            config = dataclasses.replace(config, preset=None)
        method = Path(config.method).name if config.method.endswith(".py") else config.method
        method = method if method in self.methods.values() else ""
        return {
            "study": {**to_dict(config), "method": method},
            "arms": {arm: self._table(arm, method) for arm in self.arms},
        }

    def _table(self, arm: str, common: str) -> dict[str, Any]:
        """An arm in study.toml; it names its method where that is not the study's."""
        tables = self.arms[arm].tables()
        options = {k: v for k, v in tables["method"].items() if k not in ("name", "source")}
        named = {} if self.methods[arm] == common else {"name": self.methods[arm]}
        of = {"of": self.of[arm]} if arm in self.of else {}
        return {**of, **{name: tables[name] for name in TABLES}, "method": {**named, **options}}


def _is_own(config: ExperimentConfig) -> bool:
    """Whether its method is a file of one's own, which no package brings."""
    return config.source is not None and not config.source.package


def find(name: str) -> Path:
    """The study file of that path, or else the one of that name which comes with Triptych.

    Example:
        >>> name = max(presets.studies())
        >>> find(f"anywhere/{name}.toml") == find(name)
        True
    """
    path = as_path(name, "a study file")
    # A link to nothing or a pipe of that name as well: what is wrong with it is said, and no other study taken.
    if os.path.lexists(path) and not path.is_dir():
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
        >>> _ = file.write_text(find(max(presets.studies())).read_text() + '''
        ... [arms.small-batches]
        ... train.batch_size = 16
        ... ''')
        >>> study = load(file, seeds=[7])
        >>> [(str(cell), study.experiment(cell).train.batch_size) for cell in study.cells()][-1]
        ('small-batches, seed 7', 16)
    """
    tables = read_toml(path)
    told = table_at(tables.get("study", {}), "[study]")
    study = {"name": path.stem, **told, **(options or {})}
    tables = {**tables, "study": study}
    # A method among the options was named by whoever calls; what the arms name was not.
    named = str((options or {}).get("method", ""))
    return planned(tables, changes, seeds, path.parent, only_trusted=only_trusted, named=named)


def planned(
    tables: Mapping[str, Any],
    changes: Sequence[str] = (),
    seeds: Sequence[int] = (),
    folder: Path = Path(),
    *,
    only_trusted: bool = False,
    named: str = "",
) -> Study:
    """As `load`, of the tables of a study file that lies, or might lie, in ``folder``; the method ``named`` is trusted."""
    only(tables, ("study", "base", "arms"), "table of a study file")
    for name in tables:
        table_at(tables[name], f"[{name}]")
    config = merge(StudyConfig(), tables.get("study", {}))
    if seeds:
        config = dataclasses.replace(config, seeds=tuple(seeds))
    told = {
        name: table_at(table, f"[arms.{name}]") for name, table in tables.get("arms", {}).items()
    }
    every = [("[base]", tables.get("base", {}))]
    every += [(f"--set {change}", _one_change(change)) for change in changes]
    common = Start(config.method, config.preset)
    arms = Arms.read(told, Starts(common, every, folder, only_trusted, named))
    study = Study(_checked(config, list(told), arms.of), arms.configs, arms.of)
    _one_file_a_name(study)
    if any("preset" in table for table in told.values()) or study.files():
        # In the study's folder their configs are complete, and the presets beside a file of one's own are not there.
        study = dataclasses.replace(study, config=dataclasses.replace(study.config, preset=None))
    return study


def _one_file_a_name(study: Study) -> None:
    """Refuse two methods whose files would be one in the study's folder."""
    seen: dict[str, tuple[str, str]] = {}
    for arm, config in study.arms.items():
        if config.source is not None and _is_own(config):
            file, digest = config.source.file, config.source.digest
            other, before = seen.setdefault(study.methods[arm], (file, digest))
            if digest != before:
                raise TriptychError(
                    f"'{other}' and '{file}' are two methods of one name; rename one of the files"
                )


def _checked(config: StudyConfig, arms: list[str], of: Mapping[str, str]) -> StudyConfig:
    if not arms or not config.metrics:
        raise TriptychError("a study needs an arm or more, [arms.NAME], and metrics in [study]")
    for name in arms:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or name in RESERVED:
            raise TriptychError(
                f"an arm cannot be called '{name}': its name is that of a folder; use letters, "
                f"digits and hyphens, and neither {' nor '.join(RESERVED)}"
            )
    first = next(arm for arm in arms if arm not in of)
    config = dataclasses.replace(config, control=config.control or first)
    if config.control not in arms:
        raise unknown("arm", config.control, arms)
    if config.control in of:
        raise TriptychError(
            f"the control '{config.control}' is a variant of '{of[config.control]}'; name an arm that is of no other"
        )
    return config


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
            folder, study, fixed
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


def _other_file(folder: Path, study: Study, arms: Collection[str]) -> str:
    """Whether the file of a method that these arms have is another than the study's folder has, in words."""
    for name, text in study.files(arms).items():
        kept = folder / name
        if not kept.is_file() or read_text(kept) != text:
            return f"{name} was another file"
    return ""


def _fixed(tables: Mapping[str, Any], arms: Iterable[str]) -> dict[str, Any]:
    """What runs that are there already depend on; every arm with its method, wherever that is named."""
    common, found = tables["study"].get("method", ""), {}
    for arm in arms:
        table = tables["arms"].get(arm)
        if table is not None:
            table = {**table, "method": {"name": common, **table.get("method", {})}}
            table.pop("of", None)
        found[arm] = table
    return {"study": {"checkpoint": tables["study"]["checkpoint"]}, "arms": found}


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
