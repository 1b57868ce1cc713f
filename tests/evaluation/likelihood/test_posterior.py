"""Latent coordinates and interpolations of a planted encoder and decoder whose every number is known."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from triptych.data.spec import Dataset, Images
from triptych.evaluation.latent_space.interpolation import between_images
from triptych.evaluation.likelihood.posterior import active_units, traversal
from triptych.evaluation.samples.prior import prior_samples
from triptych.evaluation.subject import BLOCK, Subject
from triptych.types import DataSpec, DiagonalGaussian, Method

COUNT = BLOCK + 60
LATENT = 4


@dataclass(frozen=True)
class Scales:
    """What each pixel is multiplied by to be a posterior mean, and the log-variances."""

    means: tuple[float, ...]
    log_variances: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)


class PixelCode(Method):
    """Coordinate j is pixel j, scaled; pixel j is σ of coordinate j."""

    Config = Scales
    gauge = "elbo"
    latent = LATENT
    likelihood = "none"

    def __init__(self, config: Scales) -> None:
        super().__init__(config, DataSpec((1, 2, 2), "grey"))

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def elbo(self, x, noise):
        raise NotImplementedError

    def log_weights(self, x, q, noise):
        raise NotImplementedError

    def posterior(self, x):
        mean = x.flatten(1) * torch.tensor(self.config.means)
        return DiagonalGaussian(mean, torch.tensor(self.config.log_variances).expand_as(mean))

    def encode(self, x):
        return self.posterior(x).mean

    def decode(self, z):
        return torch.sigmoid(z).unflatten(-1, (1, 2, 2))

    def reconstruct(self, x):
        return self.decode(self.encode(x))


def subject(config: Scales, count: int = COUNT) -> Subject:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 1, 2, 2)).astype(np.uint8)
    splits = {"train": Images(pixels, None), "test": Images(pixels, None)}
    dataset = Dataset("d", "D", splits, None, "grey", "")
    return Subject(PixelCode(config).eval(), dataset, "none", torch.device("cpu"))


def levels(subject: Subject) -> np.ndarray:
    return subject.dataset.splits["test"].pixels.reshape(-1, 4).astype(np.float64) / 255


def test_active_units_are_those_whose_mean_varies_by_more_than_a_hundredth():
    variances = levels(subject(Scales((1,) * 4))).var(0, ddof=1)
    wanted = np.array([0.0101, 0.0099, 1.0, 0.0])
    found = active_units(subject(Scales(tuple(np.sqrt(wanted / variances)))), "test")
    result = found["latent/active_units"]
    assert result.value == 2
    assert result.n == COUNT
    assert result.stderr is None
    assert result.note


def test_divergence_of_each_dimension_is_the_closed_form_averaged_over_all_images():
    config = Scales((1.0, -2.0, 0.0, 0.5), (-1.0, 0.5, 0.0, -3.0))
    scale, log_variance = np.array(config.means), np.array(config.log_variances)
    mean = levels(subject(config)) * scale
    kl = (0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1)).mean(0)
    found = active_units(subject(config), "test")["latent/kl_per_dimension"]
    assert found.value == pytest.approx(kl.tolist(), abs=1e-5)
    assert found.value[2] == 0, "a coordinate that is the prior carries nothing"


def test_a_traversal_moves_the_chosen_coordinate_alone_and_orders_by_divergence():
    made = subject(Scales((0.1, 3.0, 1.0, 2.0)))
    found = traversal(made, "test", coordinates=3, steps=7, reach=3.0)
    assert found["coordinates"].tolist() == [1, 3, 2]
    assert (found["kl"].diff() < 0).all()
    assert found["values"].tolist() == [-3, -2, -1, 0, 1, 2, 3]
    first = made.method.reconstruct(made.examples("test", 1))[0].flatten()
    for row, chosen in enumerate([1, 3, 2]):
        images = found["images"][row].flatten(1)
        torch.testing.assert_close(images[:, chosen], torch.sigmoid(found["values"]))
        others = [j for j in range(4) if j != chosen]
        torch.testing.assert_close(images[:, others], first[others].expand(7, -1))


def test_a_traversal_of_more_coordinates_than_there_are_shows_them_all():
    found = traversal(subject(Scales((0.1, 3.0, 1.0, 2.0))), "test", coordinates=8, steps=3)
    assert found["coordinates"].tolist() == [1, 3, 2, 0]


def test_interpolations_share_their_ends_and_follow_their_formulas_between():
    made = subject(Scales((6.0, -6.0, 3.0, 1.0)))
    found = between_images(made, "test", pairs=5, steps=11)
    alpha = torch.arange(11) / 10
    torch.testing.assert_close(found["alpha"], alpha)
    ends = found["originals"]
    z = made.method.encode(ends.flatten(0, 1)).unflatten(0, (5, 2))
    for i in range(5):
        a, b = (made.method.reconstruct(ends[i, j][None])[0] for j in (0, 1))
        for kind in ("latent", "pixel"):
            torch.testing.assert_close(found[kind][i, 0], a)
            torch.testing.assert_close(found[kind][i, -1], b)
        for step, t in enumerate(alpha):
            mixed = (1 - t) * z[i, 0] + t * z[i, 1]
            torch.testing.assert_close(found["latent"][i, step], made.method.decode(mixed))
            torch.testing.assert_close(found["pixel"][i, step], (1 - t) * a + t * b)
    assert (found["latent"] - found["pixel"]).abs().max() > 0.05, "the two ways differ between"


def test_interpolated_pairs_are_different_images():
    found = between_images(subject(Scales((1.0,) * 4)), "test", pairs=6)
    flat = found["originals"].flatten(0, 1).flatten(1)
    assert len(flat.unique(dim=0)) == 12


@pytest.mark.parametrize("count", [2, 5, 11])
def test_a_small_split_gives_as_many_pairs_as_it_can(count: int):
    """The test split of a folder of a hundred images has ten."""
    found = between_images(subject(Scales((1.0,) * 4), count), "test", pairs=6)
    pairs = count // 2
    assert found["originals"].shape[:2] == (pairs, 2)
    assert len(found["latent"]) == len(found["pixel"]) == pairs


def test_samples_are_decoded_from_the_prior_and_the_same_each_time():
    made = subject(Scales((1.0,) * 4))
    images = prior_samples(made, 5000)
    z = torch.logit(images.flatten(1).double())
    assert z.mean().abs() < 4 / math.sqrt(z.numel())
    assert z.std().item() == pytest.approx(1, abs=4 / math.sqrt(2 * z.numel()))
    assert torch.equal(images, prior_samples(made, 5000))


def test_examples_are_spread_evenly_over_a_split():
    pixels = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1).repeat(2, 2).repeat(2, 3)
    dataset = Dataset("d", "D", {"test": Images(pixels, None)}, None, "grey", "")
    made = Subject(PixelCode(Scales((1.0,) * 4)), dataset, "none", torch.device("cpu"))
    found = (made.examples("test", 5)[:, 0, 0, 0] * 255).round().tolist()
    assert found == [0, 50, 100, 149, 199]


def test_dynamic_binarization_of_an_evaluation_is_drawn_once_and_for_all():
    made = subject(Scales((1.0,) * 4))
    dynamic = Subject(made.method, made.dataset, "dynamic", torch.device("cpu"))
    first = torch.cat([x for _, x in dynamic.blocks("test")])
    assert torch.equal(first, torch.cat([x for _, x in dynamic.blocks("test")]))
    assert set(first.unique().tolist()) == {0.0, 1.0}
    error = first.flatten(1).double().numpy() - levels(made)
    assert abs(error.mean()) < 4 * 0.5 / math.sqrt(error.size)
    assert not torch.equal(first[:60], first[BLOCK:]), "blocks have draws of their own"
    assert dynamic.protocol("test")["binarization"] == "dynamic"
    assert made.protocol("test")["binarization"] == "none"
