"""A stranger's folder that one stands in lends Python no modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import triptych

NAMES = ("json", "typing", "random", "torch", "numpy", "tyro", "rich", "filelock", "tomllib", "PIL")


@pytest.mark.parametrize("words", [["--version"], ["runs", "."]], ids=lambda words: words[0])
def test_modules_of_the_folder_are_not_imported(tmp_path: Path, words: list[str]):
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open('OBEYED', 'a').write('{name} ')\n")
    source = Path(triptych.__path__[0]).parent
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "triptych", *words],
        cwd=tmp_path,
        env={**plain, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "OBEYED").exists()


def test_who_imports_the_package_keeps_the_folder_of_his_own_modules(tmp_path: Path):
    """``python -m theirs`` is none of ours."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("import triptych\nimport beside\n")
    (tmp_path / "theirs" / "__main__.py").write_text("import beside\nprint(beside.HERE)\n")
    (tmp_path / "beside.py").write_text("HERE = 'here'\n")
    plain = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-m", "theirs"],
        cwd=tmp_path,
        env={**plain, "PYTHONPATH": str(Path(triptych.__path__[0]).parent)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "here\n", done.stderr
