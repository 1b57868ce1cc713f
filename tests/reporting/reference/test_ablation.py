"""What the page says of a study, on planted results in both directions, and of a study that somebody else made."""

import json
import shutil

import pytest

from triptych.errors import TriptychError
from triptych.experiment import default_config
from triptych.reporting.page.page import compose, write_page, write_tables
from triptych.reporting.reference.ablation import study_against
from triptych.reporting.study.findings import study_findings
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.section import study_charts
from triptych.runs import Result, Run
from triptych.studies.compare import Number, compare_metric

ARMS = {
    "default": {"stop_gradient": True, "predictor": "mlp"},
    "no-stop-gradient": {"stop_gradient": False, "predictor": "mlp"},
    "no-predictor": {"stop_gradient": True, "predictor": "none"},
    "fixed-predictor": {"stop_gradient": True, "predictor": "fixed-random"},
}
KNN = {"default": 0.69, "no-stop-gradient": 0.10, "no-predictor": 0.11, "fixed-predictor": 0.16}
LOSS = {
    "default": -0.754,
    "no-stop-gradient": -0.99,
    "no-predictor": -0.99,
    "fixed-predictor": -0.31,
}
VERDICT = {
    "default": "healthy",
    "no-stop-gradient": "complete collapse",
    "no-predictor": "dimensional collapse",
    "fixed-predictor": "not learning",
}
UNTRAINED = 0.3
VOTES = {"k": 200, "temperature": 0.1}
SEEDS = (0, 1)


def plant(
    folder,
    knn=KNN,
    loss=LOSS,
    preset="reference",
    data="cifar10",
    states=None,
    verdict=VERDICT,
    changed=None,
    seeds=SEEDS,
    epochs=(100.0, 200.0),
    stderr=None,
):
    """A study of four arms whose seeds lie 0.002 apart."""
    arms = changed or ARMS
    for arm, switches in arms.items():
        for seed in seeds:
            tables = default_config("simsiam", preset).tables()
            tables["data"]["name"] = data
            run = Run.create(
                folder / arm / f"seed-{seed}",
                {**tables, "seed": seed, "method": {**tables["method"], **switches}},
            )
            run.log({"step": 0, "epoch": 0.0, "seconds": 0.0, "test/knn_top1": UNTRAINED})
            for epoch in epochs:
                line = {"step": int(epoch), "epoch": epoch, "seconds": epoch}
                run.log(line | {"test/knn_top1": knn[arm] + 0.002 * seed, "train/loss": loss[arm]})
            if stderr is not None:
                value = Result(knn[arm] + 0.002 * seed, stderr, 10_000, VOTES)
                run.record({"test/knn_top1": value})
            run.finish("DONE", "trained")
    values = {
        "test/knn_top1": {a: {s: Number(knn[a] + 0.002 * s, VOTES) for s in seeds} for a in arms},
        "train/loss": {a: {s: Number(loss[a] + 0.001 * s, {}) for s in seeds} for a in arms},
    }
    control = next(iter(arms))
    found = {
        "study": "ablation",
        "control": control,
        "seeds": list(seeds),
        "curves": ["train/loss", "test/knn_top1"],
        "arms": {
            arm: {
                "runs": {str(s): {"state": "done", "verdict": verdict[arm]} for s in seeds},
                "verdicts": {verdict[arm]: len(seeds)},
            }
            for arm in arms
        },
        "metrics": {name: compare_metric(name, of, control) for name, of in values.items()},
    }
    for (arm, seed), state in (states or {}).items():
        found["arms"][arm]["runs"][seed] = state
    (folder / "study.json").write_text(json.dumps(found))
    (folder / "study.toml").write_text('[study]\nmethod = "simsiam"\n')
    return StudyFolder(folder)


def by_title(folder):
    """With what the reference says, as in a reproduction."""
    return {f.title: f for f in study_against(folder, study_findings(folder))}


def plain(folder):
    return {f.title: f for f in study_findings(folder).values()}


def test_the_default_alone_learns_as_in_the_reference(tmp_path):
    found = by_title(plant(tmp_path))["Which arms learn (Figure 8b)"]
    assert found.sentence.startswith("Only default (69.1 ± 0.1 %) rises in kNN accuracy")
    assert found.sentence.endswith("fixed-predictor (16.1 ± 0.1 %) do not.")
    assert (found.agreement, found.standing) == ("agrees", "within")


@pytest.mark.parametrize(("value", "standing"), [(0.75, "better"), (0.5, "worse")])
def test_the_default_is_held_against_the_references_accuracy(tmp_path, value, standing):
    found = by_title(plant(tmp_path, knn=KNN | {"default": value}))
    assert found["Which arms learn (Figure 8b)"].standing == standing


def test_another_arm_that_learns_is_said_and_contradicts_the_reference(tmp_path):
    found = by_title(plant(tmp_path, knn=KNN | {"no-predictor": 0.8}))[
        "Which arms learn (Figure 8b)"
    ]
    assert found.sentence.startswith("default (69.1 ± 0.1 %) and no-predictor (80.1 ± 0.1 %) rise")
    assert found.agreement == "disagrees"
    assert "no-predictor stands above default" in found.because


def test_where_nothing_learns_that_is_said(tmp_path):
    found = by_title(plant(tmp_path, knn=dict.fromkeys(ARMS, 0.2)))["Which arms learn (Figure 8b)"]
    assert found.sentence.startswith("No arm surely rises")
    assert found.agreement == "disagrees"


def test_arms_that_only_errors_tell_apart_keep_the_references_order(tmp_path):
    knn = KNN | {"no-stop-gradient": 0.111}  # Above no-predictor's 0.110, within its seeds.
    found = by_title(plant(tmp_path, knn=knn))["Which arms learn (Figure 8b)"]
    assert "the order of the arms is the same" in found.because


COLLAPSE = "Which arms collapse (Figure 8a)"


def test_arms_that_collapse_are_named_both_ways(tmp_path):
    near = by_title(plant(tmp_path / "a"))[COLLAPSE]
    assert near.sentence == (
        "Training loss at the end in brackets: no-stop-gradient (−0.9895 ± 0.0005) and no-predictor "
        "(−0.9895 ± 0.0005) collapse in each of 2 seeds, by spread or rank of the projections; "
        "default (−0.7535 ± 0.0005) and fixed-predictor (−0.3095 ± 0.0005) do not."
    )
    assert (near.agreement, near.standing) == ("agrees", "within")
    healthy = dict.fromkeys(ARMS, "healthy")
    far = by_title(plant(tmp_path / "b", loss=dict.fromkeys(ARMS, -0.5), verdict=healthy))[COLLAPSE]
    assert far.sentence.endswith("do not collapse in any of 2 seeds.")
    assert (far.agreement, far.standing) == ("disagrees", "outside")


@pytest.mark.parametrize("loss", [-0.9493, -0.95, -0.9507, -0.99])
def test_a_healthy_run_is_not_called_collapsed_for_its_loss(tmp_path, loss):
    """The demo's default arm ends at −0.9507 at 69 % kNN: well-met targets, not one answer for all."""
    found = by_title(plant(tmp_path, loss=LOSS | {"default": loss}))[COLLAPSE]
    assert "and fixed-predictor (−0.3095 ± 0.0005) do not." in found.sentence
    assert found.agreement == "agrees"


@pytest.mark.parametrize(
    ("verdict", "agreement", "said"),
    [
        ("undecided", "undecided", "of no-predictor (−0.9895 ± 0.0005) it is undecided"),
        ("diverged", "undecided", "of no-predictor (−0.9895 ± 0.0005) it is undecided"),
        ("healthy", "disagrees", "no-predictor (−0.9895 ± 0.0005) and fixed-predictor"),
    ],
)
def test_an_arm_of_which_the_verdict_does_not_know_leaves_it_undecided(
    tmp_path, verdict, agreement, said
):
    found = by_title(plant(tmp_path, verdict=VERDICT | {"no-predictor": verdict}))[COLLAPSE]
    assert said in found.sentence
    assert found.agreement == agreement


def test_without_verdicts_only_the_losses_are_told(tmp_path):
    study = plant(tmp_path)
    for arm in study.found["arms"].values():
        for run in arm["runs"].values():
            del run["verdict"]
    found = by_title(study)[COLLAPSE]
    assert found.sentence.startswith("Training loss at the end: default (−0.7535 ± 0.0005), ")
    assert "−1" not in found.sentence and "collapse" not in found.sentence
    assert found.agreement == "undecided"


def test_two_learning_rates_are_no_ablation_of_the_references(tmp_path):
    rates = {
        "slow": {**ARMS["default"], "optimizer": {"lr": 0.01}},
        "fast": {**ARMS["default"], "optimizer": {"lr": 0.1}},
    }
    study = plant(
        tmp_path,
        changed=rates,
        knn={"slow": 0.6, "fast": 0.7},
        loss={"slow": -0.6, "fast": -0.7},
        verdict=dict.fromkeys(rates, "healthy"),
    )
    for found in by_title(study).values():
        assert "Figure" not in found.title
        assert not (found.reference or found.standing or found.agreement or found.figures)
        assert "−1" not in found.sentence


def test_the_arms_of_another_method_are_told_by_their_own_numbers(tmp_path):
    study = plant(tmp_path, loss=dict.fromkeys(ARMS, 3.2))
    for path in tmp_path.glob("*/seed-*/config.toml"):
        path.write_text(path.read_text().replace('name = "simsiam"', 'name = "byol"'))
    found = by_title(study)
    assert list(found) == ["kNN accuracy of the arms", "Loss of the arms"]
    assert not [f for f in found.values() if f.reference or f.agreement or "−1" in f.sentence]


def test_a_study_by_the_references_protocol_has_no_word_of_it_unless_asked(tmp_path):
    study = plant(tmp_path)
    assert list(plain(study)) == ["kNN accuracy of the arms", "Loss of the arms"]
    assert not [f for f in plain(study).values() if f.reference or f.agreement or f.figures]
    page = compose([tmp_path]).html
    assert not [word for word in ("68.6 %", "Figure 8", "eference report") if word in page]
    asked = compose([tmp_path], reference=True).html
    assert "68.6 %" in asked and "The reference report, figure by figure" in asked


def test_other_data_are_said_to_be_others(tmp_path):
    study = plant(tmp_path, preset="demo", data="mnist-5k")
    for finding in by_title(study).values():
        assert (finding.standing, finding.why) == ("not comparable", "other data: mnist-5k")
        assert finding.agreement == ""


def test_another_protocol_compares_the_order_and_no_numbers(tmp_path):
    for finding in by_title(plant(tmp_path, preset="small")).values():
        assert finding.standing == "not comparable"
        assert "method.width" in finding.why or "method.stem" in finding.why
        assert finding.agreement == "agrees"


def test_a_training_that_ended_before_it_taught_anything_agrees_with_nothing(tmp_path):
    """At 380 steps every arm looks alike, whatever the reference's did after 200 epochs."""
    alike = dict.fromkeys(ARMS, UNTRAINED)
    short = plant(tmp_path / "a", preset="small", knn=alike, epochs=(1.0, 2.0))
    for finding in by_title(short).values():
        assert finding.agreement == "undecided"
        assert finding.because.startswith("nothing follows: the default arm had not learned yet")
    whole = plant(tmp_path / "b", knn=alike)
    assert by_title(whole)["Which arms learn (Figure 8b)"].agreement == "disagrees"


@pytest.mark.parametrize(
    ("value", "agreement", "said"),
    [
        (UNTRAINED + 0.004, "agrees", "do not."),
        (UNTRAINED + 0.018, "undecided", "Of fixed-predictor (31.8 %) it is undecided."),
        (UNTRAINED + 0.03, "disagrees", "and fixed-predictor (33.0 %) rise"),
    ],
)
def test_a_rise_near_its_error_is_undecided(tmp_path, value, agreement, said):
    """One seed, whose error is that over its 10,000 images: 0.005."""
    knn = KNN | {"fixed-predictor": value}
    found = by_title(plant(tmp_path, knn=knn, seeds=(0,), stderr=0.005))
    found = found["Which arms learn (Figure 8b)"]
    assert said in found.sentence
    assert "with the one seed" in found.sentence
    assert found.agreement == agreement


def test_one_seed_of_unknown_error_has_no_order(tmp_path):
    found = by_title(plant(tmp_path, seeds=(0,)))["Which arms learn (Figure 8b)"]
    assert "the arms cannot be told apart by their errors" in found.because


def test_a_study_without_its_runs_says_that_the_floor_is_missing(tmp_path):
    plant(tmp_path)
    for arm in ARMS:
        shutil.rmtree(tmp_path / arm)
    page = write_page([tmp_path], tmp_path / "out.html").read_text()
    assert "what the untrained encoder scores is not in the folder" in page


def forget(folder, *runs):
    for run in runs:
        shutil.rmtree(folder.path / run)


def test_arms_whose_floor_is_unknown_are_not_said_to_fail(tmp_path):
    study = plant(tmp_path)
    forget(study, "no-predictor", "fixed-predictor")
    (tmp_path / "study.toml").write_text(
        '[study]\nmethod = "simsiam"\n'
        '[arms.no-predictor.method]\nstop_gradient = true\npredictor = "none"\n'
        '[arms.fixed-predictor.method]\nstop_gradient = true\npredictor = "fixed-random"\n'
    )
    found = by_title(study)["Which arms learn (Figure 8b)"]
    assert found.sentence.startswith("default (69.1 ± 0.1 %) rises")
    assert "in every seed of which that is known; no-stop-gradient (10.1 ± 0.1 %) does not." in (
        found.sentence
    )
    assert found.sentence.endswith(
        "Of no-predictor (11.1 ± 0.1 %) and fixed-predictor (16.1 ± 0.1 %) that is not in the folder."
    )
    assert found.agreement == "undecided"
    assert "no number in the folder" in found.because


def test_the_learning_arm_without_a_floor_leaves_no_agreement(tmp_path):
    study = plant(tmp_path)
    forget(study, "default")
    found = by_title(study)
    assert not [f for f in found.values() if "learn" in f.title and f.agreement == "agrees"]
    assert "Only" not in found["kNN accuracy of the arms"].sentence
    assert (
        "No arm of which that is known surely rises" in found["kNN accuracy of the arms"].sentence
    )


def test_one_seed_without_a_floor_is_not_in_every_seed(tmp_path):
    study = plant(tmp_path)
    assert "in every seed;" in by_title(study)["Which arms learn (Figure 8b)"].sentence
    forget(study, "default/seed-1")
    found = by_title(study)["Which arms learn (Figure 8b)"]
    assert "in every seed of which that is known;" in found.sentence
    assert found.agreement == "undecided"


def with_probe(folder, values):
    study = plant(folder)
    numbers = {a: {s: Number(v + d * s, {}) for s in SEEDS} for a, (v, d) in values.items()}
    study.found["metrics"]["test/linear_top1"] = compare_metric(
        "test/linear_top1", numbers, "default"
    )
    return by_title(study)["Linear probe"]


PROBES = dict.fromkeys(ARMS, (0.1, 0.002)) | {"default": (0.662, 0.002)}


@pytest.mark.parametrize(
    ("other", "said", "agreement"),
    [
        ((0.12, 0.002), "is right most often in default (66.3 ± 0.1 %), before", "agrees"),
        ((0.661, 0.004), "cannot be told apart by their errors; less often", "undecided"),
        ((0.662, 0.002), "cannot be told apart by their errors; less often", "undecided"),
        ((0.8, 0.002), "is right most often in no-predictor (80.1 ± 0.1 %), before", "disagrees"),
    ],
)
def test_probes_are_ranked_as_far_as_their_errors_tell(tmp_path, other, said, agreement):
    found = with_probe(tmp_path, PROBES | {"no-predictor": other})
    assert said in found.sentence
    assert found.agreement == agreement


@pytest.mark.parametrize(("field", "value"), [("k", 5), ("temperature", 0.07)])
def test_neighbours_that_vote_otherwise_have_no_standing(tmp_path, field, value):
    study = plant(tmp_path)
    study.found["metrics"]["test/knn_top1"]["protocol"][field] = value
    found = by_title(study)["Which arms learn (Figure 8b)"]
    assert (found.standing, found.why) == ("not comparable", f"the protocol differs in {field}")


def test_curves_are_means_with_the_seeds_beside_them_in_per_cent(tmp_path):
    knn = next(c for c in study_charts(plant(tmp_path)) if c.name == "test-knn-top1")
    line = knn.series[0]
    assert (line.name, len(line.threads)) == ("default", 2)
    assert line.values[-1] == pytest.approx(69.1)
    assert len({s.number for s in knn.series}) == 4


def test_runs_without_an_outcome_are_shown_plainly(tmp_path):
    lost = {"state": "failed", "reason": "the loss was not finite at step 7"}
    states = {("default", "1"): lost, ("no-predictor", "0"): {"state": "not done"}}
    plant(tmp_path, states=states)
    page = write_page([tmp_path], tmp_path / "out.html").read_text()
    assert "<b>default, seed 1:</b> failed: the loss was not finite at step 7" in page
    assert "<b>no-predictor, seed 0:</b> not done" in page
    assert "incomplete" in page


def test_tables_of_a_study_hold_arms_and_differences(tmp_path):
    plant(tmp_path / "s")
    table, latex = write_tables([tmp_path / "s"], tmp_path / "out.html")
    lines = table.read_text().splitlines()
    assert lines[0] == "metric,arm,seeds,mean,stderr,difference,low,high,p_holm"
    row = next(line for line in lines if line.startswith("test/knn_top1,no-predictor")).split(",")
    assert float(row[3]) == pytest.approx(0.111)
    assert float(row[5]) == pytest.approx(-0.58)
    assert latex.read_text().count(r"\begin{tabular}") == 2


def spoiled(folder, change):
    found = json.loads((folder / "study.json").read_text())
    change(found)
    (folder / "study.json").write_text(json.dumps(found))


@pytest.mark.parametrize("seed", ["../../x", "0/../../../x", "/etc", "", "1e3"])
def test_a_seed_that_leads_out_is_refused(tmp_path, seed):
    plant(tmp_path / "s")

    def change(found):
        found["arms"]["default"]["runs"][seed] = {"state": "done"}

    spoiled(tmp_path / "s", change)
    with pytest.raises(TriptychError, match="is no folder in it"):
        compose([tmp_path / "s"])


@pytest.mark.parametrize("arm", ["..", ".", "", "a/b", "../private", "/etc"])
def test_an_arm_that_leads_out_is_refused(tmp_path, arm):
    plant(tmp_path / "s")
    (tmp_path / "private").mkdir()

    def change(found):
        found["arms"][arm] = found["arms"]["default"]

    spoiled(tmp_path / "s", change)
    with pytest.raises(TriptychError, match="is no folder in it"):
        compose([tmp_path / "s"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("arms", []),
        ("arms", None),
        ("metrics", {"m": 3}),
        (
            "metrics",
            {"m": {"protocol": {}, "arms": {"default": {}}, "differences": {}, "findings": []}},
        ),
        ("metrics", {"m": {"protocol": {}, "arms": {}, "differences": {"x": {}}, "findings": []}}),
        ("seeds", "012"),
        ("curves", [3]),
        ("control", "nobody"),
        ("study", {"a": 1}),
    ],
)
def test_a_study_of_another_shape_is_refused_in_one_sentence(tmp_path, key, value):
    plant(tmp_path)
    spoiled(tmp_path, lambda found: found.update({key: value}))
    with pytest.raises(
        TriptychError, match=r"is no study of Triptych's: .*run triptych study again"
    ):
        compose([tmp_path])


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, '{"a": NaN}', "null"])
def test_what_is_no_json_is_refused_in_one_sentence(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(TriptychError, match="is no study of Triptych's"):
        compose([tmp_path])


def test_names_of_a_study_cannot_become_script_or_formulas(tmp_path):
    evil = "=<img src=x onerror=alert(1)>"
    plant(tmp_path / "s")

    def change(found):
        found["metrics"][evil] = found["metrics"].pop("train/loss")
        found["study"] = evil
        found["arms"]["default"]["verdicts"] = {evil: 1}
        found["arms"]["default"]["runs"]["0"]["evidence"] = evil

    spoiled(tmp_path / "s", change)
    page = write_page([tmp_path / "s"], tmp_path / "out.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    table = write_tables([tmp_path / "s"], tmp_path / "out.html")[0].read_text()
    assert "\n'=<img" in table
    assert "\n=<img" not in table
