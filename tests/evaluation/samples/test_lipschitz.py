"""The audit of critics whose gradient is known everywhere."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from triptych.data.spec import Dataset, Images
from triptych.evaluation.samples.lipschitz import audit
from triptych.evaluation.statistics import share_error
from triptych.evaluation.subject import BLOCK, Subject
from triptych.types import DataSpec, HasCritic, LipschitzCritic, Method, Samples

SHAPE = (3, 4, 4)
LATENT = 5


class Linear(nn.Module):
    """f(x) = w·x, the norm of w given."""

    def __init__(self, norm: float) -> None:
        super().__init__()
        w = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
        self.w = nn.Parameter(w / w.norm() * norm)
        self.seen: list[torch.Tensor] = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        return (x * self.w).sum((1, 2, 3))


class Bowl(nn.Module):
    """f(x) = ‖x‖²/8, whose gradient is x/4."""

    def forward(self, x):
        return 0.125 * x.square().sum((1, 2, 3))


class Planted(Method):
    """Samples are σ of the latent, repeated; the critic sees images in [−1, 1]."""

    Config = object
    gauge = "gap"
    latent = LATENT
    lipschitz = 1.0

    def __init__(self, critic: nn.Module) -> None:
        super().__init__(None, DataSpec(SHAPE, "colour"))
        self.critic = critic

    def phases(self):
        return ()

    def losses(self, phase, batch, noise, progress):
        raise NotImplementedError

    def sample(self, z):
        return torch.sigmoid(z.repeat(1, 10)[:, :48]).view(-1, *SHAPE)

    def scaled(self, x):
        return 2 * x - 1


def subject(critic: nn.Module, train: int = 700, test: int = 40) -> Subject:
    draw = np.random.default_rng(0)
    splits = {
        name: Images(draw.integers(0, 256, (count, *SHAPE)).astype(np.uint8), None)
        for name, count in (("train", train), ("test", test))
    }
    dataset = Dataset("d", "D", splits, None, "colour", "")
    return Subject(Planted(critic).eval(), dataset, "none", torch.device("cpu"))


def test_the_planted_method_has_what_the_audit_asks_for():
    assert isinstance(Planted(Bowl()), LipschitzCritic)
    assert isinstance(Planted(Bowl()), Samples)


def test_a_critic_that_promises_no_constant_is_not_audited(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(Planted, "lipschitz")
    assert isinstance(Planted(Bowl()), HasCritic)
    assert not isinstance(Planted(Bowl()), LipschitzCritic)


@pytest.mark.parametrize(("norm", "share"), [(0.75, 0.0), (1.5, 1.0)])
def test_a_linear_critic_has_the_norm_of_its_weight_everywhere(norm: float, share: float):
    results, arrays = audit(subject(Linear(norm)), "test", count=600)
    table = results["critic/gradient_norm"].value
    assert list(table) == list(arrays) == ["test", "train", "generated", "interpolated"]
    for kind, row in table.items():
        np.testing.assert_allclose(arrays[kind], norm, rtol=1e-6)
        assert row["n"] == len(arrays[kind])
        for name in ("mean", "5% quantile", "median", "95% quantile", "max"):
            assert row[name] == pytest.approx(norm, rel=1e-6)
        assert row["std"] == pytest.approx(0, abs=1e-6)
        assert row["share above 1"] == share
        # All alike is not certainty: the rule of proportions at 0 and 1.
        assert row["stderr of share"] == share_error(share, row["n"]) > 0
    assert [row["n"] for row in table.values()] == [40, 600, 600, 600]


def test_slopes_are_in_units_of_the_constant_that_the_critic_declares(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(Planted, "lipschitz", 2.0)
    results, arrays = audit(subject(Linear(1.5)), "test", count=40)
    np.testing.assert_allclose(arrays["train"], 0.75, rtol=1e-6)
    assert results["critic/gradient_norm"].value["train"]["share above 1"] == 0
    assert results["critic/gradient_norm"].protocol["lipschitz"] == 2


def test_a_quadratic_critic_has_a_gradient_as_long_as_the_scaled_image():
    made = subject(Bowl())
    results, arrays = audit(made, "test", count=700)
    table = results["critic/gradient_norm"].value
    for kind in ("test", "train"):
        pixels = made.dataset.splits[kind].pixels.reshape(-1, 48).astype(np.float64)
        wanted = 0.25 * np.linalg.norm(2 * pixels / 255 - 1, axis=1)
        np.testing.assert_allclose(arrays[kind], wanted, rtol=1e-5)
        row, share = table[kind], (wanted > 1).mean()
        assert 0 < share < 1, "the test would say nothing"
        assert row["share above 1"] == share
        assert row["stderr of share"] == pytest.approx(math.sqrt(share * (1 - share) / len(wanted)))
        assert row["mean"] == pytest.approx(wanted.mean())
        assert row["std"] == pytest.approx(wanted.std(ddof=1), rel=1e-4)
        assert row["max"] == pytest.approx(wanted.max())
        assert [row[q] for q in ("5% quantile", "median", "95% quantile")] == pytest.approx(
            np.quantile(wanted, [0.05, 0.5, 0.95]).tolist()
        )


def test_interpolated_images_have_one_t_each_between_a_training_image_and_a_sample():
    critic = Linear(1.0)
    made = subject(critic)
    count = BLOCK + 100
    audit(made, "test", count)
    # After the test images a block of each kind in turn.
    train, generated, mixed = (torch.cat(critic.seen[1 + i :: 3]).double() for i in range(3))
    wanted = made.method.scaled(made.examples("train", count)).double()
    torch.testing.assert_close(train, wanted)
    t = ((mixed - generated) / (train - generated)).flatten(1)
    clear = (train - generated).abs().flatten(1) > 0.2
    middle = torch.stack([row[c].median() for row, c in zip(t, clear, strict=True)])
    spread = (t - middle[:, None]).abs()[clear]
    assert spread.max() < 1e-5, "one t for all pixels of an example"
    assert middle.min() >= 0 and middle.max() <= 1
    # Uniform: mean ½, variance 1/12, within four standard errors.
    assert abs(middle.mean() - 0.5) < 4 / math.sqrt(12 * count)
    assert abs(middle.var() - 1 / 12) < 4 * math.sqrt((1 / 80 - 1 / 144) / count)


def test_the_audit_is_the_same_each_time_and_says_its_units():
    made = subject(Bowl())
    (first, norms), (second, again) = audit(made, "test"), audit(made, "test")
    assert first == second
    assert all(np.array_equal(norms[kind], again[kind]) for kind in norms)
    result = first["critic/gradient_norm"]
    assert "scaled images" in result.protocol["unit"]
    assert result.stderr is None and result.note
    assert result.n == 40 + 700 + 2000 + 700


def test_the_training_split_alone_is_audited_once():
    assert list(audit(subject(Bowl()), "train", 50)[1]) == ["train", "generated", "interpolated"]
