"""Every number, picture and model knows which weights it came from, and what does not fit them now is not shown."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from triptych import checkpoint, data, experiment
from triptych.backbone import export
from triptych.cli.main import main
from triptych.config import merge
from triptych.data import DataConfig
from triptych.errors import TriptychError
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import extractor
from triptych.playable.export import write_playable
from triptych.reporting.draw import draw
from triptych.reporting.page.page import write_page
from triptych.reporting.page.sections import of_study
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.terminal import headline_words, result_lines
from triptych.runs import Result, Run
from triptych.training.loop import Display
from triptych.types import Selection
from triptych.weights import Weights, edits

TINY = {
    "vae": {"latent": 3, "hidden": [16], "likelihood": "logistic"},
    "wgan": {"latent": 4, "width": 4, "critic_steps": 1},
    "simsiam": {"depth": 10, "width": 4, "projector": [16], "predictor_width": 8, "stem": "half"},
}


def images(folder: Path, count: int = 80, side: int = 16) -> str:
    """Red pictures and blue ones: even an untrained network tells them apart."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 30, (count, side, side, 3), dtype=np.uint8), np.arange(count) % 2
    x[y == 0, :, :, 0] += 200
    x[y == 1, :, :, 2] += 200
    np.savez(folder / "two.npz", images=x, labels=y)
    return str(folder / "two.npz")


def train(
    folder: Path,
    method: str,
    steps: int = 6,
    display: Display | None = None,
    seed: int = 0,
) -> Run:
    tables = {
        "method": TINY[method],
        "seed": seed,
        "data": {"name": images(folder)},
        "train": {
            "duration": f"{steps} steps",
            "batch_size": 8,
            "validate_every": "2 steps",
            "checkpoint_every": "2 steps",
            "log_every": 2,
            "device": "cpu",
            "threads": 1,
        },
    }
    config = merge(experiment.default_config(method), tables)
    return experiment.train(config, folder / "run", display=display)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_of_equals_the_later_weights_win(better: str) -> None:
    selection = Selection("x", better)
    assert selection.improves(0.5, None)
    assert selection.improves(0.5, 0.5)
    assert selection.improves(0.6, 0.5) == (better == "higher")


def test_weights_before_training_are_no_candidate(tmp_path: Path) -> None:
    """The look at step 0 is what others are held against, and of equals the latest wins."""
    run = train(tmp_path, "simsiam")
    looks = [(m["step"], m["valid/knn_top1"]) for m in run.metrics() if "valid/knn_top1" in m]
    assert [step for step, _ in looks] == [0, 2, 4, 6]
    trained = looks[1:]
    top = max(score for _, score in trained)
    assert run.weights("best").step == max(step for step, score in trained if score == top)
    assert run.about("best")["chosen"]["untrained"] == looks[0][1]


@pytest.mark.parametrize("method", ["vae", "simsiam"])
def test_step_and_digest_stand_wherever_the_weights_are_spoken_of(
    tmp_path: Path, method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tmp_path, method)
    best = run.weights("best")
    tensors, about = checkpoint.load(run.checkpoint("best"))
    assert best == ("best", about["step"], checkpoint.weights_digest(tensors))
    found = experiment.evaluate(run.path, EvaluateConfig(samples=5))
    made = {name: r.protocol for name, r in found.items() if r.protocol["checkpoint"] == "best"}
    assert made
    assert {(p["step"], p["weights"]) for p in made.values()} == {(best.step, best.digest)}
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert best.digest[:8] in capsys.readouterr().out
    page = write_page([run.path], tmp_path / "page.html", "Page").read_text()
    assert f"step {best.step:,}" in page
    assert best.digest in page


def test_an_untrained_baseline_says_that_it_is_one(tmp_path: Path) -> None:
    run = train(tmp_path, "simsiam")
    experiment.evaluate(run.path)
    protocol = run.results()["test/knn_top1_untrained"]["protocol"]
    assert (protocol["checkpoint"], protocol["step"]) == ("untrained", 0)
    digests = {r["protocol"].get("weights") for r in run.results().values()}
    pixels = run.results()["test/knn_top1_pixels"]["protocol"]
    assert (pixels["checkpoint"], "weights" in pixels) == ("none", False)
    assert protocol["weights"] not in {run.weights("best").digest, run.weights("last").digest}
    assert digests == {
        None,
        protocol["weights"],
        run.weights("best").digest,
        run.weights("last").digest,
    }


def test_an_export_knows_its_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = train(tmp_path, "simsiam")
    rescored(run, 0.5, untrained=0.6)
    best = run.weights("best")
    done = export(run.path, "safetensors")
    assert done.weights == best
    with safe_open(done.path, "pt") as file:
        assert file.metadata()["weights"] == best.digest
        assert file.metadata()["step"] == str(best.step)
    assert main(["export", str(run.path)]) == 0
    said = capsys.readouterr().out
    assert best.digest in said
    assert "no better than the untrained network" in said


def stale_of(run: Run) -> dict[str, str]:
    return {name: why for name, why in run.left_out().items() if "stale" in why}


@pytest.fixture(scope="module")
def went_on(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Measured, drawn and made playable in the middle of its training, which went on to its end."""

    tmp_path = tmp_path_factory.mktemp("went-on")

    def stop(step: int, *_: object) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, "vae", 6, stop)
    run = Run(tmp_path / "run")
    assert run.weights("last").step == 2
    experiment.evaluate(run.path, EvaluateConfig(samples=5))
    draw(run)
    write_playable(run.path)
    assert run.results()
    assert not stale_of(run)
    kept = (run.path / "playable.json").read_bytes()
    experiment.resume(run.path)
    assert not list((run.path / "figures").iterdir())
    assert not (run.path / "playable.json").exists()
    # As `explore` beside the training leaves it.
    (run.path / "playable.json").write_bytes(kept)
    return run


def test_numbers_and_pictures_of_other_weights_are_stale_and_said(went_on: Run) -> None:
    assert list(went_on.results()) == ["test/knn_top1_pixels"]
    assert went_on.arrays("samples") is None
    stale = went_on.left_out()
    assert {"test/elbo", "test/log_likelihood", "pictures: samples"} <= stale.keys()
    assert all(
        why.startswith("stale: made with weights of step 2, and the run has those of step 6 now")
        for why in stale.values()
    )


def test_a_page_shows_nothing_that_is_stale(went_on: Run, tmp_path: Path) -> None:
    page = write_page([went_on.path], tmp_path / "page.html", "Page").read_text()
    assert "stale: made with weights of step 2" in page
    assert "The model to play with" in page
    assert '"decode"' not in page
    drawn = {path.stem for path in draw(went_on)}
    assert drawn == {path.stem for path in (went_on.path / "figures").iterdir()}
    assert "samples" not in drawn


def test_a_new_evaluation_takes_the_place_of_a_stale_one(went_on: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(went_on.path, tmp_path / "again"))
    experiment.evaluate(run.path, EvaluateConfig(samples=5))
    write_playable(run.path)
    assert not stale_of(run)
    assert run.results()["test/elbo"]["protocol"]["weights"] == run.weights("best").digest
    assert '"decode"' in write_page([run.path], tmp_path / "page.html", "Page").read_text()


def played(run: Path) -> dict:
    path = write_playable(run)
    assert path is not None
    found: dict = json.loads(path.read_text())
    return found


def test_what_to_play_with_takes_no_directions_of_other_weights(tmp_path: Path) -> None:
    """The evaluation is of the last weights, and the best are played with."""
    run = train(tmp_path, "wgan", 2)
    plain = played(run.path)
    tensors, about = checkpoint.load(run.checkpoint("last"))
    moved = {k: v + 0.1 if v.is_floating_point() else v for k, v in tensors.items()}
    checkpoint.save(run.checkpoint("last"), moved, about)

    def evaluated(weights: Weights) -> None:
        Run(run.path, weights).save_arrays("principal", directions=np.eye(4, dtype=np.float32))
        spectrum = {"eigenvalues": [4.0, 3.0, 2.0, 1.0]}
        run.record({"latent/principal_spectrum": Result(spectrum, None, 8, weights.protocol())})

    evaluated(run.weights("last"))
    assert played(run.path) == plain
    evaluated(run.weights("best"))
    pixels = 3 * 16 * 16
    assert played(run.path)["principal"] == pytest.approx(
        [(value / pixels) ** 0.5 for value in (4.0, 3.0, 2.0, 1.0)], rel=1e-3
    )


def test_features_of_two_encoders_have_two_names(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one, other = (train(tmp_path / name, "vae", 2, seed=s) for name, s in (("a", 0), ("b", 1)))
    images = data.load(DataConfig(name=str(tmp_path / "a" / "two.npz")))
    names = [extractor(run.path, images, torch.device("cpu")).name for run in (one, other)]
    assert one.weights("best").digest in names[0]
    assert other.weights("best").digest in names[1]
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("was", "now", "called"),
    [
        ("batch_size = 8", "batch_size = 16", "batch size"),
        ("log_every = 2", "log_every = 1", "log every"),
        ('duration = "6 steps"', 'duration = "4 steps"', "length of the training"),
        ('duration = "6 steps"', 'duration = "60 steps"', "length of the training"),
        ('likelihood = "logistic"', 'likelihood = "gaussian"', "likelihood"),
        ("seed = 0", "seed = 1", "seed"),
    ],
)
def test_a_config_edited_after_training_began_is_not_believed(
    tmp_path: Path, was: str, now: str, called: str
) -> None:
    run = train(tmp_path, "vae")
    (run.path / "DONE").unlink()
    path = run.path / "config.toml"
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, now))
    field = was.split(" = ")[0]
    for use in (experiment.resume, experiment.evaluate, experiment.load_method, write_playable):
        with pytest.raises(TriptychError, match=rf"trained with another config: \S*{field} is"):
            use(run.path)
    page = write_page([run.path], tmp_path / "page.html", "Page").read_text()
    assert f"This is not as it was trained: {called} is" in page


def test_where_the_data_lie_may_be_edited(tmp_path: Path) -> None:
    run = train(tmp_path, "vae")
    shutil.move(tmp_path / "two.npz", tmp_path / "moved.npz")
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace("two.npz", "moved.npz"))
    assert run.edited() == []
    found = experiment.evaluate(run.path, EvaluateConfig(samples=5))
    assert "trained_on" not in found["test/elbo"].protocol


def test_a_run_that_goes_on_elsewhere_says_that_the_bits_differ(tmp_path: Path) -> None:
    run = train(tmp_path, "vae")
    (run.path / "DONE").unlink()
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "checkpoints").mkdir()
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace('device = "cpu"', 'device = "cuda"'))
    with pytest.raises(TriptychError, match="--device cpu"):
        experiment.resume(run.path)
    with pytest.warns(UserWarning, match="began on cuda: it does not end in the same bits"):
        again = experiment.resume(run.path, device="cpu")
    assert again.status() == "done"


def test_a_run_killed_before_its_environment_was_written_gets_one(tmp_path: Path) -> None:
    run = train(tmp_path, "vae")
    whole = json.loads((run.path / "environment.json").read_text())
    (run.path / "DONE").unlink()
    (run.path / "environment.json").unlink()
    experiment.resume(run.path)
    assert json.loads((run.path / "environment.json").read_text()) == whole


def rescored(run: Run, value: float, untrained: float | None, better: str = "higher") -> None:
    """As if the best weights had been chosen by these values of the metric."""
    tensors, about = checkpoint.load(run.checkpoint("best"))
    chosen = {"metric": "valid/score", "better": better, "value": value, "untrained": untrained}
    checkpoint.save(run.checkpoint("best"), tensors, {**about, "chosen": chosen})


@pytest.mark.parametrize(
    ("value", "untrained", "better", "bad"),
    [
        (0.5, 0.6, "higher", True),
        (0.5, 0.5, "higher", True),
        (0.6, 0.5, "higher", False),
        (2.0, 1.0, "lower", True),
        (1.0, 2.0, "lower", False),
        (0.5, None, "higher", False),
    ],
)
def test_a_best_that_is_a_bad_choice_says_so(
    tmp_path: Path, value: float, untrained: float | None, better: str, bad: bool
) -> None:
    run = Run.create(tmp_path / "a", {})
    checkpoint.save(run.checkpoint("best"), {"weights.a": torch.zeros(1)}, {"step": 1500})
    assert run.doubt() == ""
    rescored(run, value, untrained, better)
    said = (
        "The best weights, of step 1,500, are no better than the untrained network by validation score: "
        f"{value:,.4f} against {untrained:,.4f}"
        if bad and untrained is not None
        else ""
    )
    assert run.doubt() == said


def test_a_bad_choice_is_told_of_an_alarm_too(tmp_path: Path) -> None:
    run = train(tmp_path, "vae")
    assert run.doubt() == ""
    run.log({"step": 2, "alarm": "the samples collapsed", "since": 2})
    assert run.doubt() == (
        "The best weights, of step 6, are from after the alarm of step 2: evaluate them with that "
        "in mind, or train again"
    )


def test_numbers_of_other_images_do_not_stand_beside_new_ones(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "a", {})
    run.record({name: Result(1.0, None, 1, {"fingerprint": "one"}) for name in ("x", "x_last")})
    run.record({"y": Result(1.0, None, 1, {})})
    run.record({"x": Result(2.0, None, 1, {"fingerprint": "two"})})
    assert {name: r["value"] for name, r in run.results().items()} == {"x": 2.0, "y": 1.0}


def test_the_table_of_runs_tells_the_number_of_the_weights_it_names(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "a", {})
    for step, value in ((2, 0.3), (4, 0.2)):
        run.log({"step": step, "epoch": 1.0, "test/knn_top1": value})
    for which, step in (("best", 2), ("last", 4)):
        checkpoint.save(run.checkpoint(which), {"weights.a": torch.ones(step)}, {"step": step})
    assert headline_words(run) == "test/knn_top1 0.3000 (in training, step 2)"
    for which, said in (("best", ""), ("last", " (of step 4)")):
        protocol = run.weights(which).protocol()
        run.record({"test/knn_top1": Result(0.25, 0.01, 9, protocol)})
        assert headline_words(run) == f"test/knn_top1 0.250 ± 0.010{said}"


def test_lines_of_several_weights_say_whose_they_are() -> None:
    one, other = (Weights(name, step, "0a").protocol() for name, step in (("best", 2), ("last", 4)))
    found = {
        "x": Result(0.5, 0.1, 9, one),
        "verdict": Result("healthy", None, 9, other, "Healthy: so."),
    }
    lines = result_lines({name: asdict(result) for name, result in found.items()})
    assert "best weights, step 2" in lines[1]
    assert lines[2].endswith("at step 4: Healthy: so.")


def test_a_best_that_was_chosen_after_what_goes_on_is_chosen_again(tmp_path: Path) -> None:
    """Killed between the two: on another device its score may never come again."""
    run = train(tmp_path, "vae")
    whole = checkpoint.load(run.checkpoint("best"))[0]
    early = train_to(tmp_path / "early", 2)
    shutil.copy(early.checkpoint("last"), run.checkpoint("last"))
    tensors, about = checkpoint.load(run.checkpoint("last"))
    checkpoint.save(run.checkpoint("last"), tensors, {**about, "config": run.config, "best": 1e9})
    (run.path / "DONE").unlink()
    experiment.resume(run.path)
    again = checkpoint.load(run.checkpoint("best"))[0]
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def train_to(folder: Path, step: int) -> Run:
    """The same run, stopped after some steps."""
    folder.mkdir()

    def stop(at: int, *_: object) -> None:
        if at > step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder, "vae", 6, stop)
    return Run(folder / "run")


def test_a_study_says_which_runs_went_on_since_it_was_compared(tmp_path: Path) -> None:
    digests = {}
    for seed in (0, 1):
        run = Run.create(tmp_path / "default" / f"seed-{seed}", {})
        checkpoint.save(run.checkpoint("last"), {"weights.a": torch.ones(1) + seed}, {"step": 3})
        digests[seed] = run.weights("last").digest
    ended = {str(seed): {"state": "done", "weights": digests[seed]} for seed in digests}
    found = {"study": "s", "control": "default", "seeds": [0, 1], "curves": [], "metrics": {}}
    found["arms"] = {"default": {"verdicts": {}, "runs": ended}}
    (tmp_path / "study.json").write_text(json.dumps(found))
    assert of_study(StudyFolder(tmp_path), "a").cautions == []
    checkpoint.save(run.checkpoint("last"), {"weights.a": torch.ones(1) + 7}, {"step": 6})
    (said,) = of_study(StudyFolder(tmp_path), "a").cautions
    assert said.startswith("Stale: default, seed 1 has other weights now")
    page = write_page([tmp_path], tmp_path / "page.html", "Page").read_text()
    assert "Stale: default, seed 1" in page


def test_results_without_weights_of_their_own_are_not_stale(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "a", {})
    run.record({"x": Result(1.0, None, 1, {"split": "test"})})
    weights = Weights("untrained", 0, "0123456789ab")
    run.record({"y": Result(1.0, None, 1, weights.protocol())})
    checkpoint.save(run.checkpoint("last"), {"weights.a": torch.zeros(1)}, {"step": 3})
    assert list(run.results()) == ["x", "y"]
    run.record({"z": Result(1.0, None, 1, weights._replace(checkpoint="last").protocol())})
    assert list(run.results()) == ["x", "y"]
    assert list(run.left_out()) == ["z"]


def test_what_a_stranger_s_config_says_is_shown_and_not_obeyed():
    assert edits({"a": "\x1b[31m"}, {"a": "b\nc"}) == [r"a is b\nc in config.toml and was \x1b[31m"]
