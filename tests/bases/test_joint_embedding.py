"""What methods share that compare two looks: networks of the same names and the same beginning, and the same views."""

from __future__ import annotations

import pytest
import torch

from triptych import methods
from triptych.bases.joint_embedding import JointEmbedding
from triptych.config import merge
from triptych.experiment import default_config
from triptych.nets.initialise import initialise
from triptych.types import DataSpec, capabilities

SPEC = DataSpec((3, 8, 8), "colour", mirrors=False)
NAMES = [name for name in methods.names() if issubclass(methods.find(name), JointEmbedding)]


def build(name: str) -> JointEmbedding:
    kind = methods.find(name)
    fields = {"depth": 10, "stem": "half", "width": 4, "projector": [16, 8]}
    method = kind(merge(kind.Config(), fields), SPEC)
    initialise(method, 5)
    method.after_initialise()
    return method.eval()


def test_there_are_six_of_them():
    assert NAMES == ["barlow", "byol", "sigreg", "simclr", "simsiam", "vicreg"]


@pytest.mark.parametrize("name", NAMES)
def test_all_begin_with_the_same_backbone_and_projector(name: str):
    """What two methods share they start with: a comparison of them is one of objectives."""
    one, other = build(name), build("simsiam")
    for part in ("backbone", "projector"):
        a, b = (dict(m.get_submodule(part).named_parameters()) for m in (one, other))
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert one.views == other.views and one.views.flip == 0.0
    x = torch.rand(3, 3, 8, 8)
    assert torch.equal(one.encode(x), other.encode(x))


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_can_and_what_keeps_it_apart(name: str):
    method = build(name)
    assert capabilities(method) == ("Encodes", "Projects")
    assert method.guard and method.cosine
    z = method.project(method.encode(torch.rand(3, 3, 8, 8)))
    assert z.shape == (3, 8) and z.dtype == torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_the_small_presets_differ_in_head_optimizer_and_objective_alone(name: str):
    """`agreement-methods` compares them: backbone, views, images seen and batches are those of SimSiam's."""
    one, other = default_config(name, "small"), default_config("simsiam", "small")
    assert (one.seed, one.data, one.train) == (other.seed, other.data, other.train)
    for field in ("depth", "stem", "width", "batch_norm", "mean", "std", "views"):
        assert getattr(one.method, field) == getattr(other.method, field), field
