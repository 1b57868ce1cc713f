"""Capabilities are found in the object itself, on every version of Python."""

import ast
import inspect
import typing
from pathlib import Path
from typing import Protocol

import pytest
import torch
from torch import nn

import triptych
from triptych import methods, types
from triptych.backbone import HasBackbone
from triptych.capability import Capability
from triptych.types import DataSpec, Method

ROOT = Path(next(iter(triptych.__path__)))
CAN = {
    "vae": {
        *("Decodes", "Encodes", "Reconstructs"),
        *("HasLikelihood", "HasPrior", "HasImportanceBound"),
    },
    "hvae": {
        *("Decodes", "Encodes", "Reconstructs"),
        *("HasLikelihood", "HasPrior", "HasCoordinateKL"),
    },
    "wgan": {"Samples", "HasCritic", "LipschitzCritic"},
    "gan": {"Samples", "HasCritic"},
    **{
        name: {"Encodes", "Projects", "HasBackbone"}
        for name in ("simsiam", "simclr", "byol", "barlow", "vicreg", "sigreg")
    },
}
ALL = {
    name: value
    for name, value in {**vars(types), "HasBackbone": HasBackbone}.items()
    if isinstance(value, Capability)
}


def build(name: str) -> Method:
    kind, spec = methods.find(name), DataSpec((3, 32, 32), "colour")
    return kind(kind.resolve(kind.Config(), spec), spec)


def statically(cls: type, instance: object) -> bool:
    """How Python 3.12 and later look for the members of a runtime-checkable protocol."""
    names = [*inspect.get_annotations(cls), *(n for n in vars(cls) if not n.startswith("_"))]
    try:
        return all(inspect.getattr_static(instance, name) is not None for name in names)
    except AttributeError:
        return False


@pytest.mark.parametrize("name", CAN)
def test_what_a_method_can_do_is_found_where_protocols_look_statically(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = build(name)
    monkeypatch.setattr(type(Protocol), "__instancecheck__", statically)
    assert {what for what, cls in ALL.items() if isinstance(method, cls)} == CAN[name]


def test_a_member_that_only_getattr_serves_is_not_seen_statically() -> None:
    """The trap is real: without it the test above would show nothing."""
    assert not statically(types.HasCritic, build("wgan"))
    assert not statically(HasBackbone, build("simsiam"))


def test_a_member_that_is_no_function_is_not_taken_for_one() -> None:
    class Odd(nn.Module):
        latent = 2
        sample = None

    assert not isinstance(Odd(), types.Samples)


def test_a_buffer_is_a_member() -> None:
    class Scaled(Protocol, metaclass=Capability):
        mean: torch.Tensor

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))

    assert isinstance(Network(), Scaled)
    assert not isinstance(nn.Linear(1, 1), Scaled)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_protocol_is_checked_as_typing_does_it(path: Path) -> None:
    """``runtime_checkable`` alone would bring back what differs between versions of Python."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ClassDef):
            continue
        decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
        if "runtime_checkable" in decorators:
            assert [ast.unparse(k.value) for k in node.keywords] == ["Capability"], node.name


def test_capabilities_are_named() -> None:
    for name, can in CAN.items():
        assert set(types.capabilities(build(name))) == can - {"HasBackbone"}
    every = {n for n, cls in ALL.items() if cls is not HasBackbone}
    assert {what.__name__ for what in types._PROTOCOLS} == every


def test_every_kind_of_capability_is_asked_of_every_method() -> None:
    assert set.union(*CAN.values()) == set(ALL)
    assert typing.get_type_hints(types.HasCritic)["critic"] is nn.Module
