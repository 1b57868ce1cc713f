"""A study file: what it says is what is run, what nobody knows is refused, and arms of a seed make a pair."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch

from triptych import data, experiment
from triptych.cli.main import main
from triptych.config import dump, read_toml
from triptych.errors import TriptychError
from triptych.studies.plan import Cell, Study, find, load, open_folder

FILE = """
[study]
method = "simsiam"
preset = "demo"
seeds = [3, 4]
metrics = ["test/knn_top1"]

[base]
method.width = 4
method.projector = [16, 16]
method.predictor_width = 8
train.batch_size = 8

[arms.default]
[arms.no-stop-gradient]
method.stop_gradient = false
[arms.no-predictor]
method.predictor = "none"
[arms.fixed-predictor]
method.predictor = "fixed-random"
"""


def write(folder: Path, text: str = FILE) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def refused(folder: Path, old: str, new: str) -> str:
    assert old in FILE
    with pytest.raises(TriptychError) as error:
        load(write(folder, FILE.replace(old, new)))
    return str(error.value)


def test_arms_are_the_base_and_their_own_changes(tmp_path: Path):
    study = load(write(tmp_path))
    assert study.config.name == "mine"
    assert study.config.control == "default"
    default = experiment.default_config("simsiam", "demo")
    for config in study.arms.values():
        assert config.method.width == 4
        assert config.train.batch_size == 8
        assert config.method.optimizer == default.method.optimizer
    switches = {a: (c.method.stop_gradient, c.method.predictor) for a, c in study.arms.items()}
    assert switches == {
        "default": (True, "mlp"),
        "no-stop-gradient": (False, "mlp"),
        "no-predictor": (True, "none"),
        "fixed-predictor": (True, "fixed-random"),
    }
    assert study.experiment(Cell("no-predictor", 4)).seed == 4


def test_the_arms_of_a_seed_are_done_together(tmp_path: Path):
    cells = list(load(write(tmp_path)).cells())
    assert [cell.seed for cell in cells] == [3] * 4 + [4] * 4
    assert cells[0].path(Path("s")) == Path("s/default/seed-3")


def test_the_command_line_changes_every_arm(tmp_path: Path):
    changes = ["train.duration=2 epochs", "method.width=8", "data.name=mnist-5k"]
    study = load(write(tmp_path), changes, seeds=[7])
    assert {str(c.train.duration) for c in study.arms.values()} == {"2 epochs"}
    assert {c.method.width for c in study.arms.values()} == {8}
    assert {cell.seed for cell in study.cells()} == {7}
    with pytest.raises(TriptychError, match="KEY=VALUE"):
        load(write(tmp_path), ["train.duration"])


def test_mistakes_name_the_arm_and_the_nearest_option(tmp_path: Path):
    said = refused(tmp_path, "method.stop_gradient", "method.stop_gradeint")
    assert said.startswith("arm 'no-stop-gradient': there is no option 'method.stop_gradeint'")
    assert "did you mean 'method.stop_gradient'" in said
    assert "arm 'no-predictor'" in refused(tmp_path, '"none"', '"nine"')
    assert "[base]: there is no option 'method.wdth'" in refused(tmp_path, "width = 4", "wdth = 4")
    assert "'seed'" in refused(tmp_path, "[arms.default]", "[arms.default]\nseed = 1")
    assert "'method_name'" in refused(
        tmp_path, "[arms.default]", '[arms.default]\nmethod_name = "vae"'
    )
    assert "names its method" in refused(tmp_path, 'method = "simsiam"', "")
    assert "each of them once" in refused(tmp_path, "[3, 4]", "[3, 3]")
    assert "metrics" in refused(tmp_path, '["test/knn_top1"]', "[]")
    assert "cannot be called 'a/b'" in refused(tmp_path, "[arms.default]", '[arms."a/b"]')
    assert "cannot be called 'logs'" in refused(tmp_path, "[arms.default]", "[arms.logs]")
    assert "did you mean 'default'" in refused(
        tmp_path, "seeds = [3, 4]", 'seeds = [3]\ncontrol = "defualt"'
    )
    assert "did you mean 'arms'" in refused(tmp_path, "[arms.default]", "[amrs.default]")


def test_packaged_studies_are_found_by_name_from_anywhere(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = find("simsiam-ablation")
    assert packaged == find("presets/simsiam-ablation.toml")
    assert list(load(packaged).arms) == list(load(write(tmp_path)).arms)
    own = write(tmp_path).rename("simsiam-ablation")
    assert find("simsiam-ablation") == Path(own.name), "a file that is there wins"
    with pytest.raises(TriptychError, match="did you mean 'simsiam-ablation'"):
        find("presets/simsiam-ablatoin.toml")


def resolved(folder: Path) -> Study:
    return load(folder / "study.toml")


def test_the_folder_holds_the_study_without_its_preset(tmp_path: Path):
    study = load(write(tmp_path))
    open_folder(tmp_path / "out", study)
    again = resolved(tmp_path / "out")
    assert again == study
    tables = read_toml(tmp_path / "out" / "study.toml")
    assert tables["arms"]["default"]["method"]["optimizer"]["lr"] == 0.25
    tables["study"].pop("preset")
    (tmp_path / "bare.toml").write_text(dump(tables))
    assert load(tmp_path / "bare.toml").arms == study.arms


def test_another_study_in_the_folder_is_refused_and_the_field_named(tmp_path: Path):
    out = tmp_path / "out"
    open_folder(out, load(write(tmp_path)))
    before = (out / "study.toml").read_bytes()
    changed = {
        "width = 4": ("width = 5", r"arms\.default\.method\.width is 4 and now is 5"),
        "batch_size = 8": ("batch_size = 4", r"arms\.default\.train\.batch_size is 8"),
        '"none"': ('"mlp"', r"arms\.no-predictor\.method\.predictor is 'none' and now is 'mlp'"),
        "seeds =": (
            'checkpoint = "last"\nseeds =',
            r"study\.checkpoint is 'best' and now is 'last'",
        ),
        "[arms.default]": ("[arms.usual]", r"arms\.default is there and now is not there"),
    }
    for old, (new, said) in changed.items():
        with pytest.raises(TriptychError, match=said):
            open_folder(out, load(write(tmp_path, FILE.replace(old, new))))
    assert (out / "study.toml").read_bytes() == before


def test_a_study_may_grow_by_seeds_and_arms(tmp_path: Path):
    out = tmp_path / "out"
    open_folder(out, load(write(tmp_path)))
    more = FILE.replace("[3, 4]", "[3, 4, 5]") + "[arms.wide]\nmethod.width = 8\n"
    open_folder(out, load(write(tmp_path, more)))
    assert list(resolved(out).arms)[-1] == "wide"
    assert resolved(out).config.seeds == (3, 4, 5)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    write(tmp_path)
    with pytest.raises(TriptychError, match="holds no study"):
        open_folder(tmp_path, load(tmp_path / "mine.toml"))


def test_the_arms_of_a_seed_see_the_same_batches_and_start_from_the_same_weights(tmp_path: Path):
    study = load(write(tmp_path), ["train.device=cpu"])
    dataset = data.load(study.arms["default"].data)
    hashes: dict[Cell, str] = {}
    weights: dict[Cell, dict[str, torch.Tensor]] = {}
    cells = [Cell(arm, 3) for arm in study.arms]
    for cell in (*cells, Cell("default", 4)):
        _, method, stream = experiment.prepare(study.experiment(cell), dataset)
        digest = hashlib.sha256()
        # Over the end of an epoch, where the next order and the next draws begin.
        for number in (0, stream.batches_per_epoch - 1, stream.batches_per_epoch):
            batch = stream.batch(number)
            for tensor in (*batch.views, batch.index):
                digest.update(tensor.numpy().tobytes())
        hashes[cell], weights[cell] = digest.hexdigest(), method.state_dict()
    first = cells[0]
    for cell in cells:
        assert hashes[cell] == hashes[first]
        shared = [k for k in weights[cell] if not k.startswith("predictor")]
        assert len(shared) > 50
        assert all(torch.equal(weights[cell][k], weights[first][k]) for k in shared)
    assert hashes[Cell("default", 4)] != hashes[first], "another seed is another stream"
    mine, other = (weights[cell]["predictor.0.weight"] for cell in cells[:2])
    assert torch.equal(mine, other), "an arm that keeps the predictor keeps its start"
    other = weights[Cell("default", 4)]["backbone.conv1.weight"]
    assert not torch.equal(weights[first]["backbone.conv1.weight"], other)


@pytest.mark.parametrize("words", [["--status"], []])
@pytest.mark.parametrize("what", ["a link to nothing", "a pipe", "a folder"])
def test_a_study_file_that_is_none_is_named(tmp_path: Path, monkeypatch, capsys, what, words):
    """And no study of the folder's name is looked for in its place."""
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    file = Path("mine/study.toml")
    make = {"a link to nothing": lambda: file.symlink_to("gone"), "a pipe": lambda: os.mkfifo(file)}
    make.get(what, file.mkdir)()
    assert main(["study", "mine", *words]) == 2
    assert "'mine/study.toml'" in capsys.readouterr().err


def test_a_link_of_a_study_files_name_is_no_study_that_comes_with_triptych(
    tmp_path: Path, monkeypatch, capsys
):
    """One that leads nowhere, and a pipe; a folder of that name is none of the file's."""
    monkeypatch.chdir(tmp_path)
    name = "simsiam-ablation.toml"
    Path(name).symlink_to("gone")
    assert main(["study", name, "--status"]) == 2
    assert f"there is no file '{name}'" in capsys.readouterr().err
    Path(name).unlink()
    os.mkfifo(name)
    assert main(["study", name, "--status"]) == 2
    assert f"'{name}'" in capsys.readouterr().err
    Path(name).unlink()
    Path(name).mkdir()
    assert find(name).is_file()


@pytest.mark.parametrize("what", ["a link to nothing", "a pipe", "a folder", "nothing"])
def test_the_state_is_asked_of_a_folder_with_a_study(tmp_path: Path, monkeypatch, capsys, what):
    """Of the folder that is named beside a study file, whatever stands there for its own."""
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    file = Path("other/study.toml")
    make = {
        "a link to nothing": lambda: file.symlink_to("gone"),
        "a pipe": lambda: os.mkfifo(file),
        "a folder": file.mkdir,
    }
    make.get(what, lambda: None)()
    assert main(["study", "simsiam-ablation-demo", "--out", "other", "--status"]) == 2
    said = (
        "'other/study.toml'"
        if what in ("a link to nothing", "a pipe")
        else "'other' holds no study"
    )
    assert said in capsys.readouterr().err
