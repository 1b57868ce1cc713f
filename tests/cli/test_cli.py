"""The command line end to end, on the embedded digits, as a person would type it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.cli.main import main
from triptych.reporting.words import signed
from triptych.runs import Run

TINY = ["--batch-size", "50", "--binarize", "dynamic", "--method.hidden", "32", "--log-every", "5"]


def triptych(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triptych", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRIPTYCH_DATA", raising=False)
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one sentence that a mistake gets."""
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("triptych: ")
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    return said.err


def test_help_is_quick_and_names_every_verb(here: Path):
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        done = triptych("--help", cwd=here)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.3
    assert done.returncode == 0
    for verb in ("demo", "train", "evaluate", "study", "export", "runs", "data"):
        assert f"  {verb} " in done.stdout


def test_every_option_of_train_is_explained(here: Path):
    common = triptych("train", "--help", cwd=here).stdout
    own = triptych("train", "vae", "--help", cwd=here).stdout
    for option in ("--data ", "--data-dir", "--image-size", "--epochs", "--seed", "--device"):
        assert option in common
        assert option in own
    for option in ("--method.net", "--method.likelihood", "--method.optimizer.lr", "fast"):
        assert option in own


def test_train_evaluate_runs(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "vae", "--steps", "20", "--out", "run", *TINY]) == 0
    assert "next: triptych evaluate run" in capsys.readouterr().out
    assert main(["evaluate", "run", "--samples", "10", "--threads", "1", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    weights = str(Run.open(Path("run")).chosen())
    assert said.splitlines()[0] == f"measured  {weights}, on cpu, 1 thread"
    assert "best weights, step " in weights
    results = json.loads(Path("run/results.json").read_text())
    value = results["test/log_likelihood"]["value"]
    assert f"{signed(value, 3)} ± " in said
    assert results["test/log_likelihood"]["protocol"]["binarization"] == "dynamic"
    assert results["test/log_likelihood"]["n"] == 1000
    assert results["test/elbo"]["value"] < value
    for figure in ("elbo-curve", "reconstructions", "samples", "traversal", "interpolation"):
        assert f"run/figures/{figure}.png" in said
        assert Path(f"run/figures/{figure}.pdf").read_bytes().startswith(b"%PDF")
    assert main(["runs", "--root", "."]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert "done" in row
    assert signed(value, 3) in row


def test_overrides_win_over_the_preset_and_are_recorded(here: Path):
    words = ["--preset", "demo", "--steps", "3", "--method.latent", "7", "--seed", "5"]
    assert main(["train", "vae", "--out", "run", *words]) == 0
    text = Path("run/config.toml").read_text()
    for line in ("seed = 5", "latent = 7", 'duration = "3 steps"', 'binarize = "dynamic"'):
        assert line in text


def test_own_colour_images_in_class_folders(here: Path, capsys: pytest.CaptureFixture[str]):
    draw = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (here / "pets" / name).mkdir(parents=True)
        for i in range(30):
            pixels = draw.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(here / "pets" / name / f"{i}.png")
    words = ["--image-size", "16", "--steps", "3", "--batch-size", "8", "--method.width", "8"]
    assert main(["train", "vae", "--data", "pets", "--out", "run", *words]) == 0
    config = Path("run/config.toml").read_text()
    assert 'net = "conv"' in config
    assert 'likelihood = "logistic"' in config
    assert main(["evaluate", "run", "--samples", "5"]) == 0
    found = json.loads(Path("run/results.json").read_text())
    assert found["test/log_likelihood"]["protocol"]["likelihood"] == "logistic over 256 levels"
    bits = -found["test/log_likelihood"]["value"] / (16 * 16 * 3 * np.log(2))
    assert found["test/bits_per_dimension"]["value"] == pytest.approx(bits)
    assert "test/knn_top1" in found


def test_ctrl_c_saves_and_resume_finishes(here: Path):
    words = [
        "train",
        "vae",
        "--epochs",
        "12",
        "--compile",
        "off",
        "--threads",
        "1",
        "--out",
        "run",
        *TINY,
    ]
    going = subprocess.Popen(
        [sys.executable, "-m", "triptych", *words],
        cwd=here,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    logged = here / "run/metrics.jsonl"
    while not (logged.exists() and logged.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    going.send_signal(signal.SIGINT)
    _, err = going.communicate(timeout=60)
    assert going.returncode == 130
    assert "triptych train --resume run" in err
    reached = Run(here / "run").weights("last").step
    assert main(["train", "--resume", "run"]) == 0
    assert (here / "run/DONE").exists()
    assert 0 < reached < Run(here / "run").weights("last").step


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "no verb 'trian'; did you mean 'train'?"),
        (["train", "vea"], "no method 'vea'; did you mean 'vae' or 'hvae'?"),
        (["train", "vae", "--data", "mnits"], "did you mean 'mnist'"),
        (["train", "vae", "--preset", "fsat"], "did you mean 'fast'?"),
        (["train", "vae", "--epohcs", "3"], "no option '--epohcs'; did you mean '--epochs'"),
        (["train", "vae", "--method.lr", "3"], "no option '--method.lr'"),
        (["train", "vae", "--seed", "abc"], "--seed"),
        (["train", "vae", "--method.net", "cnn"], "'cnn'"),
        (["train", "vae", "--duration", "3"], "'20 epochs' or '50_000 steps'"),
        (["train", "vae", "--batch-size", "100000"], "3500"),
        (["train", "vae", "--method.likelihood", "bernoulli"], "--binarize dynamic"),
        (["train", "vae", "--data", "nowhere/at/all"], "no file or folder nowhere/at/all"),
        (["train", "vae", "--data", "mnist", "--data-dir", "empty"], "empty"),
        (["train", "--resume", "nope"], "not a run folder"),
        (["evaluate", "nope"], "not a run folder"),
        (["evaluate"], "triptych evaluate RUN"),
        (["data", "gte"], "did you mean 'get'?"),
        (["data", "info"], "takes one name"),
        (["data", "get", "mnits"], "did you mean 'mnist'"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
):
    assert said in refused(capsys, *words)
    assert list(here.iterdir()) == []


def test_a_folder_that_exists_is_not_touched(here: Path, capsys: pytest.CaptureFixture[str]):
    (here / "run").mkdir()
    (here / "run/mine.txt").write_text("mine")
    said = refused(capsys, "train", "vae", "--steps", "2", "--out", "run", *TINY)
    assert "exists already" in said
    assert [p.name for p in (here / "run").iterdir()] == ["mine.txt"]


def test_a_loss_that_is_not_finite_fails_the_run(here: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--steps", "50", "--out", "run", *TINY, "--method.optimizer.name", "sgd"]
    said = refused(capsys, "train", "vae", *words, "--method.optimizer.lr", "1e20")
    assert "not finite at step" in said
    assert (here / "run/FAILED").read_text().strip() in said
    assert main(["runs", "--root", "."]) == 0
    assert "failed" in capsys.readouterr().out


def test_debug_shows_the_traceback(here: Path):
    done = triptych("--debug", "evaluate", "nope", cwd=here)
    assert "Traceback" in done.stderr


def test_data_list_info_and_get(here: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "list"]) == 0
    said = capsys.readouterr().out
    for name in (
        "mnist-5k",
        "binarized-mnist",
        "mnist",
        "fashion-mnist",
        "cifar10",
        "cifar100",
        "svhn",
    ):
        assert name in said
    assert main(["data", "info", "mnist-5k"]) == 0
    said = capsys.readouterr().out
    for fact in ("3,500 train, 500 valid, 1,000 test", "1×28×28", "grey"):
        assert fact in said
    assert main(["data", "get", "mnist-5k"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method.optimizer.lr", "-1"], "learning rate"),
        (["--method.optimizer.lr", "nan"], "learning rate"),
        (["--method.optimizer.betas", "2", "3"], "[0, 1)"),
        (["--method.optimizer.momentum", "-1"], "momentum"),
        (["--method.latent", "0"], "--method.latent"),
        (["--method.hidden", "-3"], "--method.hidden"),
        (["--method.width", "0"], "--method.width"),
        (["--method.kl-warmup", "2"], "--method.kl-warmup"),
        (["--epochs", "2", "--steps", "1"], "one length"),
        (["--log-every", "0"], "--log-every"),
    ],
)
def test_a_number_that_means_nothing_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
):
    assert said in refused(capsys, "train", "vae", *words)
    assert list(here.iterdir()) == []


def black_and_white(here: Path, count: int = 60) -> str:
    draw = np.random.default_rng(1)
    np.save(here / "bw.npy", 255 * draw.integers(0, 2, (count, 8, 8), dtype=np.uint8))
    return "bw.npy"


def test_what_is_binary_cannot_be_binarized_again(here: Path, capsys: pytest.CaptureFixture[str]):
    name = black_and_white(here)
    said = refused(capsys, "train", "vae", "--data", name, "--binarize", "dynamic")
    assert "black and white already" in said


@pytest.mark.filterwarnings("always:.*holds other images")
def test_a_run_is_evaluated_and_found_from_another_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The path of own data was relative when the run began."""
    name = black_and_white(here)
    tiny = ["--batch-size", "8", "--method.hidden", "8", "--method.latent", "2"]
    assert main(["train", "vae", "--data", name, "--steps", "2", "--out", "run", *tiny]) == 0
    (here / "else").mkdir()
    monkeypatch.chdir(here / "else")
    assert main(["evaluate", str(here / "run"), "--samples", "3"]) == 0
    found = json.loads((here / "run/results.json").read_text())
    protocol = found["test/log_likelihood"]["protocol"]
    assert protocol["likelihood"] == "Bernoulli"
    assert protocol["binarization"] == "static"
    assert protocol["K"] == 3
    assert len(protocol["fingerprint"]) == 16
    np.save(here / "bw.npy", np.zeros((60, 8, 8), dtype=np.uint8))
    capsys.readouterr()
    assert main(["evaluate", str(here / "run"), "--samples", "3"]) == 0
    assert "those of the training are read from the cache" in capsys.readouterr().err
    again = json.loads((here / "run/results.json").read_text())
    assert again["test/log_likelihood"] == found["test/log_likelihood"]


def test_a_damaged_run_does_not_hide_the_others(here: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("a", "b"):
        (here / name).mkdir()
    (here / "a/config.toml").write_text("[[[")
    (here / "b/config.toml").write_text("seed = 0")
    assert main(["runs", "--root", "."]) == 0
    said = capsys.readouterr().out
    assert "damaged" in said
    assert "interrupted" in said


def test_the_table_of_runs_shows_method_and_alarm(tmp_path, capsys):
    run = Run.create(
        tmp_path / "runs" / "00000-a", {"method": {"name": "wgan"}, "data": {"name": "x"}}
    )
    run.log(
        {"step": 900, "epoch": 1.0, "seconds": 1.0, "since": 800, "alarm": "the samples collapsed"}
    )
    run.finish("DONE", "trained")
    assert main(["runs", "--root", str(tmp_path / "runs")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "wgan" in shown
    assert "alarm at step 800" in shown
