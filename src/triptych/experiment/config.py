"""One run as a config: everything that is needed to repeat it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from triptych import data as data_plane
from triptych import methods, presets
from triptych.config import limited, merge, to_dict
from triptych.data.spec import DataConfig
from triptych.errors import TriptychError
from triptych.source import Source
from triptych.training.settings import TrainConfig
from triptych.types import Method

__all__ = ["SEEDS", "ExperimentConfig", "default_config"]

SEEDS = 2**62
"""The largest seed: the numbers of a TOML file have 64 bits."""


@dataclass(frozen=True)
class ExperimentConfig:
    """One run: everything that is needed to repeat it."""

    method_name: str
    """Which method; a name of `triptych.methods.names`, or that of a file."""
    method: Any
    """The method's own config."""
    data: DataConfig = field(default_factory=DataConfig)
    """Which images."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """How to train."""
    seed: int = 0
    """Everything random follows from this number."""
    source: Source | None = None
    """Where a method was found that does not come with Triptych."""

    def __post_init__(self) -> None:
        """Refuse a seed that no file can hold, and the config of another method than the one that is named."""
        limited("--seed", self.seed, -SEEDS, SEEDS)
        if not isinstance(self.method, self.kind.Config):
            raise TriptychError(
                f"the config is not of {self.method_name}; a method is named by [method] name"
            )

    @property
    def kind(self) -> type[Method]:
        """The method's class."""
        return methods.kind_of(self.method_name, self.source)

    def at(
        self, data_dir: str | Path | None = None, data: str | Path | None = None
    ) -> ExperimentConfig:
        """The same where its images lie elsewhere: in the local mirror ``data_dir``, or at the path ``data``.

        Example:
            >>> default_config("vae").at("/mnt/mirror").data.dir
            '/mnt/mirror'
        """
        changes = {"dir": data_dir, "name": data}
        given: dict[str, Any] = {
            name: str(value) for name, value in changes.items() if value is not None
        }
        return dataclasses.replace(self, data=dataclasses.replace(self.data, **given))

    def anchored(self) -> ExperimentConfig:
        """The same with absolute paths: a run is resumed and evaluated from any folder."""
        data = self.data
        if data.dir is not None:
            data = dataclasses.replace(data, dir=str(Path(data.dir).expanduser().resolve()))
        if data_plane.entry_for(data.name) is None:
            data = dataclasses.replace(data, name=str(Path(data.name).expanduser().resolve()))
        return dataclasses.replace(self, data=data)

    def tables(self) -> dict[str, Any]:
        """As config.toml holds it."""
        source = {} if self.source is None else {"source": self.source.table()}
        return {
            "seed": self.seed,
            "method": {"name": self.method_name, **to_dict(self.method), **source},
            "data": to_dict(self.data),
            "train": to_dict(self.train),
        }

    @classmethod
    def from_tables(
        cls, tables: Mapping[str, Any], folder: str | Path | None = None
    ) -> ExperimentConfig:
        """Read what `tables` gave, strictly; a method's own file is the copy in the run's ``folder``, if one is named.

        Raises `TriptychError`, also for such a file that was neither trained nor trusted on this machine.
        """
        rest = dict(tables)
        table = rest.pop("method", {})
        if not isinstance(table, Mapping):
            raise TriptychError("the config's 'method' must be a table, [method] with a name")
        if "name" not in table:
            raise TriptychError("the config names no method: it needs [method] with a name")
        found = methods.recorded(table, None if folder is None else Path(folder))
        told = table.get("source")
        options = {key: value for key, value in table.items() if key not in ("name", "source")}
        default = cls(found.name, found.kind.Config(), source=found.source)
        if told is not None:
            # Where it was trained from, and not where it is read now.
            default = dataclasses.replace(default, source=Source(**told))
        return merge(default, {**rest, "method": options})


def default_config(
    method: str | Path, preset: str | Path | None = None, *, only_trusted: bool = False
) -> ExperimentConfig:
    """A method's defaults, changed as a preset says; `TriptychError` for an unknown one of either.

    ``method`` is a name, or the path of a file that defines one: this is executed, with ``only_trusted`` only
    where its content was trained or trusted on this machine.

    Example:
        >>> default_config("vae", "reference").train.batch_size
        64
    """
    found = methods.locate(method, only_trusted=only_trusted)
    config = ExperimentConfig(found.name, found.kind.Config(), source=found.source)
    if preset is None:
        return config
    return merge(config, presets.tables(found.name, str(preset), found.presets or presets.HERE))
