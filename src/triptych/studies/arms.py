"""The arms of a study file as configs: each has its method, its preset and its changes, or is a variant of another arm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from triptych.config import merge
from triptych.errors import TriptychError, shown, unknown
from triptych.experiment import ExperimentConfig, default_config

__all__ = ["TABLES", "Arms", "Start", "Starts", "changed", "only", "table_at", "variants"]

TABLES = ("method", "data", "train")
"""What an arm may change; its seeds are the study's."""

ARM = (*TABLES, "preset", "of")
"""What its table may hold."""

NO_METHOD = 'a study file names its method: [study] with method = "...", or each arm its own, method.name = "..."'


class Start(NamedTuple):
    """Where the config of an arm starts, before anything is changed."""

    method: str
    preset: str | None


class Starts:
    """The configs from which arms start, each changed by [base] and by what the command line says; made once.

    Args:
        common: method and preset of arms that name none.
        changes: tables that hold for every arm, with where they stand.
        folder: where the study file lies: files of one's own are named as seen from it.
        only_trusted: whether a method's file is executed only where it was trained or trusted on this machine.
        named: the method that whoever calls has named: that one is executed.
    """

    def __init__(
        self,
        common: Start,
        changes: Sequence[tuple[str, Mapping[str, Any]]],
        folder: Path,
        only_trusted: bool,
        named: str = "",
    ) -> None:
        self.common, self.changes, self.folder = common, changes, folder
        self.only_trusted, self.named = only_trusted, named
        self._made: dict[Start, ExperimentConfig] = {}

    def of(self, arm: str, table: Mapping[str, Any]) -> ExperimentConfig:
        """The start of the arm that has this table; a `TriptychError` that names the arm where it names its own."""
        options = table.get("method")
        method = options.get("name", self.common.method) if _is_table(options) else None
        start = Start(method or self.common.method, table.get("preset", self.common.preset))
        if not start.method:
            raise TriptychError(f"arm '{arm}' has no method; {NO_METHOD}")
        for key, value in start._asdict().items():
            if value is not None and not isinstance(value, str):
                raise TriptychError(f"arm '{arm}': its {key} cannot be {shown(value)}; give a name")
        if start not in self._made:
            own = "" if start == self.common else f"arm '{arm}'"
            self._made[start] = self._begun(start, own)
        return self._made[start]

    def _begun(self, start: Start, own: str) -> ExperimentConfig:
        method, preset = start
        path = self.folder / method if method.endswith(".py") else method
        if preset is not None and preset.endswith(".toml"):
            preset = str(self.folder / preset)
        trusted = self.only_trusted and method != self.named
        with _said_of(own):
            config = default_config(path, preset, only_trusted=trusted)
        for where, tables in self.changes:
            config = changed(config, tables, f"{where} in {own}" if own else where)
        return config


class Arms(NamedTuple):
    """The config of each arm, and which is a variant of which."""

    configs: dict[str, ExperimentConfig]
    of: dict[str, str]

    @classmethod
    def read(cls, tables: Mapping[str, Mapping[str, Any]], starts: Starts) -> Arms:
        """The arms of a study file: a variant starts where the arm that it is ``of`` ends.

        Raises `TriptychError` that names the arm.
        """
        for arm, table in tables.items():
            with _said_of(f"arm '{arm}'"):
                only(table, ARM, "table of an arm")
        of = variants(tables)
        configs: dict[str, ExperimentConfig] = {}
        for arm in (*(a for a in tables if a not in of), *of):
            table = tables[arm]
            begin = configs[of[arm]] if arm in of else starts.of(arm, table)
            if arm in of:
                _same_method(arm, table, of[arm], tables[of[arm]])
            configs[arm] = changed(begin, changes_of(table), f"arm '{arm}'")
        return cls({arm: configs[arm] for arm in tables}, of)


def variants(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Arm → the arm that it is a variant of, where it is one.

    Example:
        >>> variants({"whole": {}, "no-target": {"of": "whole"}})
        {'no-target': 'whole'}
    """
    of = {arm: table["of"] for arm, table in tables.items() if "of" in table}
    for arm, base in of.items():
        if not isinstance(base, str) or base not in tables:
            with _said_of(f"arm '{arm}'"):
                raise unknown("arm", base, [other for other in tables if other != arm])
        if base in of or base == arm:
            raise TriptychError(
                f"arm '{arm}' is of '{base}', which is of another itself; name the arm that both are variants of"
            )
    return of


def _same_method(arm: str, table: Mapping[str, Any], base: str, of_base: Mapping[str, Any]) -> None:
    """A variant has method and preset of its arm."""
    names = [
        t["method"].get("name") if _is_table(t.get("method")) else None for t in (table, of_base)
    ]
    if "preset" in table or (names[0] is not None and names[0] != names[1]):
        raise TriptychError(
            f"arm '{arm}' is of '{base}' and starts from its method and preset; leave its own out, or leave out 'of'"
        )


def changes_of(table: Mapping[str, Any]) -> dict[str, Any]:
    """What an arm's table changes of its start."""
    tables = {name: table[name] for name in TABLES if name in table}
    if _is_table(tables.get("method")):
        tables["method"] = {k: v for k, v in tables["method"].items() if k != "name"}
    return tables


def changed(config: ExperimentConfig, tables: Mapping[str, Any], where: str) -> ExperimentConfig:
    """The config with these tables in it; errors say where they stand."""
    with _said_of(where):
        only(tables, TABLES, "table of an arm")
        return merge(config, tables)


@contextmanager
def _said_of(where: str) -> Iterator[None]:
    try:
        yield
    except TriptychError as error:
        raise TriptychError(f"{where}: {error}" if where else str(error)) from None


def only(tables: Iterable[str], known: Sequence[str], kind: str) -> None:
    """`TriptychError` for a name that nobody knows."""
    for name in tables:
        if name not in known:
            raise unknown(kind, name, known)


def table_at(value: Any, where: str) -> Mapping[str, Any]:
    """The table that stands there; a `TriptychError` for anything else."""
    if not isinstance(value, Mapping):
        raise TriptychError(f"{where} must be a table, not {value!r}")
    return value


def _is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)
