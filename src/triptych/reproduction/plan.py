"""What a reproduction does: complete configs of its runs, its study, and the folder that holds them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import data as data_plane
from triptych import records
from triptych.errors import TriptychError, unknown
from triptych.experiment import ExperimentConfig, default_config
from triptych.records import NUMBER, Shape
from triptych.reproduction.scales import SCALES
from triptych.studies import plan as studies
from triptych.studies.plan import Cell, Study

__all__ = ["RECORD", "STUDY", "Plan", "plan", "read_record", "refuse_another"]

RECORD = "reproduce.json"
"""The file in the folder that says what is done there, and how long it took."""

SHAPE: Shape = {
    "plan": dict,
    "done": bool,
    "calls": [{"parts": {...: {"predicted": NUMBER, "actual": NUMBER}}}],
}
"""Of that file."""

STUDY = "simsiam-ablation"
"""The study's folder; the runs have their method's name."""


@dataclass(frozen=True)
class Plan:
    """Runs by the name of their folder, and a study."""

    scale: str
    seed: int
    runs: Mapping[str, ExperimentConfig]
    study: Study
    data_dir: str | None = None
    """A local mirror of the named data sets; it may be another one when the work goes on."""
    coordinates: tuple[int, ...] = ()
    """Latent coordinates to show shifted, of the runs that are asked for them."""

    def tables(self) -> dict[str, Any]:
        """What the outcome depends on, as the record holds it."""
        found = {
            "scale": self.scale,
            "seed": self.seed,
            **{name: config.tables() for name, config in self.runs.items()},
            STUDY: self.study.tables(),
        }
        as_read: dict[str, Any] = json.loads(json.dumps(found))
        return as_read

    def sections(self, folder: Path) -> list[Path]:
        """What the report shows: the runs, the study, and the run of its control that came first."""
        shown = Cell(self.study.config.control, self.study.config.seeds[0])
        return [*(folder / name for name in self.runs), folder / STUDY, shown.path(folder / STUDY)]


def plan(
    scale: str, *, seed: int = 0, data_dir: str | None = None, wgan_data: str | None = None
) -> Plan:
    """The reproduction of that scale; the seeds of its study are moved by ``seed``.

    ``wgan_data`` takes the place of the preset's images: a name, or the path of one's own.

    Example:
        >>> small = plan("small", seed=10)
        >>> str(small.runs["vae"].train.duration), small.study.config.seeds
        ('20 epochs', (10, 11, 12))
    """
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)
    chosen = SCALES[scale]
    runs = {"vae": default_config("vae", chosen.vae), "wgan": default_config("wgan", chosen.wgan)}
    if wgan_data is not None:
        runs["wgan"] = _on(runs["wgan"], wgan_data)
    study = studies.load(studies.find(chosen.study))
    seeds = tuple(given + seed for given in study.config.seeds)
    study = Study(dataclasses.replace(study.config, seeds=seeds), study.arms)
    runs = {name: dataclasses.replace(config, seed=seed) for name, config in runs.items()}
    return Plan(scale, seed, runs, study, data_dir, chosen.coordinates)


def _on(config: ExperimentConfig, data: str) -> ExperimentConfig:
    if data_plane.entry_for(data) is None:
        # The same images from whatever folder the command is given again.
        data = str(Path(data).expanduser().resolve())
    return dataclasses.replace(config, data=dataclasses.replace(config.data, name=data))


def read_record(folder: Path) -> dict[str, Any] | None:
    """What the record of a reproduction holds; none where there is no such file. Raises `DamagedError`."""
    return records.parsed(folder / RECORD, SHAPE, "choose another --out")


def _is_no_beginning(path: Path) -> bool:
    return path.name != ".lock" and not path.name.startswith(f".{RECORD}.")


def refuse_another(plan: Plan, folder: Path) -> None:
    """`TriptychError` where the folder holds anything but this reproduction."""
    found = read_record(folder)
    if found is None:
        # The lock of a call that ended during its warm-up is nobody's work.
        if folder.exists() and any(map(_is_no_beginning, folder.iterdir())):
            raise TriptychError(
                f"'{folder}' is not empty and holds no reproduction; choose another --out"
            )
        return
    differs = studies.difference(found["plan"], plan.tables())
    if differs:
        raise TriptychError(
            f"'{folder}' holds a reproduction in which {differs}; choose another --out, or delete it"
        )
