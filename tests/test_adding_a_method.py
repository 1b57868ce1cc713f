import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import triptych
from triptych import methods
from triptych.cli.main import main

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "adding-a-method.md"


@pytest.fixture
def example(tmp_path, monkeypatch):
    """The file that the page tells its reader to write, found where methods are."""
    page = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "wae.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
    yield page
    sys.modules.pop("triptych.methods.wae", None)


def test_the_page_of_a_new_method_does_what_it_says(example, tmp_path, capsys):
    assert "wae" in methods.names()
    run = tmp_path / "run"
    assert main(["train", "wae", "--epochs", "2", "--threads", "1", "--out", str(run)]) == 0
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    errors = [e["train/reconstruction"] for e in logged if "train/reconstruction" in e]
    assert errors[-1] < errors[0]
    assert any("train/mmd" in e for e in logged)
    assert main(["evaluate", str(run)]) == 0
    drawn = {path.stem for path in (run / "figures").glob("*.png")}
    assert {"reconstructions", "interpolation"} <= drawn
    assert "test/knn_top1" in json.loads((run / "results.json").read_text())
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["train", "wae", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Weight of the distance between the codes and the prior." in said


def test_the_example_estimates_mmd(example):
    import torch

    wae = methods.find("wae")
    mmd = __import__(wae.__module__, fromlist=["mmd"]).mmd
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 400, 2, generator=generator)
    # The same distribution: zero within its noise; shifted far apart: near its largest value, 2.
    assert abs(mmd(a, b)) < 0.02
    assert 1.0 < mmd(a, b + 100) < 2.0


def test_the_tests_that_the_page_names_pass_with_its_file_where_it_says(tmp_path):
    """In a copy of the package, so that no other test sees a fourth method."""
    page = PAGE.read_text(encoding="utf-8")
    ((place, code),) = re.findall(r"Put this into `(\S+)`:\n\n```python\n(.*?)```", page, re.S)
    kept = shutil.ignore_patterns("__pycache__")
    shutil.copytree(next(iter(triptych.__path__)), tmp_path / "src" / "triptych", ignore=kept)
    (tmp_path / place).write_text(code, encoding="utf-8")
    (words,) = re.findall(r"^    \.venv/bin/python (.+)$", page, re.M)
    done = subprocess.run(
        [sys.executable, *shlex.split(words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    # Were the copy not the package that is imported, there would be none.
    assert passed is not None and int(passed[1]) > 30


def test_the_example_is_as_short_as_is_said(example):
    (code,) = re.findall(r"```python\n(.*?)```", example, re.S)
    assert sum(bool(line.strip()) for line in code.splitlines()) < 60
