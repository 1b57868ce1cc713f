"""Checkpoints: whole or refused, whatever happens to the file."""

import os
import resource
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from triptych import checkpoint
from triptych.config import OptimizerConfig
from triptych.errors import TriptychError
from triptych.training.optim import PhaseOptimizer
from triptych.training.watch import Watch
from triptych.types import DataSpec, Group, Phase

TENSORS = {
    "weights.a": torch.arange(6.0).reshape(2, 3),
    "weights.step": torch.tensor(7),
    "optimizer.x": torch.tensor([0.5, -0.25], dtype=torch.float64),
}
ABOUT = {"step": 120, "best": -100.5, "names": ["elbo", "kl"]}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "last.safetensors"
    checkpoint.save(path, TENSORS, ABOUT)
    return path


def assert_whole(path: Path) -> None:
    tensors, about = checkpoint.load(path)
    assert about == {**ABOUT, "weights": checkpoint.weights_digest(tensors)}
    assert tensors.keys() == TENSORS.keys()
    for name, value in TENSORS.items():
        assert torch.equal(tensors[name], value)
        assert tensors[name].dtype == value.dtype


def test_what_is_saved_comes_back(saved: Path):
    assert_whole(saved)
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_views_strides_kinds_and_empty_tensors_come_back(tmp_path: Path):
    base = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    tensors = {
        "transposed": base.T,
        "part": base[1:3, ::2],
        "empty": torch.zeros(0),
        "bool": torch.tensor([True, False]),
        "half": base.bfloat16(),
        "parameter": nn.Parameter(base.clone()),
    }
    checkpoint.save(tmp_path / "x", tensors, {})
    found, _ = checkpoint.load(tmp_path / "x")
    for name, value in tensors.items():
        assert torch.equal(found[name], value.detach()), name
        assert found[name].dtype == value.dtype


def test_a_file_cut_at_any_byte_is_refused(saved: Path):
    whole = saved.read_bytes()
    cut = saved.with_name("cut")
    for length in range(len(whole)):
        cut.write_bytes(whole[:length])
        with pytest.raises(TriptychError, match="damaged") as error:
            checkpoint.load(cut)
        assert str(cut) in str(error.value)


def refused(path: Path) -> bool:
    """Whether it is said to be damaged; any other exception is a fault of the reader."""
    try:
        checkpoint.load(path)
    except TriptychError as error:
        return "damaged" in str(error)
    return False


@pytest.mark.parametrize("flip", [0xFF, 0x01, 0x0F])
def test_a_byte_changed_anywhere_is_refused(saved: Path, flip: int):
    """In a tensor, in the header, in the description: a step of 121 for 120 would resume to other bits."""
    whole = saved.read_bytes()
    changed = saved.with_name("changed")
    accepted = []
    for place in range(len(whole)):
        changed.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        if not refused(changed):
            accepted.append(whole[max(0, place - 12) : place + 12])
    assert accepted == []


def test_bytes_added_at_the_end_are_refused(saved: Path):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(TriptychError, match="damaged"):
        checkpoint.load(saved)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\0" * 100, b"not a checkpoint at all" * 9]
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(TriptychError, match="damaged"):
        checkpoint.load(tmp_path / "x")


def test_a_safetensors_file_that_is_no_checkpoint_of_ours_is_refused(tmp_path: Path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "x")
    with pytest.raises(TriptychError, match="x"):
        checkpoint.load(tmp_path / "x")


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path):
    with pytest.raises(TriptychError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "absent")


def fail_to_save(path: Path) -> BaseException:
    """Save far more than the process may write to one file: a full disk, as the system reports it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        checkpoint.save(path, {"big": torch.ones(100_000)}, {"step": 240})
    except Exception as error:
        return error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    raise AssertionError("the limit did not bite")


def test_a_save_that_fails_leaves_the_old_file_whole(saved: Path):
    fail_to_save(saved)
    assert_whole(saved)


def test_a_save_that_fails_leaves_nothing_beside_the_old_file(saved: Path):
    fail_to_save(saved)
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]


def test_a_save_that_fails_is_one_sentence(saved: Path):
    error = fail_to_save(saved)
    assert isinstance(error, TriptychError)
    assert str(saved) in str(error)


def test_a_reader_never_mixes_an_old_file_with_a_new_one(tmp_path: Path):
    """An evaluation may read ``last`` while the training replaces it."""
    path, done = tmp_path / "last", threading.Event()
    problems = []

    def read() -> None:
        while not done.is_set():
            try:
                tensors, about = checkpoint.load(path)
            except TriptychError as error:
                problems.append(str(error))
                return
            if not (tensors["a"] == about["step"]).all():
                problems.append("tensors of one file with the description of another")

    checkpoint.save(path, {"a": torch.zeros(5000)}, {"step": 0})
    reader = threading.Thread(target=read)
    reader.start()
    for step in range(1, 200):
        checkpoint.save(path, {"a": torch.full((5000,), float(step))}, {"step": step})
        if problems:
            break
    done.set()
    reader.join()
    assert problems == []


class Net(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.encoder = nn.Linear(2, width)
        self.norm = nn.BatchNorm1d(2)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {f"{checkpoint.WEIGHTS}{k}": v for k, v in model.state_dict().items()}


def test_weights_go_into_a_model_of_the_same_config(tmp_path: Path):
    source, target = Net(), Net()
    source.norm.running_mean.fill_(4)
    checkpoint.load_weights(target, {**weights(source), "optimizer.y": torch.ones(9)}, tmp_path)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value)


def test_a_checkpoint_of_another_config_is_refused_and_the_tensor_named(tmp_path: Path):
    model = Net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    other = weights(Net(width=4))
    with pytest.raises(
        TriptychError,
        match=r"another config: 'encoder\.bias' is 4 of float32 there and 3 of float32 here",
    ):
        checkpoint.load_weights(model, other, tmp_path)
    fewer = {k: v for k, v in weights(Net()).items() if "running_var" not in k}
    with pytest.raises(
        TriptychError, match=r"'norm\.running_var' is absent there and 2 of float32 here"
    ):
        checkpoint.load_weights(model, fewer, tmp_path)
    more = {**weights(Net()), "weights.head.weight": torch.zeros(2, 2)}
    with pytest.raises(
        TriptychError, match=r"'head\.weight' is 2×2 of float32 there and absent here"
    ):
        checkpoint.load_weights(model, more, tmp_path)
    double = {k: v.double() for k, v in weights(Net()).items()}
    with pytest.raises(TriptychError, match=r"of float64 there and .* of float32 here"):
        checkpoint.load_weights(model, double, tmp_path)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused_whatever_their_checksum(tmp_path: Path, value):
    model = Net()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    odd = {k: v.clone() for k, v in weights(Net()).items()}
    odd["weights.encoder.bias"][1] = value
    checkpoint.save(tmp_path / "odd.safetensors", odd, {})
    tensors, _ = checkpoint.load(tmp_path / "odd.safetensors")
    with pytest.raises(TriptychError, match=r"weights 'encoder\.bias' that are not finite"):
        checkpoint.load_weights(model, tensors, tmp_path / "odd.safetensors")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_file_that_is_larger_than_it_says_is_refused_unread(saved: Path):
    with saved.open("r+b") as file:
        file.truncate(1 << 37)
    with pytest.raises(TriptychError, match="its header does not fit its 137,438,953,472 bytes"):
        checkpoint.load(saved)


def test_more_than_memory_holds_is_refused_unread(saved: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "memory", lambda device: 100)
    with pytest.raises(TriptychError, match="more than memory holds twice"):
        checkpoint.load(saved)


def test_a_pipe_is_no_checkpoint(tmp_path: Path):
    os.mkfifo(tmp_path / "last.safetensors")
    with pytest.raises(TriptychError, match=r"last\.safetensors' is damaged: it is no file"):
        checkpoint.load(tmp_path / "last.safetensors")


def test_weights_of_another_type_or_that_are_not_finite_are_refused():
    model = nn.Linear(2, 1)
    held = {f"weights.{name}": value for name, value in model.state_dict().items()}
    wide = held | {"weights.bias": torch.zeros(1, dtype=torch.float64)}
    with pytest.raises(TriptychError, match="'bias' is 1 of float64 there and 1 of float32 here"):
        checkpoint.load_weights(model, wide, Path("a"))
    with pytest.raises(TriptychError, match="'a' has weights 'bias' that are not finite"):
        checkpoint.load_weights(
            model, held | {"weights.bias": torch.tensor([torch.nan])}, Path("a")
        )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exp_avg", torch.zeros(3, dtype=torch.float64)),
        ("exp_avg_sq", torch.zeros(3, dtype=torch.int64)),
        ("step", torch.tensor(-1.0)),
        ("step", torch.tensor(torch.nan)),
        ("step", torch.tensor(2)),
    ],
)
def test_an_optimizer_s_state_of_another_kind_is_refused(key: str, value: torch.Tensor):
    method = nn.ModuleDict({"a": nn.Linear(1, 3)})
    phase = Phase("fit", (Group(("a",), OptimizerConfig()),))
    optimizer = PhaseOptimizer(method, phase, torch.zeros(()))
    state = optimizer.state()
    optimizer.load(state, Path("x"))
    with pytest.raises(TriptychError, match=r"no optimizer state for 'a\.bias', or that of"):
        optimizer.load(state | {f"optimizer.fit.a.bias.{key}": value}, Path("x"))


@pytest.mark.parametrize("shape", [(1, 0, 8), (1, -8, 8), (1, 10**18, 8), (3, 10**5, 10**5)])
def test_images_that_there_are_not_are_refused(shape: tuple[int, int, int]):
    with pytest.raises(TriptychError, match="there are no images of"):
        DataSpec(shape, "grey")


def test_moments_of_other_channels_are_refused():
    with pytest.raises(TriptychError, match="the images have 1 channels, and moments of others"):
        DataSpec((1, 8, 8), "grey", mean=(0.5, 0.5))


def test_what_another_method_logged_is_refused():
    watch = Watch("fit", torch.zeros(()))
    held = {"watch.fit.sums": torch.ones(3).double(), "watch.fit.count": torch.tensor(2)}
    watch.load(held, ["objective", "elbo", "kl"], Path("x"))
    seen = torch.ones(2), torch.zeros(1), ("objective", "elbo"), torch.tensor(1)
    with pytest.raises(
        TriptychError, match="phase 'fit' logs elbo, and its checkpoint says elbo, kl"
    ):
        watch.see(*seen)
