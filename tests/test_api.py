"""The curated API: what `import triptych` promises, and that it costs nothing until it is used."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import triptych

VERBS = {
    "card", "default_config", "draw", "evaluate", "explore", "export", "list_runs", "load",
    "load_method", "report", "reproduce", "results", "resume", "study", "train", "trust",
    "watch",
}  # fmt: skip

PROMISED = VERBS | {
    "Batch", "DataConfig", "DataSpec", "Dataset", "Duration", "EvaluateConfig",
    "ExperimentConfig", "Losses", "Method", "Noise", "OptimizerConfig", "Phase", "Result",
    "Results", "Run", "Study", "TrainConfig", "TriptychError",
}  # fmt: skip


def test_the_names_are_those_that_are_promised():
    assert set(triptych.__all__) == PROMISED
    assert list(triptych.__all__) == sorted(triptych.__all__)


def test_every_name_is_completed_before_anything_of_it_is_imported():
    program = (
        "import triptych; print(*dir(triptych)); import sys; assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert {name for name in found if not name.startswith("__")} == PROMISED
    assert "__version__" in found


def test_a_type_checker_sees_the_names_that_are_there():
    """What is imported for types and what is found at run time are two lists in one file."""
    tree = ast.parse(Path(triptych.__file__).read_text())
    ifs = [node for node in tree.body if isinstance(node, ast.If)]
    (typed,) = (node for node in ifs if ast.unparse(node.test) == "TYPE_CHECKING")
    names = {
        (node.module, name.name)
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert names == {(home, name) for home, of in triptych._HOMES.items() for name in of}


def test_every_name_is_there_and_explained():
    for name in triptych.__all__:
        thing = getattr(triptych, name)
        assert inspect.getdoc(thing), name
        assert thing.__module__.startswith("triptych."), name


def test_every_verb_shows_how_it_is_called():
    from triptych.verbs import functions

    for name in functions.__all__:
        assert "Example:" in inspect.getdoc(getattr(triptych, name)), name


def test_no_verb_has_the_name_of_a_room():
    """The room would take its place as soon as anybody imports it."""
    root = Path(triptych.__file__).parent
    rooms = {path.stem for path in root.iterdir()}
    assert not rooms & PROMISED
