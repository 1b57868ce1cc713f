"""Methods that do not come with Triptych: a file of one's own, or what an installed package brings.

A file is executed where a person names it, and where its very content was trained or trusted on this machine
before. A run folder of a stranger is not: its file is code, and code can do anything.
"""

from __future__ import annotations

import dataclasses
import inspect
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, get_type_hints

from triptych import files
from triptych.data.places import cache_root
from triptych.errors import LONG, TriptychError, printable
from triptych.files import TEXT, as_path, read_bytes, read_text
from triptych.source import NAME, Source, digest_of

if TYPE_CHECKING:
    from triptych.types import Method

__all__ = ["Own", "loaded", "of_file", "of_package", "packaged", "the_method", "trust", "trusted"]

GROUP = "triptych.methods"
"""The entry points under which packages bring methods."""

KEPT = ("name", "source")
"""Fields that a method's config cannot have: its table in config.toml holds these itself."""


class Own(NamedTuple):
    """A method that does not come with Triptych."""

    name: str
    kind: type[Method]
    source: Source
    text: str = ""
    """Of its file; of a package there is none: a run does not copy what is installed."""


_LOADED: dict[tuple[str, str], Own] = {}
"""What was executed in this process, by name and digest: of one content there is one class."""


def of_file(path: Path, *, only_trusted: bool = False) -> Own:
    """The method in a file; its name is the file's. The file is executed, unless it has been.

    Raises `TriptychError` that says what is wrong in which line, and with ``only_trusted``, before anything is
    executed, for a content that was neither trained nor trusted on this machine.
    """
    path = as_path(path.expanduser(), "a method's file").resolve()
    if not NAME.fullmatch(path.stem):
        raise TriptychError(
            f"'{path}' cannot be a method: its file's name is the method's, and begins with a letter that only "
            "letters, digits, _ and - follow"
        )
    if path.stem in sys.stdlib_module_names:
        # Its copy in a run's folder would be imported in the place of Python's, by who starts Python there.
        raise TriptychError(
            f"'{path}' cannot be a method: a module of Python has that name; rename it"
        )
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise TriptychError(f"there is no file '{path}'") from None
    source = Source(str(path), digest_of(text.encode()))
    if only_trusted and not trusted(source.digest):
        raise TriptychError(
            f"'{path}' is code of a method that was not trained on this machine; read it, and if you trust it: "
            f"triptych trust {shlex.quote(str(path))}"
        )
    key = path.stem, source.digest
    if key not in _LOADED:
        _LOADED[key] = Own(path.stem, _executed(path, text, source.digest), source, text)
    return _LOADED[key]._replace(source=source)


def loaded(name: str, source: Source) -> Own:
    """The method of a file that was executed in this process; a `TriptychError` where none was."""
    if (name, source.digest) not in _LOADED:
        raise TriptychError(f"the method of '{source.file}' is not loaded: find it by its path")
    return _LOADED[name, source.digest]


def _executed(path: Path, text: str, digest: str) -> type[Method]:
    """The method that a file defines, in a module of its own: two files of one name are two modules."""
    name = f"triptych_method_{path.stem.replace('-', '_')}_{digest[:16]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses and the compiler look modules up by their name.
    sys.modules[name] = module
    try:
        _execute(module, path, text)
        return the_method(module, str(path))
    except BaseException:
        del sys.modules[name]
        raise


def _execute(module: ModuleType, path: Path, text: str) -> None:
    try:
        # As bytes, as Python reads files, with the mark that some editors begin them with; and without the future
        # statements of this file.
        exec(compile(text.encode(), str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise TriptychError(_where(error, path)) from None


def _where(error: BaseException, path: Path) -> str:
    """What went wrong in a file, and in which of its lines."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = lines[-1] if lines else None
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line, said = error.lineno, f"SyntaxError: {error.msg}"
    elif isinstance(error, ModuleNotFoundError) and (path.parent / f"{error.name}.py").is_file():
        said = (
            f"it imports '{error.name}', which lies beside it; a method is one file: put what it needs into it, "
            f"or install both as a package with an entry point of {GROUP}"
        )
    at = f"'{path}'" if line is None else f"'{path}', line {line}"
    return f"{at}: {printable(said[:LONG])}"


def the_method(module: ModuleType, where: str) -> type[Method]:
    """The one method that a module defines; a `TriptychError` with its line where there is none, two, or a half one."""
    from triptych.types import Method

    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
    ]
    if not found:
        raise TriptychError(
            f"'{where}' defines no method: a class that inherits triptych.types.Method"
        )
    if len(found) > 1:
        named = " and ".join(f"{kind.__name__} (line {_line(kind)})" for kind in found)
        raise TriptychError(f"'{where}' defines {named}; a file holds one method")
    _complete(found[0], where)
    return found[0]


def _line(kind: type) -> int | str:
    try:
        return inspect.getsourcelines(kind)[1]
    except (OSError, TypeError):
        return "?"


def _complete(kind: type[Method], where: str) -> None:
    """A `TriptychError` for a method that lacks what every method has."""
    at = f"'{where}', line {_line(kind)}: {kind.__name__}"
    if inspect.isabstract(kind):
        raise TriptychError(f"{at} lacks {', '.join(sorted(kind.__abstractmethods__))}")
    config = getattr(kind, "Config", None)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        raise TriptychError(f"{at} names no config: Config = ..., a frozen dataclass")
    if not isinstance(getattr(kind, "gauge", None), str):
        raise TriptychError(f'{at} names no logged term for the progress bar: gauge = "..."')
    for field in dataclasses.fields(config):
        if field.name in KEPT:
            raise TriptychError(
                f"{at} has a config with a field '{field.name}', a word that config.toml needs for itself"
            )
    try:
        get_type_hints(config)
        config()
    except Exception as error:
        raise TriptychError(
            f"{at} has a config that cannot be made: {printable(str(error)[:LONG])}; every field needs "
            "a type that is known and a default"
        ) from None


@cache
def packaged() -> Mapping[str, tuple[EntryPoint, ...]]:
    """What installed packages bring, by name and not imported; more than one where two packages bring one name."""
    found: dict[str, tuple[EntryPoint, ...]] = {}
    try:
        points = list(entry_points(group=GROUP))
    except Exception as error:
        # Whatever somebody else's package says of itself, Triptych's own methods are there.
        warnings.warn(f"methods of installed packages are left out: {error}", stacklevel=2)
        return {}
    for point in points:
        if NAME.fullmatch(point.name):
            found[point.name] = (*found.get(point.name, ()), point)
        else:
            said = f"{_package(point)} brings a method called '{printable(point.name)}'"
            warnings.warn(f"{said}, which is left out: that is no name", stacklevel=2)
    return found


def of_package(name: str) -> Own:
    """The method of that name which an installed package brings; a `TriptychError` where its package is broken."""
    point, *others = packaged()[name]
    package = _package(point)
    if others:
        raise TriptychError(
            f"{package} and {_package(others[0])} both bring a method called '{name}'; uninstall one of them"
        )
    try:
        found = point.load()
        module = found if isinstance(found, ModuleType) else sys.modules[found.__module__]
    except Exception as error:
        where = next((f"'{f.filename}', line {f.lineno}: " for f in _frames(error)), "")
        raise TriptychError(
            f"the method '{name}' of {package} cannot be loaded: {where}"
            f"{type(error).__name__}: {printable(str(error)[:LONG])}"
        ) from None
    file = str(module.__file__)
    kind = the_method(module, file) if found is module else found
    if found is not module:
        _complete(kind, file)
    return Own(name, kind, Source(file, digest_of(read_bytes(Path(file), TEXT)), package))


def _frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """Where an error came from in files, the innermost first, without what Python does to import them."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<") and "importlib" not in frame.filename:
            yield frame


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "a package"


def trust(source: Source) -> None:
    """Remember on this machine that a file of this content may be executed wherever it lies; a `TriptychError` where it cannot."""
    path = _known(source.digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, f"{source.file}\n")
    except (OSError, TriptychError) as error:
        raise TriptychError(f"it cannot be kept that '{source.file}' is trusted: {error}") from None


def trusted(digest: str) -> bool:
    """Whether a file of this content was trained or trusted on this machine, or is executed already."""
    return any(digest == of for _, of in _LOADED) or _known(digest).is_file()


def _known(digest: str) -> Path:
    return cache_root() / "trusted-methods" / digest
