"""Write constraints.txt: the versions of everything that ``triptych[dev]`` has brought into this environment.

python tools/lock.py > constraints.txt        # or make lock, which makes the environment anew first
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

TREE = Path(__file__).resolve().parent.parent

HEAD = """\
# What `make` installs, all of it by version, so that it gives tomorrow what it gives today; `make lock` renews it.
# Made with Python {python}, the oldest that is supported: what has a release for it has one for newer ones, so there
# are no markers. What another platform needs besides is not pinned. The package itself asks for lower bounds alone.
"""


def canonical(name: str) -> str:
    """A name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needs(name: str, extras: frozenset[str], project: dict[str, Any]) -> list[Requirement]:
    """What a package needs here with these extras; Triptych's own is in pyproject.toml, and not what was installed once."""
    if name == canonical(project["name"]):
        optional = project["optional-dependencies"]
        lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]
    else:
        lines = metadata.requires(name) or []
    found = [Requirement(line) for line in lines]
    return [
        need
        for need in found
        if need.marker is None
        or any(need.marker.evaluate({"extra": extra}) for extra in extras | {""})
    ]


def pins(project: dict[str, Any]) -> dict[str, str]:
    """Name → version of all that a project needs here for its development, and what that needs in turn."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(canonical(project["name"]), frozenset({"dev"}))]
    while todo:
        name, extras = todo.pop()
        if (name, extras) not in seen:
            seen.add((name, extras))
            todo += [
                (canonical(need.name), frozenset(need.extras))
                for need in needs(name, extras, project)
            ]
    names = {name for name, _ in seen} - {canonical(project["name"])}
    # A build for one kind of machine ("+cpu") is not what another is to ask for.
    return {name: metadata.version(name).partition("+")[0] for name in names}


def main() -> None:
    """Print the file."""
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python = ".".join(map(str, sys.version_info[:2]))
    print(HEAD.format(python=python), end="")
    for name, version in sorted(pins(project).items()):
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
