"""Which versions are asked for, pinned and tried; what is built of them is tried by `make oldest` and `make package`."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

TREE = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: str) -> dict[str, Version]:
    """Name → version; a line that is neither that nor a comment is an error."""
    lines = (TREE / file).read_text(encoding="utf-8").splitlines()
    pairs = [re.fullmatch(r"([\w.-]+)==([\w.!]+)", x) for x in lines if not x.startswith("#")]
    assert all(pairs), "only name==version: no address, no digest, no build of one machine's kind"
    return {canonical(pair[1]): Version(pair[2]) for pair in pairs if pair}


def lowest(requirement: Requirement) -> Version:
    """The one bound that a requirement has."""
    (bound,) = requirement.specifier
    assert bound.operator == ">="
    return Version(bound.version)


NEEDS = [Requirement(line) for line in PROJECT["dependencies"]]
OPTIONAL = [
    need
    for lines in PROJECT["optional-dependencies"].values()
    for need in map(Requirement, lines)
    if need.name != PROJECT["name"]
]


@pytest.mark.parametrize("need", [*NEEDS, *OPTIONAL], ids=str)
def test_what_make_installs_is_pinned_and_allowed(need: Requirement):
    assert pinned("constraints.txt")[canonical(need.name)] >= lowest(need)


def test_the_oldest_that_are_tried_are_the_oldest_that_are_allowed():
    tried = pinned("constraints-oldest.txt")
    allowed = {canonical(need.name): lowest(need) for need in NEEDS}
    # Its oldest release has no build for CPUs alone to be had; this is said in the file.
    assert tried.pop("torch") == pinned("constraints.txt")["torch"] > allowed.pop("torch")
    assert tried == allowed


def test_every_import_that_is_not_pythons_is_asked_for():
    """A package that another one happens to bring would be missed when that one stops."""
    asked = {canonical(need.name) for need in (*NEEDS, *OPTIONAL)}
    other_names = {"pil": "pillow", "sklearn": "scikit-learn"}
    found = set()
    for path in (TREE / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(
            re.findall(r"^ *(?:import|from) ([A-Za-z_]\w*)[\w.]*(?: import| as|$)", text, re.M)
        )
    there = {path.stem for path in (TREE / "src").iterdir()}
    foreign = {canonical(name) for name in found - set(sys.stdlib_module_names) - there}
    assert {other_names.get(name, name) for name in foreign} <= asked
