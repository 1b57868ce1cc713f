import json
import re
import struct
import zlib

import numpy as np
import pytest

from triptych.errors import TriptychError
from triptych.reporting.findings.run import findings
from triptych.reporting.page.compare import compare
from triptych.reporting.page.page import (
    HEAVIEST,
    SCRIPTS,
    Page,
    compose,
    write_figures,
    write_page,
    write_tables,
)
from triptych.reporting.page.sections import of_run
from triptych.reporting.parts.charts import OVERLAID, charts, ticks
from triptych.reporting.parts.tables import latex_table
from triptych.reporting.reference import report
from triptych.reporting.reference.protocol import measured_against
from triptych.reporting.safe import Attempts
from triptych.runs import Result, Run

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


def planted(path, config=None, results=None, epochs=20, elbo=(-168.0, -101.0)):
    run = Run.create(path, config or {"seed": 0, "method": {"name": "vae"}, "data": {"name": "x"}})
    first, last = elbo
    for epoch in range(1, epochs + 1):
        value = first + (last - first) * (epoch - 1) / max(1, epochs - 1)
        run.log({"step": epoch * 10, "epoch": float(epoch), "seconds": 1.0, "valid/elbo": value})
    run.record(results or {})
    run.finish("DONE", "trained")
    return run


def reference_config():
    from triptych import experiment

    return experiment.default_config("vae", "reference").tables()


def told(run, reference=False):
    """The findings as a page has them: with what the reference says where that was asked for."""
    found = findings(run)
    return report.findings(run, found, Attempts(strict=True)) if reference else [*found.values()]


def against(run):
    return told(run, reference=True)


def likelihood(value):
    return {"test/log_likelihood": Result(value, 0.25, 10_000, {"K": 200})}


@pytest.mark.parametrize(
    ("value", "standing"), [(-95.6, "within"), (-90.0, "better"), (-99.0, "worse")]
)
def test_a_likelihood_is_held_against_the_reference_both_ways(tmp_path, value, standing):
    run = planted(tmp_path / "r", reference_config(), likelihood(value))
    found = {f.title: f for f in against(run)}
    assert found["Log-likelihood"].standing == standing


def test_another_protocol_is_not_compared_and_the_field_is_named(tmp_path):
    config = reference_config()
    config["method"]["latent"] = 2
    found = against(planted(tmp_path / "r", config, likelihood(-95.6)))
    assert {f.standing for f in found} == {"not comparable"}
    assert all("method.latent" in f.why for f in found)


def test_a_shorter_training_is_not_compared(tmp_path):
    found = against(planted(tmp_path / "r", reference_config(), epochs=5))
    assert found[0].standing == "not comparable"
    assert "train.duration" in found[0].why


@pytest.mark.parametrize(("ends", "word"), [((-168.0, -101.0), "rose"), ((-101.0, -168.0), "fell")])
def test_the_sentence_on_the_curve_says_which_way_it_went(tmp_path, ends, word):
    sentence = told(planted(tmp_path / "r", elbo=ends))[0].sentence
    assert f"ELBO {word} from" in sentence
    assert ("was highest" in sentence) == (word == "fell")


def test_neighbours_below_a_floor_are_said_to_be_below(tmp_path):
    def share(value):
        return Result(value, 0.01, 100, {})

    results = {"test/knn_top1": share(0.2), "test/knn_top1_untrained": share(0.26)}
    sentence = told(planted(tmp_path / "r", results=results))[-1].sentence
    assert "6.0 points below the untrained encoder" in sentence


def test_a_number_at_the_edge_is_within_its_error():
    assert measured_against(-96.2, 0.25, (-95.75, -95.75)) == "within"
    assert measured_against(-96.3, 0.25, (-95.75, -95.75)) == "undecided"
    assert measured_against(-96.6, 0.25, (-95.75, -95.75)) == "worse"
    assert measured_against(-101.0, None, (-101.5, -100.49)) == "within"
    # Without an error the reference's own two values, a nat apart, say how far such numbers scatter.
    assert measured_against(-101.64, None, (-101.5, -100.49)) == "undecided"
    assert measured_against(-102.6, None, (-101.5, -100.49)) == "worse"
    assert measured_against(-95.7, None, (-95.75, -95.75)) == "undecided"


def test_a_number_never_turns_from_worse_to_within_by_a_hair():
    ways = [
        measured_against(v, 0.25, (-101.5, -100.49)) for v in np.linspace(-103, -99, 4001).tolist()
    ]
    assert list(dict.fromkeys(ways)) == ["worse", "undecided", "within", "better"]
    assert ways[ways.index("better") - 1] == "undecided"


def test_the_error_of_an_evaluation_holds_for_the_bound(tmp_path):
    """A reproduction of the reference's protocol ended at −101.64 ± 0.28: no worse than −101.5."""
    ended = {"valid/elbo": Result(-101.64, 0.28, 10_000, {})}
    found = against(planted(tmp_path / "r", reference_config(), ended, elbo=(-168.0, -101.64)))
    assert found[0].standing == "within"


OTHERS = {
    "the reference's own": ("seed", None, 0),
    "an iwae": ("method", "name", "iwae"),
    "photos": ("data", "name", "/home/me/photos"),
    "grey digits": ("data", "name", "mnist"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_nothing_of_the_reference_stands_on_a_page_that_nobody_asked_it_for(tmp_path, other):
    table, field, value = OTHERS[other]
    config = reference_config()
    if field:
        config[table][field] = value
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    for found in told(run):
        assert "Figure" not in found.title
        assert not (found.reference or found.standing or found.agreement or found.figures)
    page = write_page([run.path], tmp_path / "out.html").read_text()
    said = ("−100.49", "−95.75", "101.5", "The reference report,", "eference report")
    assert not [word for word in said if word in page]
    assert [line.name for line in charts(run)[0].series] == ["validation"]


def test_another_method_has_no_word_of_it_though_it_is_asked_for(tmp_path):
    """An IWAE's bound has the config's fields of the reference's VAE, and is another number."""
    config = reference_config()
    config["method"]["name"] = "iwae"
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    assert against(run) == told(run)
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    assert not [word for word in ("−100.49", "−95.75", "The reference report,") if word in page]


def test_a_reproduction_on_other_data_says_so_and_compares_nothing(tmp_path):
    config = reference_config()
    config["data"]["name"] = "mnist-5k"
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    assert {(f.standing, f.why) for f in against(run)} == {
        ("not comparable", "other data: mnist-5k")
    }
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    assert "The reference report, figure by figure" in page
    assert report.lines(run) == {}


@pytest.mark.parametrize(
    ("protocol", "field"),
    [
        ({"K": 200, "estimator": "the same, of 5 proposals"}, "estimator"),
        ({"K": 200, "likelihood": "gaussian"}, "likelihood"),
        ({"K": 5000}, "K"),
    ],
)
def test_a_likelihood_of_another_estimator_is_not_compared(tmp_path, protocol, field):
    result = {"test/log_likelihood": Result(-95.6, 0.25, 10_000, protocol)}
    found = {f.title: f for f in against(planted(tmp_path / "r", reference_config(), result))}
    assert found["Log-likelihood"].why == f"the protocol differs in {field}"


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        (None, "A likelihood: iwae"),
        ({"can": ["Decodes", "HasLikelihood"]}, "A likelihood: importance-weighted autoencoder"),
        ({"can": ["Samples", "HasCritic"]}, "A game: importance-weighted autoencoder"),
        ({"can": ["Encodes", "Projects"]}, "An agreement: importance-weighted autoencoder"),
        ({"can": ["Samples"]}, "importance-weighted autoencoder"),
        ({"can": [], "title": ""}, "iwae"),
    ],
)
def test_a_run_is_called_by_what_its_method_can_do(tmp_path, facts, title):
    config = {"seed": 0, "method": {"name": "iwae", "latent": 2}, "data": {"name": "photos"}}
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    if facts is not None:
        named = {"name": "iwae", "title": "importance-weighted autoencoder", "about": ""}
        told_of = {**named, "cosine": None, "source": None, **facts}
        run.write("environment.json", json.dumps({"method": told_of}))
    section = of_run(run, "p")
    assert section.title == title
    said = " ".join(f.title + f.sentence for f in section.findings)
    assert "variational" not in said and "reference" not in said
    assert section.hero.label == "test log-likelihood, nats an image"


def test_a_method_whose_terms_have_other_names_gets_curves_and_a_number(tmp_path):
    """A Wasserstein autoencoder: no family, and no term that anybody here declared."""
    config = {"seed": 0, "method": {"name": "wae"}, "data": {"name": "photos"}}
    run = Run.create(tmp_path / "r", config)
    for epoch in (1.0, 2.0, 3.0):
        line = {"step": int(epoch), "epoch": epoch}
        run.log(line | {"train/squared_error": 9.0 - epoch, "train/mmd": 0.5 / epoch})
        run.log(line | {"valid/squared_error": 9.5 - epoch, "alarm": "none"})
    section = of_run(run, "p")
    assert [(c.name, c.title, [s.name for s in c.series]) for c in section.charts] == [
        ("squared-error", "squared error", ["training", "validation"]),
        ("mmd", "mmd", ["mmd"]),
    ]
    assert section.charts[0].series[1].values == [8.5, 7.5, 6.5]
    assert [picture.name for picture in section.figures] == ["training-curves"]
    assert (section.title, section.hero.value) == ("wae", "6.50")
    assert section.hero.label == "validation squared error, in training at step 3"


def test_what_a_stranger_wrote_cannot_become_script(tmp_path):
    config = {"seed": 0, "method": {"name": EVIL}, "data": {"name": EVIL}}
    results = {EVIL: Result(1.5, None, 3, {EVIL: EVIL}, EVIL)}
    run = planted(tmp_path / "r", config, results)
    run.log({"step": 200, "epoch": 20.0, "alarm": EVIL})
    run.finish("FAILED", EVIL)
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "<img src=x" not in page
    assert "<script>document.title" not in page
    # Scripts are the page's own, each named by its hash in the policy, and data.
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    executable = re.findall(r"<script>", page)
    assert len(executable) == policy.count("sha256-") == len(SCRIPTS)
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_the_policy_allows_the_very_bytes_of_the_scripts(tmp_path):
    import base64
    import hashlib

    page = write_page([planted(tmp_path / "r").path], tmp_path / "out.html").read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert digest.replace("+", "&#43;") in page or digest in page


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    run = planted(tmp_path / "r")
    (tmp_path / "private").write_text("secret")
    (run.path / "samples" / "x.npz").symlink_to(tmp_path / "private")
    with pytest.raises(TriptychError, match="leads out of"):
        write_page([run.path], tmp_path / "out.html")


def test_a_failed_run_says_so_first(tmp_path):
    run = planted(tmp_path / "r")
    run.finish("FAILED", "the loss was not finite at step 7")
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "This run failed:" in page
    assert "not finite at step 7" in page


def test_an_unfinished_run_says_so(tmp_path):
    run = planted(tmp_path / "r")
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "Not finished (interrupted)." in page


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(TriptychError, match="neither a run"):
        write_page([tmp_path], tmp_path / "out.html")


def test_the_page_asks_for_nothing(tmp_path):
    page = write_page([planted(tmp_path / "r").path], tmp_path / "out.html").read_text()
    fetched = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(url.startswith(("data:", "#")) for url in fetched)
    assert "url(" not in page


def test_the_points_of_a_chart_lie_where_its_numbers_say(tmp_path):
    (chart,) = charts(planted(tmp_path / "r", elbo=(-160.0, -100.0)))
    _, end, low, high = chart.ranges
    x, y = map(float, chart.series[0].path.split("L")[-1].split())
    assert x == pytest.approx(chart.right, abs=0.1)
    share = (high - -100.0) / (high - low)
    assert y == pytest.approx(chart.top + (chart.bottom - chart.top) * share, abs=0.1)
    assert end == 20


def test_ticks_are_round_and_inside():
    assert ticks(-1.0, 1.0) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert all(0.31 <= t <= 0.43 for t in ticks(0.31, 0.43))


def test_tables_for_papers_hold_every_number(tmp_path):
    run = planted(tmp_path / "a_run", results=likelihood(-95.6))
    written = write_tables([run.path], tmp_path / "out.html")
    assert [p.name for p in written] == ["out-1-a_run.csv", "out-1-a_run.tex"]
    assert "test/log_likelihood,-95.6,0.25,10000,K 200," in written[0].read_text()
    assert r"test/log\_likelihood & $-$95.60 $\pm$ 0.25 & 10,000 \\" in written[1].read_text()


def test_a_run_can_be_repeated_from_its_config(tmp_path):
    from triptych import experiment

    run = planted(tmp_path / "r", reference_config())
    again = experiment.default_config("vae", str(run.path / "config.toml"))
    assert again == experiment.default_config("vae", "reference")
    with pytest.raises(TriptychError, match="triptych train vae --preset"):
        experiment.default_config("wgan", str(run.path / "config.toml"))


def test_two_runs_stand_side_by_side_with_their_difference(tmp_path):
    first = planted(tmp_path / "a", results=likelihood(-95.6))
    second = planted(tmp_path / "b", results=likelihood(-91.6))
    (row,) = compare(first.path, second.path).rows
    # √(0.25² + 0.25²) = 0.354
    assert row.difference == "4.00 ± 0.35 at most, not paired"
    page = write_page(
        [first.path, second.path], tmp_path / "o.html", "x", compare(first.path, second.path)
    )
    assert "4.00 ± 0.35" in page.read_text()


def test_other_protocols_are_refused_and_the_field_is_named(tmp_path):
    first = planted(tmp_path / "a", results=likelihood(-95.6))
    other = {"test/log_likelihood": Result(-91.6, 0.25, 10_000, {"K": 5000})}
    second = planted(tmp_path / "b", results=other)
    with pytest.raises(TriptychError, match="K is 200 in one and 5000 in the other"):
        compare(first.path, second.path)


def test_bounds_of_two_methods_are_not_subtracted_and_their_likelihoods_are(tmp_path):
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


def test_one_number_of_another_protocol_does_not_stop_the_others(tmp_path):
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


def differences(tmp_path, first, second):
    runs = [planted(tmp_path / name, results=of) for name, of in (("a", first), ("b", second))]
    return {row.name: row for row in compare(*(run.path for run in runs)).rows}


def test_one_measurement_made_twice_differs_by_nothing(tmp_path):
    """A baseline without weights, or the very same weights; equal by chance is another thing."""
    name, fields = "test/knn_top1_pixels", {"split": "test", "k": 20}
    raw = {name: Result(0.81, 0.09, 100, {**fields, "weights": "a", "checkpoint": "best"})}
    again = {name: Result(0.81, 0.09, 100, {**fields, "weights": "b", "checkpoint": "last"})}
    rows = differences(tmp_path, raw, again)
    assert rows["test/knn_top1_pixels"].difference == "0 (the same measurement)"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ({"weights": "aa"}, {"weights": "aa"}, "0 (the same measurement)"),
        ({}, {}, "0 ± 13 points at most, not paired"),
    ],
)
def test_equal_numbers_are_one_measurement_only_of_the_same_weights(tmp_path, first, second, said):
    rows = differences(tmp_path, knn_of(0.81, 0.09, **first), knn_of(0.81, 0.09, **second))
    assert rows["test/knn_top1"].difference == said


def test_distances_over_encoders_of_other_weights_are_not_subtracted(tmp_path):
    frechet, kept = (
        {
            "test/frechet": Result(v, 0.1, 500, {"features": f"run vae (weights {d})"}),
            **knn_of(0.5, 0.1),
        }
        for v, d in ((3.0, "aa"), (4.0, "bb"))
    )
    rows = differences(tmp_path, frechet, kept)
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


@pytest.mark.parametrize("epochs", [2, 40])
def test_a_likelihood_after_another_training_is_not_compared(tmp_path, epochs):
    run = planted(tmp_path / "r", reference_config(), likelihood(-99.0), epochs=epochs)
    found = {f.title: f for f in against(run)}["Log-likelihood"]
    assert (found.standing, found.why) == (
        "not comparable",
        "the protocol differs in train.duration",
    )


def test_what_is_not_finite_is_held_against_nothing(tmp_path):
    assert measured_against(float("nan"), 0.1, (0.0, 1.0)) == ""
    run = planted(tmp_path / "r", reference_config(), epochs=19)
    run.log({"step": 200, "epoch": 20.0, "valid/elbo": float("nan")})
    (found,) = against(run)
    assert "nan" not in found.sentence
    assert found.standing == "not comparable"


def neighbours(path, epochs=200.0, k=200, temperature=0.1, lr=0.12, done=True):
    from triptych import experiment

    config = experiment.default_config("simsiam", "reference").tables()
    config["method"]["optimizer"]["lr"] = lr
    run = Run.create(path, config)
    run.log({"step": 1, "epoch": epochs, "seconds": 1.0})
    protocol = {"k": k, "temperature": temperature}
    run.record({"test/knn_top1": Result(0.5, 0.005, 10_000, protocol)})
    if done:
        run.finish("DONE", "trained")
    return {f.title: f for f in against(run)}["kNN accuracy (Figure 8)"]


def test_neighbours_by_the_references_protocol_have_a_standing(tmp_path):
    assert neighbours(tmp_path / "r").standing == "worse"


@pytest.mark.parametrize(
    ("table", "name", "why"),
    [("data", "mnist-5k", "other data: mnist-5k"), ("method", "byol", "")],
)
def test_neighbours_on_other_data_or_by_another_method_are_not_held_against_it(
    tmp_path, table, name, why
):
    from triptych import experiment

    config = experiment.default_config("simsiam", "reference").tables()
    config[table]["name"] = name
    run = Run.create(tmp_path / "r", config)
    run.record({"test/knn_top1": Result(0.5, 0.005, 10_000, {"k": 200, "temperature": 0.1})})
    (found,) = told(run)
    assert (found.title, found.reference, found.standing) == ("kNN accuracy", "", "")
    (found,) = against(run)
    assert (found.standing, found.why) == ("not comparable" if why else "", why)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.30, "4.0 points above the untrained"),
        (0.27, "1.0 points above (within the errors) the untrained"),
        (0.22, "4.0 points below the untrained"),
    ],
)
def test_a_difference_within_the_errors_is_said_to_be(tmp_path, value, said):
    results = {
        "test/knn_top1": Result(value, 0.01, 2000, {}),
        "test/knn_top1_untrained": Result(0.26, 0.01, 2000, {}),
    }
    assert said in told(planted(tmp_path / "r", results=results))[-1].sentence


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"k": 5}, "k"),
        ({"temperature": 0.07}, "temperature"),
        ({"lr": 3.0}, "method.optimizer.lr"),
        ({"epochs": 7.0}, "train.duration"),
        ({"done": False}, "train.duration"),
    ],
)
def test_neighbours_by_another_protocol_have_none(tmp_path, changed, field):
    found = neighbours(tmp_path / "r", **changed)
    assert (found.standing, found.why) == ("not comparable", f"the protocol differs in {field}")


def repeated(path, protocol, name="test/x"):
    run = planted(path, results={name: Result(1.0, None, 1, protocol)})
    return of_run(run, "p").commands[1]


@pytest.mark.parametrize(
    ("protocol", "name", "options"),
    [
        ({"split": "test", "checkpoint": "best"}, "test/x", ""),
        ({"split": "test", "checkpoint": "last"}, "test/x", " --checkpoint last"),
        ({"split": "valid", "checkpoint": "best"}, "valid/x", " --split valid"),
    ],
)
def test_how_to_repeat_it_has_the_options_of_the_results(tmp_path, protocol, name, options):
    assert repeated(tmp_path / "r", protocol, name) == f"triptych evaluate r{options}"


@pytest.mark.parametrize(
    ("shown", "options"),
    [([7, 2, 5], ""), ([6, 25, 58], " --coordinates 6 25 58"), ([7, 2], " --coordinates 7 2")],
)
def test_how_to_repeat_it_has_the_coordinates_that_were_asked_for(tmp_path, shown, options):
    table = {"order": [7, 2, 5, 1]}
    run = planted(tmp_path / "r", results={"latent/coordinates": Result(table, None, 1, {})})
    run.save_arrays("coordinates", coordinates=np.array(shown))
    assert of_run(run, "p").commands[1] == f"triptych evaluate r{options}"


def test_signs_of_order_are_maths_to_latex():
    assert r"$<$ 0.001 & $>$ 1 \\" in latex_table(["a", "b"], [["< 0.001", "> 1"]])


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_a_finding_is_followed_by_its_own_picture(tmp_path):
    run = planted(tmp_path / "r", reference_config(), likelihood(-95.6))
    run.save_arrays("samples", images=images(64, 1, 6, 6))
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    card, curve, more = (
        page.index(mark)
        for mark in ("ELBO (Figure 1)</h4>", 'id="part-1-elbo-curve"', "More curves")
    )
    assert card < curve < page.index("Log-likelihood</h4>") < more
    assert more < page.index('id="part-1-samples"')
    assert page.count('id="part-1-elbo-curve"') == 1


def test_figures_without_a_run_are_said_to_be_missing(tmp_path):
    run = planted(tmp_path / "r", reference_config())
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    assert page.count("Not in this report.") == 5
    assert 'class="chip within" title="within is between the reference&#39;s two values or ' in page


def test_a_run_by_the_references_protocol_has_its_curve_beside_where_it_is_asked_for(tmp_path):
    run = planted(tmp_path / "a", reference_config())
    own, asked = (of_run(run, "p", reference=reference).charts[0] for reference in (False, True))
    assert [line.name for line in own.series] == ["validation"]
    assert (asked.series[-1].values[-1], asked.series[-1].number) == (-101.5, OVERLAID)
    assert asked.ranges[1] == own.ranges[1] == 20
    other = of_run(planted(tmp_path / "b"), "p", reference=True).charts[0]
    assert [line.name for line in other.series] == ["validation"]


def test_a_beginning_beyond_the_axes_is_said(tmp_path):
    run = planted(tmp_path / "a", epochs=40, elbo=(-110.0, -100.0))
    assert not charts(run)[0].cut
    run = planted(tmp_path / "b", epochs=40, elbo=(-110.0, -100.0))
    run.log({"step": 1, "epoch": 0.1, "valid/elbo": -900.0})
    (chart,) = charts(run)
    assert chart.cut
    assert chart.ranges[2] > -115


def test_figures_for_papers_are_the_same_bytes_each_time(tmp_path):
    run = planted(tmp_path / "run", reference_config())
    written = write_figures(compose([run.path]).sections, tmp_path / "out.html")
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "out-figures/1-run-elbo-curve.pdf",
        "out-figures/1-run-elbo-curve.svg",
    ]
    first = [p.read_bytes() for p in written]
    write_figures(compose([run.path]).sections, tmp_path / "out.html")
    assert first == [p.read_bytes() for p in written]


def test_figures_that_are_as_before_are_not_drawn_again(tmp_path, monkeypatch):
    from triptych.reporting.page import files

    saved, save = [], files.save
    monkeypatch.setattr(
        files, "save", lambda f, path, mark: saved.append(path) or save(f, path, mark)
    )
    run = planted(tmp_path / "run")

    def write():
        return write_figures(compose([run.path]).sections, tmp_path / "out.html")

    assert write() == saved
    assert all(b"triptych-" in path.read_bytes() for path in saved)
    saved.clear()
    assert [path.suffix for path in write()] == [".pdf", ".svg"] and saved == []
    run.log({"step": 201, "epoch": 21.0, "valid/elbo": -90.0})
    assert write() == saved


def test_names_of_runs_do_not_lead_out_of_the_folder_of_the_page(tmp_path):
    run = planted(tmp_path / "..; $(x) &", results=likelihood(-95.6))
    (tmp_path / "here").mkdir()
    out = tmp_path / "here" / "out.html"
    written = write_tables([run.path], out) + write_figures(compose([run.path]).sections, out)
    assert all(path.resolve().is_relative_to(tmp_path / "here") for path in written)
    assert written[0].name == "out-1-x.csv"


def test_texts_of_a_table_are_no_formulas_and_numbers_stay_numbers(tmp_path):
    evil = "=HYPERLINK(1)"
    run = planted(tmp_path / "r", results={evil: Result(-1.5, 0.5, 3, {"-2": "+3"}, "@x")})
    line = write_tables([run.path], tmp_path / "out.html")[0].read_text().splitlines()[1]
    assert line == "'=HYPERLINK(1),-1.5,0.5,3,'-2 +3,'@x"


def test_the_page_states_its_size(tmp_path):
    page = compose([planted(tmp_path / "r").path])
    assert f"It has {page.size / 1e6:.1f} MB" in page.html
    assert page.warning == ""


def test_a_page_that_is_too_heavy_says_what_takes_the_room():
    page = Page("x" * (HEAVIEST + 1), {"sliders": 2_000_000, "models that play": 5_000_000}, [])
    assert "(models that play 5.0 MB, sliders 2.0 MB)" in page.warning


def bomb(width, height):
    """A PNG of a few bytes that claims to be enormous."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5_000, 10_000, 100_000])
def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path, side):
    run = planted(tmp_path / "r")
    (run.path / "samples" / "moments").mkdir()
    (run.path / "samples" / "moments" / "00000001.png").write_bytes(bomb(side, side))
    with pytest.raises(TriptychError, match=r"00000001.png' has .* pixels, far more"):
        compose([run.path])


def test_arrays_that_would_fill_the_memory_are_refused(tmp_path):
    run = planted(tmp_path / "r")
    np.savez_compressed(
        run.path / "samples" / "samples.npz", images=np.zeros(300_000_000, np.uint8)
    )
    with pytest.raises(TriptychError, match="300,000,128 bytes unpacked, far more"):
        compose([run.path])


BROKEN = {
    "samples/samples.npz": b"no zip",
    "samples/moments/x.png": b"no png",
    "results.json": b'{"test/elbo": 3, "verdict": {"value": []}, "latent/coordinates": {"value": 1}}',
    "metrics.jsonl": b'{"step": 1}\n[]\n{"step": "a", "epoch": null, "valid/elbo": "b"}\n',
    "environment.json": b"[]",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_left_out_and_named(tmp_path, name):
    run = planted(tmp_path / "r", reference_config(), likelihood(-95.6))
    (run.path / "samples" / "moments").mkdir()
    (run.path / name).write_bytes(BROKEN[name])
    assert "Left out, since it could not be read" in compose([run.path]).html


@pytest.mark.parametrize("shape", [(), (0,), (3,), (64, 1, 6), (64, 7, 6, 6), (0, 1, 6, 6)])
@pytest.mark.parametrize("name", ["samples", "coordinates", "sample_interpolation", "traversal"])
def test_arrays_of_another_shape_do_not_stop_the_page(tmp_path, name, shape):
    run = planted(tmp_path / "r")
    keys = ("images", "coordinates", "shifts", "linear", "pixel", "alpha", "values", "kl")
    run.save_arrays(name, **{key: images(*shape) for key in keys})
    assert "Left out" in compose([run.path]).html


@pytest.mark.parametrize("config", ["method = 3", '[method]\nname = "vae"\n[data]\nname = 1'])
def test_a_config_of_another_shape_gives_one_sentence_or_what_is_sound(tmp_path, config):
    run = planted(tmp_path / "r", results=likelihood(-95.6))
    (run.path / "config.toml").write_text(config)
    if config.startswith("method"):
        with pytest.raises(TriptychError, match="is damaged, so that nothing can be said of it"):
            compose([run.path])
    else:
        assert "−95.60 ± 0.25" in compose([run.path]).html
