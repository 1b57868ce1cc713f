"""The figures of a planted game: what is drawn is what was kept."""

import json

import numpy as np
import pytest
from matplotlib.colors import to_hex

from triptych.metrics import label
from triptych.reporting.figures.game import critic_curves, filmstrip, lipschitz
from triptych.reporting.figures.style import MEASURED, TRAINED

pytestmark = pytest.mark.usefixtures("style")


@pytest.fixture
def game(plant):
    """A gap that halves over 1,000 updates, and moments whose every image has one level."""
    for step in range(100, 1001, 100):
        terms = {"critic_gap": 10 - step / 200, "gradient_norm": 1.1, "penalty": 0.01}
        plant.run.log(
            {"step": step, "epoch": step / 20, "seconds": 1.0}
            | {f"train/{name}": value for name, value in terms.items()}
        )
    for i, step in enumerate((0, 10, 1000)):
        plant.run.log(
            {"step": step, "epoch": step / 20, "seconds": 1.0}
            | {"samples/diversity": 0.5, "valid/critic_gap": 5.0, "valid/frechet_untrained": 2.0}
        )
        plant.run.save_moment(step, np.full((64, 1, 8, 8), 50 * (i + 1), np.uint8))
    return plant


def test_the_strip_has_a_row_for_every_moment_in_order(game, style):
    figure = filmstrip(game.run)
    (axes,) = figure.axes
    labels = [t.get_text() for t in axes.texts]
    assert labels == ["0 updates", "10 updates", "1,000 updates"]
    canvas = axes.images[0].get_array()
    rows = [canvas[y, 4, 0] for y in (4, 4 + 9, 4 + 18)]
    assert rows == [50, 100, 150]


def test_curves_show_what_was_logged(game, style):
    figure = critic_curves(game.run)
    gap, *_ = figure.axes
    train, valid = gap.get_lines()
    assert train.get_xdata().tolist() == [step / 20 for step in range(100, 1001, 100)]
    assert train.get_ydata().tolist() == pytest.approx(
        [10 - s / 200 for s in range(100, 1001, 100)]
    )
    assert valid.get_xdata().tolist() == [0, 0.5, 50]
    assert gap.get_ylim()[0] == 0
    assert "Alarm" not in "".join(t.get_text() for t in figure.texts)


def test_an_alarm_is_marked_at_its_step_and_said(game, style):
    game.run.log(
        {"step": 700, "epoch": 35, "seconds": 1.0, "alarm": "the samples collapsed at step 600"}
    )
    figure = critic_curves(game.run)
    for axes in figure.axes:
        assert any(line.get_xdata()[0] == 35 for line in axes.get_lines()[-1:])
    said = " ".join(t.get_text().replace("\n", " ") for t in figure.texts)
    assert "Alarm at step 700 (dotted): the samples collapsed at step 600." in said


def test_slopes_at_images_and_at_samples_are_both_drawn(game, style):
    before = len(critic_curves(game.run).axes)
    for name in ("r1", "r2"):
        game.run.log({"step": 1000, "epoch": 50, "seconds": 1.0, f"train/{name}": 0.5})
    titles = [axes.get_title("left") for axes in critic_curves(game.run).axes]
    assert len(titles) == before + 2
    assert {label("r1"), label("r2")} <= {*titles}


def test_a_run_without_a_game_has_neither(plant, style):
    plant.log("train", [1.0], [-150.0])
    assert critic_curves(plant.run) is None
    assert filmstrip(plant.run) is None


NORMS = {
    "test": np.linspace(0.5, 1.5, 400, dtype=np.float32),
    "train": np.full(300, 0.25, dtype=np.float32),
    "generated": np.full(200, 1.7, dtype=np.float32),
    "interpolated": np.array([0.999, 1.0, 1.001, 2.5], dtype=np.float32),
}


@pytest.fixture
def audited(plant):
    table = {}
    for kind, norms in NORMS.items():
        share = float((norms > 1).mean())
        table[kind] = {
            **{"mean": float(norms.mean()), "max": float(norms.max()), "n": len(norms)},
            **{"share above 1": share, "stderr of share": 0.025 * share * (1 - share)},
        }
    plant.result("critic/gradient_norm", table)
    plant.run.save_arrays("gradient_norms", **NORMS)
    return plant.run


def bars(axes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Counts and edges by colour."""
    found = {}
    for patch in axes.patches:
        values, edges, _ = patch.get_data()
        found[to_hex(patch.get_facecolor()).upper()] = np.asarray(values), np.asarray(edges)
    return found


def test_every_norm_is_counted_once_and_on_its_side_of_one(audited):
    figure = lipschitz(audited)
    assert len(figure.axes) == len(NORMS)
    for axes, norms in zip(figure.axes, NORMS.values(), strict=True):
        below, edges = bars(axes)[MEASURED]
        above, same = bars(axes)[TRAINED]
        assert np.array_equal(edges, same)
        assert np.abs(edges - 1).min() < 1e-12, "no bar lies on both sides of 1"
        assert below.sum() == (norms < 1).sum()
        assert above.sum() == (norms >= 1).sum()
        assert (below * above == 0).all()
        (line,) = axes.get_lines()
        assert list(line.get_xdata()) == [1, 1]
        assert axes.get_xlim() == figure.axes[0].get_xlim(), "one scale for all kinds"


def test_kinds_are_named_with_their_shares(audited):
    axes = lipschitz(audited).axes
    names = [a.texts[0].get_text() for a in axes]
    assert names == ["test images", "training images", "samples", "interpolated"]
    titles = [a.get_title(loc="left") for a in axes]
    assert titles[0] == "50.0 ± 0.6 % of 400 above 1; largest 1.50"
    assert titles[1] == "none of 300 above 1; largest 0.25"
    assert titles[2] == "all of 200 above 1; largest 1.70"
    assert axes[-1].get_xlabel() == "‖∇f‖"


def test_norms_that_are_all_one_have_a_scale_too(plant):
    row = {"max": 1.0, "n": 9, "share above 1": 0.0, "stderr of share": 0.0}
    plant.result("critic/gradient_norm", {"generated": row})
    plant.run.save_arrays("gradient_norms", generated=np.ones(9, np.float32))
    (axes,) = lipschitz(plant.run).axes
    low, high = axes.get_xlim()
    assert low < 1 < high
    assert bars(axes)[TRAINED][0].sum() == 9


def test_there_is_no_figure_without_both_numbers_and_norms(plant, audited):
    (audited.path / "samples" / "gradient_norms.npz").unlink()
    assert lipschitz(audited) is None
    audited.write("results.json", "{}")
    audited.save_arrays("gradient_norms", **NORMS)
    assert lipschitz(audited) is None


@pytest.mark.parametrize(("most", "said"), [(None, "1-Lipschitz"), (10.0, "10-Lipschitz")])
def test_a_critic_is_held_to_the_constant_that_it_promises(plant, most, said):
    plant.protocol = {**plant.protocol, **({"lipschitz": most} if most else {})}
    row = {"max": 1.0, "n": 9, "share above 1": 0.0, "stderr of share": 0.0}
    plant.result("critic/gradient_norm", {"generated": row})
    plant.run.save_arrays("gradient_norms", generated=np.ones(9, np.float32))
    words = " ".join(text.get_text() for text in lipschitz(plant.run).texts).replace("\n", " ")
    assert words.startswith(f"Is the critic {said}?") and f"A {said} critic" in words
    assert ("over the constant 10" in words) == (most is not None)


@pytest.mark.parametrize(
    ("can", "penalised", "lossy", "panels", "distance"),
    [
        (("HasCritic", "LipschitzCritic"), True, False, 3, True),
        (("HasCritic", "LipschitzCritic"), True, True, 4, False),
        (("HasCritic",), True, False, 3, False),
        (("HasCritic",), False, False, 1, False),
    ],
)
def test_only_where_a_slope_is_promised_the_gap_is_said_to_be_a_distance(
    plant, can, penalised, lossy, panels, distance
):
    told = {"name": "mine", "title": "mine", "about": "", "can": [*can]}
    told |= {"cosine": None, "source": None}
    plant.run.write("environment.json", json.dumps({"method": told}))
    slopes = {"train/gradient_norm": 3.0, "train/penalty": 0.1} if penalised else {}
    # What it minimises is not the gap: a loss of its own, whose slope is held too.
    slopes |= {"train/critic_loss": 1.3} if lossy else {}
    for step in (10, 20):
        plant.run.log({"step": step, "epoch": 1.0, "train/critic_gap": 2.0, **slopes})
    figure = critic_curves(plant.run)
    assert len(figure.axes) == panels
    assert ("Wasserstein" in " ".join(text.get_text() for text in figure.texts)) == distance
    slope = [a for a in figure.axes if a.get_title(loc="left").startswith("gradient norm")]
    held = [1.0 in line.get_ydata() for a in slope for line in a.get_lines()]
    assert any(held) == ("LipschitzCritic" in can)
    assert ("is no distance" in " ".join(t.get_text() for t in figure.texts)) >= lossy
