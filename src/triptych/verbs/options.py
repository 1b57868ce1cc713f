"""What a caller of the verbs says by keywords, and the configs that it becomes.

The TypedDicts are what an editor completes and a type checker checks; the configs check again, for everybody else.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from triptych import methods
from triptych.config import DeviceName, Duration, merge
from triptych.data.spec import DataConfig, Dataset
from triptych.errors import TriptychError, shown, unknown

if TYPE_CHECKING:
    from triptych.evaluation.suite import EvaluateConfig
    from triptych.experiment import ExperimentConfig
    from triptych.studies.plan import Study
    from triptych.types import Method

__all__ = [
    "DataOptions",
    "EvaluateOptions",
    "StudyOptions",
    "TrainOptions",
    "configured",
    "images",
    "measured",
    "named",
    "pairs",
    "planned",
]


class DataOptions(TypedDict, total=False):
    """What can be said of images beside where they are: the fields of `DataConfig`."""

    dir: str | Path | None
    image_size: int | str | None
    colour: Literal["auto", "grey", "rgb"]
    holdout: int | None
    skip_broken: bool
    binarize: Literal["none", "dynamic", "threshold"]


class TrainOptions(DataOptions, total=False):
    """The fields of `TrainConfig`, and those of `DataConfig`, as options of `train`."""

    duration: str | Duration
    epochs: float
    steps: int
    batch_size: int
    device: DeviceName
    devices: int
    dtype: Literal["auto", "fp32", "bf16"]
    compile: Literal["auto", "on", "off"]
    capture: Literal["auto", "on", "off"]
    tf32: bool
    threads: int
    log_every: int
    validate_every: str | Duration
    checkpoint_every: str | Duration
    log: Literal["tensorboard"] | None


class EvaluateOptions(TypedDict, total=False):
    """The fields of `EvaluateConfig`."""

    device: DeviceName
    devices: int
    split: str
    checkpoint: Literal["best", "last"]
    samples: int
    dtype: Literal["auto", "fp32", "bf16"]
    features: str | Path | None
    coordinates: Sequence[int]
    threads: int | None


class StudyOptions(TypedDict, total=False):
    """The table [study] of a study file."""

    name: str
    method: str | Path | type[Method]
    preset: str | Path
    control: str
    variant: str
    metrics: Sequence[str]
    curves: Sequence[str]
    evaluate: bool
    checkpoint: Literal["best", "last"]


def named(name: str | Path | type[Method]) -> str:
    """What `triptych.methods.find` finds a method by."""
    if not isinstance(name, type):
        return str(name)
    built_in = name.__module__.rpartition(".")
    if built_in[0] == methods.__name__:
        return built_in[2]
    try:
        file = inspect.getsourcefile(name)
    except (OSError, TypeError):
        file = None
    # To read it from a script would run the script again.
    if file is None or not Path(file).is_file() or name.__module__ == "__main__":
        raise TriptychError(
            f"the class {name.__name__} stands in no file of its own, from which a run can be opened again; write it "
            "into a .py file (%%writefile in a notebook) and give its path"
        )
    found = methods.find(file)
    if found.__name__ != name.__name__:
        raise TriptychError(f"'{file}' defines {found.__name__} as its method, not {name.__name__}")
    return file


def configured(
    config: ExperimentConfig,
    data: str | Path | DataConfig | Dataset | None,
    method: Mapping[str, Any] | None,
    seed: int | None,
    options: dict[str, Any],
) -> ExperimentConfig:
    """The config with all that was said, each option in its table."""
    of_data = [f.name for f in dataclasses.fields(DataConfig) if f.name != "name"]
    of_train = [f.name for f in dataclasses.fields(config.train)]
    lengths = [name for name in ("epochs", "steps", "duration") if options.get(name) is not None]
    _only(options, [*of_data, *of_train, "epochs", "steps"])
    if len(lengths) > 1:
        raise TriptychError(f"give one length: {' or '.join(lengths)}")
    for unit in ("epochs", "steps"):
        if (amount := options.pop(unit, None)) is not None:
            options["duration"] = f"{amount} {unit}"
    of_images = {name: options.pop(name) for name in of_data if name in options}
    config = dataclasses.replace(config, data=images(config.data, data, of_images))
    tables: dict[str, Any] = {"train": options, "method": {} if method is None else method}
    return merge(config, tables if seed is None else {**tables, "seed": seed})


def images(
    config: DataConfig,
    data: str | Path | DataConfig | Dataset | None,
    options: Mapping[str, Any],
) -> DataConfig:
    """Which images are meant, in words that a run can keep."""
    _only(options, [f.name for f in dataclasses.fields(DataConfig) if f.name != "name"])
    if isinstance(data, Dataset):
        if data.config is None:
            raise TriptychError(
                f"the images of '{data.name}' were not loaded from anywhere, so that no run could find them again; "
                "save them as .npy or .npz and give the path"
            )
        # Grey levels are cut or drawn anew when they are used, so that is no property of what was loaded.
        binarize = config.binarize if data.config.binarize == "none" else data.config.binarize
        changed = set(options) - {"binarize"}
        if changed:
            raise TriptychError(
                f"'{min(changed)}' comes too late for images that are loaded; give it to load"
            )
        config = dataclasses.replace(data.config, binarize=binarize)
    elif isinstance(data, DataConfig):
        config = data
    elif isinstance(data, (str, Path)):
        config = dataclasses.replace(config, name=str(data))
    elif data is not None:
        raise TriptychError(
            f"data cannot be a {type(data).__name__}; give a name, a path, a DataConfig or what load gave"
        )
    return merge(config, {k: str(v) if isinstance(v, Path) else v for k, v in options.items()})


def measured(options: dict[str, Any]) -> EvaluateConfig:
    """How an evaluation is to be done; ``features`` may be a text."""
    from triptych.evaluation.suite import EvaluateConfig

    _only(options, [field.name for field in dataclasses.fields(EvaluateConfig)])
    features = options.pop("features", None)
    config = merge(EvaluateConfig(), options)
    return config if features is None else dataclasses.replace(config, features=Path(features))


def _only(options: Iterable[str], known: Sequence[str]) -> None:
    for name in options:
        if name not in known:
            raise unknown("option", name, known)


def planned(
    what: str | Path | Mapping[str, Any],
    options: dict[str, Any],
    changes: Sequence[str],
    seeds: Sequence[int],
) -> Study:
    """A study of a file or of arms, with what was said of it besides."""
    from triptych.studies import plan

    if "method" in options:
        method = named(options["method"])
        # As seen from here, and not from a study file: whoever calls has read this one.
        options["method"] = str(Path(method).absolute()) if method.endswith(".py") else method
    options = {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}
    changes = [changes] if isinstance(changes, str) else changes
    try:
        seeds = tuple(seeds)
    except TypeError:
        raise TriptychError(f"seeds cannot be {shown(seeds)}; give a list of numbers") from None
    if not isinstance(what, Mapping):
        return plan.load(plan.find(str(what)), changes, seeds, options)
    arms = {name: _with_method(table) for name, table in what.items()}
    tables = {"study": {"name": "study", **options}, "arms": arms}
    return plan.planned(tables, changes, seeds)


def _with_method(arm: Any) -> Any:
    """An arm whose method may be a class or a path, by what finds it."""
    method = arm.get("method") if isinstance(arm, Mapping) else None
    if not isinstance(method, Mapping) or "name" not in method:
        return arm
    return {**arm, "method": {**method, "name": named(method["name"])}}


def pairs(told: object) -> tuple[str, ...]:
    """What a job of Slurm is submitted with besides, ``KEY=VALUE`` once or more."""
    several = [told] if isinstance(told, str) else told
    if not isinstance(several, Sequence) or not all(isinstance(one, str) for one in several):
        raise TriptychError(f"sbatch cannot be {shown(told)}; give a list of KEY=VALUE")
    return tuple(several)
