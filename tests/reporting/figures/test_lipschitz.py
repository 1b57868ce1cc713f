"""The audit's figure: every norm counted once, on its side of 1, and the recorded shares beside it."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from triptych.reporting.figures.lipschitz import lipschitz
from triptych.reporting.figures.style import MEASURED, TRAINED

pytestmark = pytest.mark.usefixtures("style")

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
