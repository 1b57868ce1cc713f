"""The table of metrics: what is declared is found by any of its names, what is not is shown as it is named."""

import pytest

from triptych.metrics import DECLARED, SPLITS, Metric, label, metric


@pytest.mark.parametrize("split", SPLITS)
def test_a_metric_is_declared_once_for_all_splits(split):
    assert metric(f"{split}/elbo") == Metric("ELBO", "nats an image", "higher", 1.0)
    assert metric("elbo") == metric(f"{split}/elbo")


def test_a_term_of_the_bound_is_in_nats_where_triptych_measured_it_and_nowhere_else():
    """An autoencoder's squared error may have the same name in its log."""
    assert metric("valid/reconstruction").unit == metric("test/kl").unit == "nats an image"
    assert metric("train/reconstruction") == Metric("reconstruction")
    assert metric("train/kl") == Metric("kl")


def test_what_nobody_declared_is_shown_as_it_is_named():
    assert metric("train/sliced_distance") == Metric("sliced distance", "", "", 1.0)
    assert metric("train/critic/left_eye").title == "critic/left eye"
    assert metric("features/novelty").title == "features/novelty"
    assert label("valid/sliced_distance") == "validation sliced distance"


def test_the_full_name_goes_before_what_follows_the_split():
    assert metric("floor/pixels_knn_top1").title == "test kNN top-1 of raw pixels"
    assert metric("valid/frechet_untrained").title == "Fréchet distance over random features"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("test/knn_top1_untrained", "kNN top-1 of the untrained encoder"),
        ("test/knn_top1_pixels", "kNN top-1 of raw pixels"),
        ("test/coverage_floor", "coverage of real images"),
    ],
)
def test_a_baseline_is_read_as_its_metric(name, title):
    base = metric(name.rpartition("_")[0])
    assert metric(name) == base._replace(title=title)


def test_the_baseline_of_an_undeclared_metric_has_its_own_name():
    assert metric("test/novelty_floor") == Metric("novelty floor")


def test_shares_are_stored_as_such_and_read_in_per_cent():
    shares = {name for name, found in DECLARED.items() if found.unit == "%"}
    assert {"knn_top1", "linear_top1", "features/retrieval"} <= shares
    assert all(DECLARED[name].scale == 100.0 for name in shares)
    others = {name: found.scale for name, found in DECLARED.items() if name not in shares}
    assert others.pop("seconds") == 1 / 60
    assert set(others.values()) == {1.0}


def test_differences_of_per_cents_are_points():
    assert metric("test/knn_top1").points == "points"
    assert metric("test/elbo").points == "nats an image"


def test_a_split_alone_is_a_name():
    assert metric("train").title == "train"
    assert label("train/loss") == "training loss"
