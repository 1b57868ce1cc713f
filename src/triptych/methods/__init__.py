"""The methods: one file here is one method, and its file name is its name on the command line.

A file of one's own is a method too, named by its path, and so is what an installed package brings.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from triptych import plugins
from triptych.config import read_toml
from triptych.enclosed import enclosed
from triptych.errors import TriptychError, shown, unknown
from triptych.files import TEXT, read_bytes
from triptych.source import NAME, Source, as_source, copy_in, digest_of

if TYPE_CHECKING:
    from triptych.types import Method

__all__ = ["Found", "find", "kind_of", "locate", "names", "recorded", "trust"]


class Found(NamedTuple):
    """A method, and where it was found."""

    name: str
    kind: type[Method]
    source: Source | None = None
    """None of those that come with Triptych."""
    text: str = ""
    """Of a file of one's own."""

    @property
    def presets(self) -> Path | None:
        """Where its presets are, a folder ``presets`` beside its file; none for one that comes with Triptych."""
        return None if self.source is None else Path(self.source.file).with_name("presets")


def names() -> list[str]:
    """The names of all methods that come with Triptych or with an installed package; none of them is imported."""
    own, brought = _own(), set(plugins.packaged())
    for name in sorted(own & brought):
        warnings.warn(
            f"a package brings a method called '{name}', which is left out: that name is Triptych's own",
            stacklevel=2,
        )
    return sorted(own | brought)


def _own() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)}


def find(name: str | Path) -> type[Method]:
    """The class of a method, by its name or by the path of its file; `TriptychError` where there is none.

    A file is executed: name only what you trust.

    Example:
        >>> find("vae").gauge
        'elbo'
    """
    return locate(name).kind


def locate(name: str | Path, *, only_trusted: bool = False) -> Found:
    """`find`, with where it was found.

    With ``only_trusted``, where not a person names the file but another file, it must have been trained or
    trusted on this machine to be executed; else that is a `TriptychError`.
    """
    if isinstance(name, Path) or (isinstance(name, str) and name.endswith(".py")):
        return _of_file(Path(name), only_trusted=only_trusted)
    return _named(name)


def _named(name: object) -> Found:
    """A method that comes with Triptych or with a package: whatever the name, no file is executed.

    From a config it may be anything.
    """
    if not isinstance(name, str):
        raise unknown("method", shown(name), names())
    if name in _own():
        module = importlib.import_module(f"{__name__}.{name}")
        return Found(name, plugins.the_method(module, str(module.__file__)))
    if name in plugins.packaged():
        return Found(*plugins.of_package(name))
    # Of a name that is none the system may refuse even to look for a file.
    beside = NAME.fullmatch(name) and Path(f"{name}.py").is_file()
    hint = f"; a file of your own is named with its ending: {name}.py" if beside else ""
    raise unknown("method", name, names(), hint)


def _of_file(path: Path, *, only_trusted: bool = False) -> Found:
    if path.stem in _own():
        raise TriptychError(
            f"'{path}' cannot be a method: a method called {path.stem} comes with Triptych; give the file another name"
        )
    return Found(*plugins.of_file(path, only_trusted=only_trusted))


def kind_of(name: str, source: Source | None) -> type[Method]:
    """The class of a method that was found before in this process, by its name and source."""
    if source is None or source.package:
        return _named(name).kind
    return plugins.loaded(name, source).kind


def recorded(table: Mapping[str, object], folder: Path | None = None) -> Found:
    """The method that a config's table [method] tells of: by its name, or from the copy of its file in a run's ``folder``.

    Raises `TriptychError` for a file whose content was neither trained nor trusted on this machine: it is not executed.
    """
    name, source = table.get("name"), as_source(table.get("source"))
    if source is None:
        return _named(name)
    copy = copy_in(folder, name) if folder else Path(source.file)
    assert isinstance(name, str)
    if source.package:
        return _still_installed(name, source)
    # By a name that meanwhile came along with Triptych as well: the run is of that file.
    found = Found(*plugins.of_file(copy, only_trusted=True))
    if found.source is not None and found.source.digest != source.digest:
        raise TriptychError(f"'{copy}' is not the file that the config tells of")
    _compare_original(source, copy)
    return found


def _still_installed(name: str, source: Source) -> Found:
    if name not in plugins.packaged():
        raise TriptychError(
            f"the method {name} is not there: it came with {source.package}, which is not installed"
        )
    found = _named(name)
    if found.source is not None and found.source.digest != source.digest:
        warnings.warn(
            f"the method {name} of {found.source.package} is not as it was in the training, with {source.package}",
            stacklevel=3,
        )
    return found


def _compare_original(source: Source, copy: Path) -> None:
    """Warn where the file that was trained from has changed since: what is opened is the copy."""
    original = Path(source.file)
    try:
        changed = original != copy and digest_of(read_bytes(original, TEXT)) != source.digest
    except (FileNotFoundError, TriptychError):
        return
    if changed:
        warnings.warn(
            f"'{original}' has changed since the training; the method is taken from '{copy}', as it was then",
            stacklevel=4,
        )


def _named_in(folder: Path) -> Iterator[Path]:
    """The files of methods that the run in a folder names, or the runs of the study in it."""
    configs = [*folder.glob("config.toml"), *folder.glob("*/seed-*/config.toml")]
    studies = [*folder.glob("study.toml")]
    if configs or studies:
        enclosed(folder)
    for config in configs:
        table = read_toml(config).get("method")
        if isinstance(table, Mapping) and table.get("source") is not None:
            copy = copy_in(config.parent, table.get("name"))
            if copy.is_file():
                yield copy
    for study in studies:
        for named in _named_by(read_toml(study)):
            if isinstance(named, str) and named.endswith(".py") and (folder / named).is_file():
                yield folder / named


def _named_by(study: Mapping[str, object]) -> Iterator[object]:
    """What a study file says its methods are: that of all arms, and those of single ones."""
    common, arms = study.get("study"), study.get("arms")
    yield common.get("method") if isinstance(common, Mapping) else None
    for arm in arms.values() if isinstance(arms, Mapping) else ():
        method = arm.get("method") if isinstance(arm, Mapping) else None
        yield method.get("name") if isinstance(method, Mapping) else None


def trust(path: str | Path) -> list[Path]:
    """Let files of methods be executed on this machine, wherever they lie: a file, or those that the runs in a folder name.

    Read them first: such a file is code, which can do anything. What else lies in the folder is not trusted.
    Returns the files.
    """
    path = Path(path)
    found = [path] if path.is_file() else sorted(set(_named_in(path)))
    if not found:
        raise TriptychError(f"there is neither a file of a method nor a run of one at '{path}'")
    for file in found:
        plugins.trust(Source(str(file.resolve()), digest_of(read_bytes(file, TEXT))))
    return found
