"""What ``--on`` takes, and what is said where a package for it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import triptych
from triptych.cli.main import main
from triptych.errors import TriptychError
from triptych.studies.where import HERE, Where, where


def test_a_place_is_a_kind_and_perhaps_a_name():
    assert where("here") == HERE == Where("here", "")
    assert where("ray") == Where("ray")
    assert where("ray:10.0.0.1:6379") == Where("ray", "10.0.0.1:6379")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slrum:gpu", "there is no place 'slrum'; did you mean 'slurm'?"),
        ("", "there is no place ''"),
        ("here:now", "--on takes here, ray, ray:ADDRESS, slurm or slurm:PARTITION, not 'here:now'"),
        ("ray:", "not 'ray:'"),
    ],
)
def test_anything_else_is_one_sentence(text: str, said: str):
    with pytest.raises(TriptychError) as caught:
        where(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "package"), [("ray", "ray"), ("slurm", "submitit")], ids=["ray", "slurm"]
)
def test_without_its_package_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch, capsys, kind: str, package: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    said = f"--on {kind} needs the package {package}: pip install 'triptych[{kind}]'"
    for words in (["study", "simsiam-ablation-demo"], ["reproduce", "--scale", "demo"]):
        assert main([*words, "--on", f"{kind}:x"]) == 2
        assert capsys.readouterr().err == f"triptych: {said}\n"
    with pytest.raises(TriptychError, match="pip install"):
        triptych.study("simsiam-ablation-demo", on=kind)
    with pytest.raises(TriptychError, match="pip install"):
        triptych.reproduce("demo", on=kind)
    assert not list(tmp_path.iterdir())
