"""The ways between samples: their formulas, their common end points, and interpolation on a sphere."""

import math

import pytest
import torch

from triptych.data.spec import Dataset
from triptych.evaluation.latent_space.interpolation import (
    between_samples,
    end_points,
    path_scores,
    slerp,
)
from triptych.evaluation.subject import Subject
from triptych.types import DataSpec, Method, Samples


class Bent(Method):
    """Pixel j is σ(3 z_j)."""

    Config = object
    gauge = "none"
    latent = 4

    def __init__(self) -> None:
        super().__init__(None, DataSpec((1, 2, 2), "grey"))

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def sample(self, z):
        return torch.sigmoid(3 * z).view(-1, 1, 2, 2)


def subject() -> Subject:
    dataset = Dataset("d", "D", {}, None, "grey", "")
    return Subject(Bent().eval(), dataset, "none", torch.device("cpu"))


def great_circle(a: torch.Tensor, b: torch.Tensor, alpha: float) -> torch.Tensor:
    """The direction turned by α of the angle in the plane of a and b, the norm between theirs."""
    a, b = a.double(), b.double()
    u = a / a.norm()
    v = b / b.norm()
    angle = torch.acos((u @ v).clamp(-1, 1))
    sideways = v - (u @ v) * u
    sideways = sideways / sideways.norm()
    direction = (alpha * angle).cos() * u + (alpha * angle).sin() * sideways
    return ((1 - alpha) * a.norm() + alpha * b.norm()) * direction


def test_samples_are_joined_by_three_ways_from_the_same_end_points():
    made = subject()
    assert isinstance(made.method, Samples)
    found = between_samples(made, pairs=5, steps=11)
    z = end_points(made, 5)
    draw = made.method.sample
    torch.testing.assert_close(found["alpha"], torch.arange(11) / 10)
    for i, (a, b) in enumerate(z):
        for step in range(11):
            t = step / 10
            wanted = {
                "linear": draw(((1 - t) * a + t * b)[None])[0],
                "spherical": draw(great_circle(a, b, t).float()[None])[0],
                "pixel": (1 - t) * draw(a[None])[0] + t * draw(b[None])[0],
            }
            for way, image in wanted.items():
                torch.testing.assert_close(found[way][i, step], image, atol=1e-5, rtol=0)
    assert (found["linear"] - found["pixel"]).abs().max() > 0.1
    assert (found["linear"] - found["spherical"]).abs().max() > 0.02


def test_no_end_point_is_in_two_pairs_and_all_come_from_the_prior():
    z = end_points(subject(), 400).flatten(0, 1)
    assert len(z.unique(dim=0)) == 800
    assert z.mean().abs() < 4 / math.sqrt(z.numel())
    assert z.std() == pytest.approx(1, abs=4 / math.sqrt(2 * z.numel()))
    assert torch.equal(z, end_points(subject(), 400).flatten(0, 1))
    assert torch.equal(z[:12], end_points(subject(), 6).flatten(0, 1)), "pictures show scored pairs"


@pytest.mark.parametrize("norms", [(1.0, 1.0), (2.0, 2.0), (0.1, 30.0)])
def test_slerp_turns_by_equal_angles_between_the_norms(norms):
    a, b = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    a, b = (v / v.norm() * size for v, size in zip((a, b), norms, strict=True))
    for alpha in (0.0, 0.1, 0.5, 0.8, 1.0):
        found = slerp(a, b, torch.tensor([alpha], dtype=torch.float64))
        torch.testing.assert_close(found, great_circle(a, b, alpha))


def test_for_equal_norms_slerp_is_the_formula_of_the_paper():
    a, b = torch.randn(2, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    b = b / b.norm() * a.norm()
    omega = torch.acos(a @ b / a.norm() / b.norm())
    for t in (0.3, 0.6):
        wanted = (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)
        found = slerp(a, b, torch.tensor([t], dtype=torch.float64))
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0]),
        ([1.0, 2.0], [3.0, 6.0], [1.5, 3.0]),
        ([1.0, 2.0], [-1.0, -2.0], [0.5, 1.0]),
        ([1.0, 2.0], [-3.0, -6.0], [0.0, 0.0]),
        ([0.0, 0.0], [4.0, 8.0], [1.0, 2.0]),
        ([4.0, 8.0], [0.0, 0.0], [3.0, 6.0]),
        ([0.0, 0.0], [0.0, 0.0], [0.0, 0.0]),
        ([1.0, 0.0], [1.0, 1e-6], [1.0, 2.5e-7]),
    ],
)
def test_slerp_without_a_great_circle_is_the_straight_line(a, b, wanted):
    found = slerp(torch.tensor(a), torch.tensor(b), torch.tensor([0.25]))
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-7, rtol=1e-6)


def test_slerp_of_nearly_opposite_vectors_stays_between_their_norms():
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(100, 50, generator=draw)
    b = -2 * a + torch.randn(100, 50, generator=draw) * torch.logspace(-9, 0, 100)[:, None]
    found = slerp(a[:, None], b[:, None], torch.linspace(0, 1, 21)[:, None])
    largest = torch.maximum(a.norm(dim=1), b.norm(dim=1))
    assert found.isfinite().all()
    assert (found.norm(dim=2) <= 1.05 * largest[:, None]).all()
    torch.testing.assert_close(found[:, 0], a, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, -1], b, atol=1e-4, rtol=1e-4)


def test_paths_by_hand():
    path = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]], [[1.0, 1.0]] * 3])
    found = path_scores(path)
    assert found["path length"].tolist() == [7, 0]
    assert found["relative path length"].tolist() == pytest.approx([7 / 5, 1])
    assert found["largest step"].tolist() == [4, 0]
