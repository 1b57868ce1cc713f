"""A backbone written, and read by programs that know nothing of Triptych."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from triptych import checkpoint, experiment
from triptych.backbone import Check, export
from triptych.cli.main import main
from triptych.config import Duration, merge
from triptych.data import DataConfig, load
from triptych.errors import TriptychError
from triptych.methods.simsiam import SimSiam
from triptych.nets.resnet import ResNet
from triptych.runs import Run

TRAIN = {
    "duration": "2 steps",
    "batch_size": 32,
    "threads": 1,
    "device": "cpu",
    "compile": "off",
    "validate_every": "50 steps",
}
METHOD = {"depth": 10, "width": 8, "projector": [16, 8], "predictor_width": 8}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two steps on the embedded digits."""
    config = merge(experiment.default_config("simsiam"), {"method": METHOD, "train": TRAIN})
    return experiment.train(config, tmp_path_factory.mktemp("runs") / "run").path


@pytest.fixture
def images() -> torch.Tensor:
    pixels = load(DataConfig()).splits["test"].pixels[::50]
    return torch.from_numpy(np.array(pixels)).float() / 255


def test_safetensors_are_the_backbones_weights_and_how_to_use_them(run, images, tmp_path):
    """By their metadata alone a bare ResNet gives the method's features to the last bit."""
    done = export(run, "safetensors", tmp_path / "net.safetensors")
    assert done.path == tmp_path / "net.safetensors"
    with safe_open(done.path, "pt") as file:
        about = file.metadata()
    state = load_file(done.path)
    assert not [name for name in state if name.startswith(("fc", "backbone", "projector"))]
    net = ResNet(int(about["depth"]), about["stem"], int(about["width"]), channels=1).eval()
    net.load_state_dict(state)
    mean, std = (torch.tensor(json.loads(about[key])).view(-1, 1, 1) for key in ("mean", "std"))
    method = experiment.load_method(run, device="cpu")
    assert isinstance(method, SimSiam)
    with torch.no_grad():
        expected = method.encode(images)
        found = net(((images - mean) / std).contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert found.std() > 0.01
    digits = load(DataConfig())
    assert about["fingerprint"] == digits.fingerprint
    fields = ("method", "data", "images", "step", "checkpoint")
    expected = ["simsiam", digits.title, "1x28x28", str(step_of(run)), "best"]
    assert [about[key] for key in fields] == expected
    assert (done.check.difference, done.check.changed) == (0.0, 0.0)
    assert done.path.stat().st_mode & 0o044, "others may read it, as any file"


def step_of(run: Path, which: str = "best") -> int:
    return int(checkpoint.load(Run.open(run).checkpoint(which))[1]["step"])


def test_onnx_gives_the_same_features_for_any_number_of_images(run, images, tmp_path, capsys):
    """Images of [0, 1] go in, as the command line writes it. The last layers have one pixel at 28."""
    path = tmp_path / "net.onnx"
    assert main(["export", str(run), "--to", "onnx", "--out", str(path)]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"], "one file, weights inside"
    method = experiment.load_method(run, device="cpu")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.shape for i in session.get_inputs()] == [["N", 1, 28, 28]]
    assert [o.name for o in session.get_outputs()] == ["features"]
    with torch.no_grad():
        expected = method.encode(images).numpy()
    for count in (1, 2, 7, 20):
        (found,) = session.run(None, {"images": images[:count].numpy()})
        assert np.abs(found - expected[:count]).max() < 1e-5
    assert expected.std() > 0.01
    about = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert about["fingerprint"] == load(DataConfig()).fingerprint
    assert about["step"] == str(step_of(run))
    said = capsys.readouterr()
    wrote, weights, checked, neighbours = said.out.splitlines()
    assert wrote == f"wrote     {path} ({path.stat().st_size / 1e6:.1f} MB)"
    assert weights == f"weights   {Run(run).weights('best')}"
    assert checked.startswith("checked   500 images: features differ by ")
    assert 0 < float(checked.split()[-3]) < 1e-5
    assert neighbours.startswith("          kNN top-1 ")
    assert said.err == ""


def test_the_weights_that_are_asked_for(run, tmp_path):
    """The best of this run are those before training, or those after two steps: told apart by their step."""
    tensors, about = checkpoint.load(Run.open(run).checkpoint("last"))
    done = export(run, "safetensors", tmp_path / "last", checkpoint="last")
    state = load_file(done.path)
    assert state.keys() == {
        k.removeprefix("weights.backbone.") for k in tensors if k.startswith("weights.backbone.")
    }
    assert all(torch.equal(v, tensors[f"weights.backbone.{k}"]) for k, v in state.items())
    with safe_open(done.path, "pt") as file:
        assert file.metadata()["step"] == str(about["step"]) == "2"


def test_nearest_neighbours_of_the_check_are_those_of_an_evaluation(run, tmp_path):
    """500 queries and a bank of 2,000 here, all images there: the same but for its error."""
    done = export(run, "safetensors", tmp_path / "net", checkpoint="last")
    assert done.check.images == 500
    here, there = done.check.knn_top1
    whole = [e["test/knn_top1"] for e in Run.open(run).metrics() if "test/knn_top1" in e][-1]
    assert here == there
    assert here == pytest.approx(whole, abs=0.12)


@pytest.mark.parametrize(
    ("check", "good"),
    [
        (Check(500, 9e-5, None), True),
        (Check(500, 1.1e-4, None), False),
        (Check(500, float("nan"), None), False),
        (Check(500, 1e-6, (0.5, 0.5), 0.008, 0.0), True),
        (Check(500, 1e-6, (0.5, 0.4), 0.1, 0.002), False),
        (Check(500, 1e-6, (0.5, 0.5), 0.06, 0.04), True),
    ],
)
def test_what_passes_the_check(check: Check, good: bool):
    assert check.good is good


def test_a_file_that_is_not_the_network_is_not_written(run, tmp_path, monkeypatch):
    """Weights that are slightly others when the graph is made: the reading finds it."""
    exporter = torch.onnx.export

    def faulty(model, *args, **kwargs):
        bias = model.method.backbone.bn1.bias
        before = bias.detach().clone()
        with torch.no_grad():
            bias.add_(0.01)
            exporter(model, *args, **kwargs)
            bias.copy_(before)

    monkeypatch.setattr(torch.onnx, "export", faulty)
    (tmp_path / "net.onnx").write_bytes(b"an older file")
    with pytest.raises(TriptychError, match=r"was not written: .* on 500 images"):
        export(run, "onnx", tmp_path / "net.onnx")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"an older file"]


def test_images_without_labels(planted, tmp_path):
    pixels = planted(train=80, shape=(3, 8, 8), values="colour").splits["train"].pixels
    np.save(tmp_path / "own.npy", pixels)
    tables = {"method": METHOD, "train": TRAIN, "data": {"name": str(tmp_path / "own.npy")}}
    config = merge(experiment.default_config("simsiam"), tables)
    own = experiment.train(config, tmp_path / "run")
    done = export(own.path, "safetensors")
    assert done.path == tmp_path / "run" / "backbone.safetensors"
    assert done.check == Check(8, 0.0, None)


def test_a_method_without_a_backbone_is_refused(tmp_path):
    config = experiment.default_config("vae", "demo")
    train = replace(config.train, duration=Duration(1, "steps"), threads=1)
    experiment.train(replace(config, train=train), tmp_path / "run")
    with pytest.raises(TriptychError, match="a run of vae, which has no backbone to export"):
        export(tmp_path / "run", "onnx")


def test_missing_packages_are_named_by_their_extra(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(TriptychError, match=r"pip install 'triptych\[onnx\]'"):
        export(run, "onnx", tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export"], "name a run folder: triptych export RUN"),
        (["export", "nowhere"], "'nowhere' is not a run folder"),
        (["export", "{run}", "--to", "tflite"], "'tflite'"),
        (["export", "{run}", "--out", "nowhere/net"], "cannot write 'nowhere/net'"),
        (["export", "{run}", "--form", "onnx"], "no option '--form'"),
    ],
)
def test_a_mistake_is_one_sentence(run, capsys, words, said):
    words = [word.format(run=run) for word in words]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith("triptych: ") and err.count("\n") == 1
    assert said in err


def test_the_command_writes_what_the_file_ends_with(run, tmp_path):
    assert main(["export", str(run), "--out", str(tmp_path / "a.onnx")]) == 0
    assert onnx.load(tmp_path / "a.onnx").graph.output[0].name == "features"
