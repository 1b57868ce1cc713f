"""Two runs or studies side by side: subtracted only where both were measured in the same way."""

import json
from dataclasses import replace

import numpy as np
import pytest

from triptych.errors import TriptychError
from triptych.reporting.page.compare import compare
from triptych.reporting.page.page import (
    write_page,
)
from triptych.runs import Result


def likelihood(value):
    return {"test/log_likelihood": Result(value, 0.25, 10_000, {"K": 200})}


def test_two_runs_stand_side_by_side_with_their_difference(planted, tmp_path):
    first = planted(tmp_path / "a", results=likelihood(-95.6))
    second = planted(tmp_path / "b", results=likelihood(-91.6))
    (row,) = compare(first.path, second.path).rows
    # √(0.25² + 0.25²) = 0.354
    assert row.difference == "4.00 ± 0.35 at most, not paired"
    page = write_page(
        [first.path, second.path], tmp_path / "o.html", "x", compare(first.path, second.path)
    )
    assert "4.00 ± 0.35" in page.read_text()


def test_other_protocols_are_refused_and_the_field_is_named(planted, tmp_path):
    first = planted(tmp_path / "a", results=likelihood(-95.6))
    other = {"test/log_likelihood": Result(-91.6, 0.25, 10_000, {"K": 5000})}
    second = planted(tmp_path / "b", results=other)
    with pytest.raises(TriptychError, match="importance samples is 200 in one and 5000"):
        compare(first.path, second.path)


def test_bounds_of_two_methods_are_not_subtracted_and_their_likelihoods_are(planted, tmp_path):
    """Each method's bound is its own; importance sampling asks both the same."""
    bound = {"test/elbo": Result(-98.0, 0.25, 10_000, {"estimator": "ELBO, analytic KL, 1 sample"})}
    vae, iwae = (
        planted(
            tmp_path / name,
            {"seed": 0, "method": {"name": name}, "data": {"name": "x"}},
            likelihood(-95.6) | bound,
        )
        for name in ("vae", "iwae")
    )
    rows = {row.name: row for row in compare(vae.path, iwae.path).rows}
    assert rows["test/elbo"].refusal == "method is vae in one and iwae in the other"
    assert rows["test/log_likelihood"].difference == "0.0000 ± 0.3536 at most, not paired"


def test_likelihoods_of_two_priors_are_subtracted(planted, tmp_path):
    """A prior is of the model, and not of how it was measured; and a divergence has one value however it was computed."""
    runs = []
    for name, prior in (("plain", {}), ("vamp", {"prior": "VampPrior of 5 pseudo-inputs"})):
        found = likelihood(-95.6)
        how = "Monte-Carlo" if prior else "analytic"
        found["test/elbo"] = Result(-98.0, 0.25, 10_000, {"estimator": f"ELBO, {how} KL, 1 sample"})
        found = {n: replace(r, protocol={**r.protocol, **prior}) for n, r in found.items()}
        config = {"seed": 0, "method": {"name": "vae"}, "data": {"name": "x"}}
        runs.append(planted(tmp_path / name, config, found))
    rows = {row.name: row for row in compare(*(run.path for run in runs)).rows}
    for name in ("test/log_likelihood", "test/elbo"):
        assert rows[name].refusal == ""
        assert rows[name].difference == "0.0000 ± 0.3536 at most, not paired"


def test_one_number_of_another_protocol_does_not_stop_the_others(planted, tmp_path):
    same = Result(0.5, 0.1, 10, {"k": 1})
    first = planted(tmp_path / "a", results={**likelihood(-95.6), "test/knn_top1": same})
    other = {"test/log_likelihood": Result(-91.6, 0.25, 10_000, {"K": 5000})}
    second = planted(tmp_path / "b", results={**other, "test/knn_top1": same})
    rows = {row.name: row for row in compare(first.path, second.path).rows}
    assert rows["test/log_likelihood"].difference == ""
    assert rows["test/knn_top1"].refusal == ""
    assert rows["test/knn_top1"].difference == "0 ± 14 points at most, not paired"


def knn_of(value, error, **protocol):
    return {"test/knn_top1": Result(value, error, 100, {"split": "test", **protocol})}


def differences(planted, tmp_path, first, second):
    runs = [planted(tmp_path / name, results=of) for name, of in (("a", first), ("b", second))]
    return {row.name: row for row in compare(*(run.path for run in runs)).rows}


def test_one_measurement_made_twice_differs_by_nothing(planted, tmp_path):
    """A baseline without weights, or the very same weights; equal by chance is another thing."""
    name, fields = "test/knn_top1_pixels", {"split": "test", "k": 20}
    raw = {name: Result(0.81, 0.09, 100, {**fields, "weights": "a", "checkpoint": "best"})}
    again = {name: Result(0.81, 0.09, 100, {**fields, "weights": "b", "checkpoint": "last"})}
    rows = differences(planted, tmp_path, raw, again)
    assert rows["test/knn_top1_pixels"].difference == "0 (the same measurement)"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"weights": "aa"}, {"weights": "aa"}, "0 (the same measurement)"),
        ({}, {}, "0 ± 13 points at most, not paired"),
    ],
)
def test_equal_numbers_are_one_measurement_only_of_the_same_weights(
    planted, tmp_path, first, second, said
):
    rows = differences(planted, tmp_path, knn_of(0.81, 0.09, **first), knn_of(0.81, 0.09, **second))
    assert rows["test/knn_top1"].difference == said


def test_distances_over_encoders_of_other_weights_are_not_subtracted(planted, tmp_path):
    frechet, kept = (
        {
            "test/frechet": Result(v, 0.1, 500, {"features": f"run vae (weights {d})"}),
            **knn_of(0.5, 0.1),
        }
        for v, d in ((3.0, "aa"), (4.0, "bb"))
    )
    rows = differences(planted, tmp_path, frechet, kept)
    assert rows["test/frechet"].difference == ""
    assert "features is run vae (weights aa) in one" in rows["test/frechet"].refusal


def study_of(folder, protocol, values=(-0.7,)):
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else None
    by_seed = {str(seed): value for seed, value in enumerate(values)}
    summary = {"n": len(values), "mean": float(np.mean(values)), "stderr": error, "values": by_seed}
    found = {
        **{"study": "s", "control": "a", "seeds": [0], "curves": []},
        "arms": {"a": {"runs": {"0": {"state": "done"}}, "verdicts": {}}},
        "metrics": {
            "train/loss": {
                **{"protocol": protocol, "arms": {"a": summary}},
                **{"differences": {}, "findings": []},
            }
        },
    }
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps(found))
    return folder


def test_logged_numbers_of_two_studies_are_not_subtracted(tmp_path):
    logged = [study_of(tmp_path / name, {"source": "the last line"}) for name in "ab"]
    with pytest.raises(TriptychError, match="do not say on which data"):
        compare(*logged)
    measured = [study_of(tmp_path / name, {"data": "x"}) for name in "cd"]
    assert compare(*measured).rows[0].difference == "0"


def test_the_arms_of_two_studies_are_paired_seed_by_seed(tmp_path):
    """Seeds differ by 1 and the studies by 0.1 ± 0.01: unpaired that would drown."""
    paths = [
        study_of(tmp_path / name, {"data": "x"}, values)
        for name, values in (("a", [-0.7, 0.3, 1.3]), ("b", [-0.6, 0.38, 1.42]))
    ]
    assert compare(*paths).rows[0].difference == "0.1000 ± 0.0115, paired over 3 seeds"
    same = study_of(tmp_path / "c", {"data": "x"}, [-0.7, 0.3, 1.3])
    assert compare(paths[0], same).rows[0].difference == "0 with each of 3 seeds"


def test_bounds_of_two_methods_are_not_subtracted_across_studies(tmp_path):
    paths = []
    for name in ("vae", "iwae"):
        paths.append(study_of(tmp_path / name, {"data": "x", "method": name}))
        text = (paths[-1] / "study.json").read_text()
        (paths[-1] / "study.json").write_text(text.replace("train/loss", "test/elbo"))
    with pytest.raises(TriptychError, match="method is vae in one and iwae in the other"):
        compare(*paths)
