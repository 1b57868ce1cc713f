"""The arrows of the design: which part may import which, read from the source."""

import ast
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import triptych

ROOT = Path(next(iter(triptych.__path__)))
HOUSE = Path(__file__).parents[1] / "tools" / "house.py"
FILES = sorted(ROOT.rglob("*.py"))

# A leaf, and what it may import of ours.
LEAVES = {
    "errors": set(),
    "metrics": set(),
    "intervals": set(),
    "seeds": set(),
    "config": {"errors", "records"},
    "cgroups": set(),
    "enclosed": {"errors"},
    "files": {"errors"},
    "locks": {"errors"},
    "records": {"errors", "files"},
    "source": {"errors", "files"},
    "weights": {"errors", "files", "metrics", "records"},
    "npy": set(),
    "arrays": {"errors", "files", "npy"},
    "frames": {"errors"},
    "ranks": {"errors"},
    "processes": set(),
    "progress": {"errors"},
    "runs": {
        "arrays",
        "config",
        "enclosed",
        "errors",
        "files",
        "frames",
        "locks",
        "ranks",
        "records",
        "source",
        "types",
        "weights",
    },
    "capability": set(),
    "types": {"capability", "config", "errors"},
    "bases": {"config", "errors", "nets", "objectives", "types"},
    "checkpoint": {"environment", "errors", "files", "records", "weights"},
    "plugins": {"data", "errors", "files", "source", "types"},
    "methods": {
        "bases",
        "nets",
        "objectives",
        "types",
        "config",
        "enclosed",
        "errors",
        "files",
        "plugins",
        "source",
    },
}
ABOVE = {
    "cli",
    "studies",
    "reporting",
    "playable",
    "experiment",
    "backbone",
    "reproduction",
    "live",
}
READERS = {
    *("methods", "training", "evaluation", "experiment", "nets", "objectives", "checkpoint"),
    *("cli", "studies", "reproduction"),
}
"""What no room imports that reads run folders."""
VERBS = {"verbs", "cli", "__init__", "__main__"}
NEVER = {
    "objectives": ABOVE
    | {"nets", "data", "methods", "training", "evaluation", "runs", "checkpoint"},
    "nets": ABOVE
    | {"objectives", "data", "methods", "training", "evaluation", "runs", "checkpoint"},
    "data": ABOVE
    | {"objectives", "nets", "methods", "training", "evaluation", "runs", "checkpoint"},
    "training": ABOVE | {"methods", "evaluation"},
    "evaluation": ABOVE | {"methods", "training"},
    "experiment": {"cli", "studies", "reporting", "playable", "reproduction", "live"},
    "reporting": READERS | {"live"},
    "live": READERS | {"playable"},
    "studies": {"cli", "methods", "playable", "reproduction", "live"},
    "playable": {"cli", "methods", "training", "reproduction", "live"},
    "backbone": {"cli", "studies", "reporting", "playable", "reproduction", "live"},
    "reproduction": {"cli", "methods", "nets", "objectives", "backbone", "live"},
}


def part(path: Path) -> str:
    """The file or folder directly below the package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, by its full name."""
    package = ["triptych", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)


def parts(path: Path) -> set[str]:
    """The parts of Triptych that a file imports, its own left out."""
    names = (name.split(".") for name in imported(path))
    return {name[1] for name in names if name[0] == "triptych" and len(name) > 1} - {part(path)}


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_walk_sees_what_is_imported():
    """Were the reading of imports broken, every test below would pass."""
    used = {"bases", "nets", "objectives", "types", "config", "errors"}
    assert used == parts(ROOT / "methods/vae.py")
    assert "torch" in {name.split(".")[0] for name in imported(ROOT / "training/loop.py")}
    assert len(FILES) > 40


@pytest.mark.parametrize("path", FILES, ids=label)
def test_imports_follow_the_arrows(path: Path):
    here, found = part(path), parts(path)
    if here in LEAVES:
        assert found <= LEAVES[here]
    assert not found & NEVER.get(here, set())
    assert here in ("cli", "__main__") or "cli" not in found, "nobody imports the command line"
    assert here in VERBS or not found & VERBS, "only the command line stands above the verbs"


def test_only_what_shows_itself_goes_through_the_door():
    """``import triptych`` within the package reaches everything: it is for methods that a person calls by hand."""
    through = [label(path) for path in FILES if "triptych" in imported(path)]
    assert through == ["data/spec.py", "runs.py"]


def test_no_method_is_known_by_name():
    """Outside of its own file, its presets and what is said of the reference report; examples that run may name one."""
    names = "|".join(p.stem for p in (ROOT / "methods").glob("*.py") if p.stem != "__init__")
    its_own = ("methods", "presets", "reporting/reference")
    kinds = (".py", ".js", ".css", ".j2", ".toml")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(ROOT.rglob("*"))
        if path.suffix in kinds and not path.relative_to(ROOT).as_posix().startswith(its_own)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(rf"(?<![a-z])({names})(?![a-z])", line, re.IGNORECASE)
        and not line.strip().startswith(">>>")
    ]
    assert [line for line in found if not line.startswith("__init__.py")] == []
    assert len(found) == 1, "the first words of the package show how a method is trained"


def test_no_two_rooms_import_each_other():
    """In the package and in each of its folders, also around a corner."""
    house = runpy.run_path(str(HOUSE))
    found = house["modules"](ROOT)
    folders = {"", *(name.rsplit(".", 1)[0] for name in found if "." in name)}
    assert {"evaluation", "reporting", "data.readers"} <= folders
    rings = {f: house["back"](house["arrows"](found, "triptych", f)) for f in folders}
    assert {f: ring for f, ring in rings.items() if ring} == {}


def test_the_picture_of_the_house_is_of_this_house():
    """Drawn anew by: python tools/house.py --picture docs/images/house.svg."""
    drawn = HOUSE.parents[1] / "docs" / "images" / "house.svg"
    assert runpy.run_path(str(HOUSE))["picture"](ROOT) == drawn.read_text(encoding="utf-8")


def test_a_ring_of_rooms_is_seen(tmp_path: Path):
    """Were the walk blind, the test above would pass."""
    package = tmp_path / "built"
    for name, text in {
        "a/one": "from built.b import two",
        "b/two": "import built.c",
        "c": "def f():\n from built.a.one import x",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(text)
    house = runpy.run_path(str(HOUSE))
    graph = house["arrows"](house["modules"](package), "built")
    assert house["back"](graph) == [("a", "b"), ("b", "c"), ("c", "a")]


def test_no_module_is_called_utils():
    assert not [p for p in FILES if p.stem in ("utils", "util", "helpers", "common", "misc")]


@pytest.mark.parametrize(
    "module",
    [
        "triptych",
        "triptych.runs",
        "triptych.config",
        "triptych.methods",
        "triptych.data",
        "triptych.presets",
        "triptych.verbs.functions",
    ],
)
def test_torch_is_imported_late(module: str):
    run(f"import sys, {module}; assert 'torch' not in sys.modules")


def test_the_report_and_the_page_that_watches_never_import_torch():
    """Nor does anything that they import."""
    names = [
        ".".join(["triptych", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(
            ".__init__"
        )
        for path in FILES
        if part(path) in ("reporting", "live")
    ]
    assert names
    run(f"import sys, {', '.join(names)}; assert 'torch' not in sys.modules")


def test_what_few_need_is_not_imported_by_every_training():
    """Each takes a good part of a second, of every command, rank and run of a study."""
    late = "scipy.stats", "sklearn", "matplotlib", "pyarrow", "onnx"
    run(
        f"import sys, triptych.studies.worker, triptych.experiment.rank; assert not {{*{late}}} & {{*sys.modules}}"
    )


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
