"""The pullback metric of maps whose Jacobians are known, and of a convolutional generator by differences."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.evaluation.latent_space.pullback import (
    effective_dimension,
    largest_components,
    principal,
    principal_directions,
    pullback_metrics,
)
from triptych.evaluation.subject import Subject
from triptych.nets.dcgan import VectorToImage

D = 7


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d: int, seed: int = 0) -> torch.Tensor:
    return torch.linalg.qr(draws(d, d, seed=seed))[0]


def test_a_linear_map_has_its_own_gram_matrix_at_every_latent():
    a = draws(12, D)
    found = pullback_metrics(lambda z: (z @ a.T).view(-1, 3, 2, 2), draws(5, D, seed=1))
    torch.testing.assert_close(found, (a.T @ a).expand(5, D, D), rtol=1e-12, atol=1e-12)


def test_a_curved_map_has_the_metric_of_its_hand_made_jacobian():
    a, z = draws(12, D), draws(4, D, seed=1)
    found = pullback_metrics(lambda z: torch.sigmoid(z @ a.T), z)
    slope = torch.sigmoid(z @ a.T) * (1 - torch.sigmoid(z @ a.T))
    for metric, s in zip(found, slope, strict=True):
        jacobian = s[:, None] * a
        torch.testing.assert_close(metric, jacobian.T @ jacobian, rtol=1e-12, atol=1e-14)


def test_a_generator_with_batch_norm_agrees_with_finite_differences():
    torch.manual_seed(0)
    net = VectorToImage(D, (3, 8, 8), 4, batch_norm=True).double()
    net(draws(64, D, seed=2))  # Running statistics that are not 0 and 1.
    net.eval()
    z, step = draws(3, D, seed=1), 1e-6
    found = pullback_metrics(lambda z: torch.tanh(net(z)), z)
    with torch.no_grad():
        for metric, at in zip(found, z, strict=True):
            moved = at + step * torch.cat([torch.eye(D), -torch.eye(D)])
            x = torch.tanh(net(moved.double())).flatten(1)
            jacobian = (x[:D] - x[D:]) / (2 * step)
            torch.testing.assert_close(metric, jacobian @ jacobian.T, rtol=1e-5, atol=1e-8)


def test_single_precision_is_summed_in_double():
    a = draws(12, D).float()
    found = pullback_metrics(lambda z: z @ a.T, draws(1, D).float())
    assert found.dtype == torch.float64
    torch.testing.assert_close(found[0], a.double().T @ a.double(), rtol=1e-12, atol=1e-12)


def test_effective_dimension_counts_the_directions_that_do_something():
    orthonormal = torch.eye(D, dtype=torch.float64).expand(4, D, D)
    assert effective_dimension(orthonormal) == (pytest.approx(D), 0)
    u = draws(D, 1)
    assert effective_dimension((u @ u.T).expand(4, D, D))[0] == pytest.approx(1)
    two = torch.diag(torch.tensor([3.0, 1, 0, 0], dtype=torch.float64)).expand(4, 4, 4)
    assert effective_dimension(two)[0] == pytest.approx(16 / 10)
    assert effective_dimension(torch.zeros(4, 4, 4, dtype=torch.float64)) == (0, 0)


def test_effective_dimension_does_not_know_the_coordinates():
    a, r, z = draws(12, D), rotation(D), draws(9, D, seed=1)
    here = effective_dimension(pullback_metrics(lambda z: torch.sigmoid(z @ a.T), z))
    turned = effective_dimension(pullback_metrics(lambda w: torch.sigmoid(w @ r.T @ a.T), z @ r))
    assert turned == (pytest.approx(here[0], rel=1e-10), pytest.approx(here[1], rel=1e-8))


def test_the_jackknife_error_is_the_naive_one_and_the_spread_of_repetitions():
    def metrics(seed: int, n: int = 40) -> torch.Tensor:
        v = draws(n, 5, 3, seed=seed) * torch.tensor([3.0, 2, 1, 1, 1])[:, None]
        return v @ v.mT

    def naive(m: torch.Tensor) -> float:
        values = np.linalg.eigvalsh(m.mean(0).numpy())
        return float(values.sum() ** 2 / (values**2).sum())

    m = metrics(0)
    value, stderr = effective_dimension(m)
    assert value == pytest.approx(naive(m))
    left = np.array([naive(torch.cat([m[:i], m[i + 1 :]])) for i in range(len(m))])
    n = len(m)
    assert stderr == pytest.approx(math.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))
    found = np.array([effective_dimension(metrics(seed)) for seed in range(400)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.15)


def test_principal_directions_are_the_eigenvectors_by_size_with_a_sign_of_their_own():
    r, values = rotation(4), torch.tensor([0.5, 7.0, 0.0, 2.0], dtype=torch.float64)
    found, rows = principal_directions(r @ torch.diag(values) @ r.T)
    torch.testing.assert_close(found, values.sort(descending=True).values)
    wanted = r.T[values.argsort(descending=True)]
    torch.testing.assert_close((rows * wanted).sum(1).abs(), torch.ones(4, dtype=torch.float64))
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_an_axis_among_the_vectors_is_named_and_a_random_one_is_not():
    rows = torch.nn.functional.normalize(draws(3, 50))
    rows[1] = 0
    rows[1, 17] = 1
    found = largest_components(rows, torch.Generator().manual_seed(0))
    assert found["coordinate"][1] == 17
    assert found["component"] == pytest.approx(rows.abs().amax(1).tolist())
    assert found["p"][1] == pytest.approx(3 / 10_001)
    assert min(found["p"][0], found["p"][2]) > 0.05


def test_the_largest_component_of_a_random_direction_of_the_plane_is_known():
    """|cos| of an angle uniform in [0, π/4]: median cos(π/8), 95 % quantile cos(π/80)."""
    found = largest_components(torch.eye(2), torch.Generator().manual_seed(0))["random"]
    assert found["median"] == pytest.approx(math.cos(math.pi / 8), abs=0.005)
    assert found["95% quantile"] == pytest.approx(math.cos(math.pi / 80), abs=0.0005)


class Linear(nn.Module):
    """x = 0.5 + 0.01 A z with orthogonal columns of falling length, turned as one likes."""

    latent = 20

    def __init__(self, turn: torch.Tensor) -> None:
        super().__init__()
        basis = rotation(32, 3)[:, : self.latent]
        self.lengths = torch.linspace(2, 1, self.latent, dtype=torch.float64)
        self.turn = turn
        self.a = (0.01 * basis * self.lengths @ turn.T).float()

    def sample(self, z):
        return (0.5 + z @ self.a.T).view(-1, 2, 4, 4)


def subject(method: nn.Module) -> Subject:
    pixels = np.zeros((4, 2, 4, 4), np.uint8)
    dataset = Dataset("d", "D", {"train": Images(pixels, None)}, None, "grey", "")
    return Subject(method.eval(), dataset, "none", torch.device("cpu"))


def test_the_evaluation_of_a_linear_generator_on_its_axes():
    method = Linear(torch.eye(20, dtype=torch.float64))
    results, kept = principal(subject(method))
    squares = 1e-4 * method.lengths**2
    dimension = results["latent/effective_dimension"]
    assert dimension.value == pytest.approx(float(squares.sum() ** 2 / (squares**2).sum()), 1e-5)
    assert dimension.stderr == pytest.approx(0, abs=1e-5)
    assert dimension.protocol["output"] == "pixels in [0, 1], flattened"
    spectrum = results["latent/principal_spectrum"].value
    assert spectrum["eigenvalues"] == pytest.approx(squares.tolist(), rel=1e-4)
    assert spectrum["axes"]["coordinate"] == [0, 1, 2, 3, 4, 5]
    assert "1 (coordinate 0, component 1.00)" in spectrum["sentences"][0]
    np.testing.assert_allclose(kept["directions"], np.eye(20), atol=1e-3)
    # Along direction k the pixels move by 0.01 · length · a unit vector for one prior deviation.
    assert kept["values"].tolist() == [-3, -2, -1, 0, 1, 2, 3]
    images = kept["images"].astype(np.float64) / 255
    assert images.shape == (6, 3, 7, 2, 4, 4)
    basis = method.a.double().T.view(20, 2, 4, 4).numpy()
    for k in range(6):
        moved = images[k] - images[k, :, 3:4]
        wanted = kept["values"][:, None, None, None] * basis[k]
        assert np.abs(moved - wanted).max() <= 1 / 255
    # At 0 the coordinate is gone, the others are what they were.
    assert np.abs(images[0, :, 3] - images[1, :, 3]).max() > 2 / 255


def test_a_turned_generator_has_no_direction_near_an_axis():
    results, _ = principal(subject(Linear(rotation(20, 8))))
    sentence = results["latent/principal_spectrum"].value["sentences"][0]
    assert sentence.startswith("None of the first 6 principal directions")
