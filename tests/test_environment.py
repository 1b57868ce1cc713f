"""What environment.json says of the sources is of this package's own, and not of whatever lies around it."""

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from threadpoolctl import threadpool_info

import triptych
from triptych import environment

SOURCE = Path(next(iter(triptych.__path__)))

ASK = "from triptych import environment; print(environment._commit())"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A person's own repository with one commit."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "paper.tex").write_text("theirs")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "theirs")
    return folder


def ask(package: Path, words: str = ASK, **variables: str) -> str:
    """What a process says that imports the package from a folder, uninstalled."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        [sys.executable, "-c", words],
        env={**kept, "PYTHONPATH": str(package), **variables},
        cwd="/",
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("ignored", [True, False])
def test_the_repository_around_an_installed_package_is_not_its_own(
    strangers: Path, ignored: bool
) -> None:
    site = strangers / ".venv" / "lib" / "site-packages"
    shutil.copytree(SOURCE, site / "triptych", ignore=shutil.ignore_patterns("__pycache__"))
    if ignored:
        (strangers / ".gitignore").write_text("/.venv/\n")
    assert ask(site) == "None"


def test_a_checkout_knows_its_commit_and_whether_it_was_changed(strangers: Path) -> None:
    site = strangers / "src"
    shutil.copytree(SOURCE, site / "triptych", ignore=shutil.ignore_patterns("__pycache__"))
    git(strangers, "add", "-A")
    git(strangers, "commit", "-q", "-m", "vendored")
    commit = git(strangers, "rev-parse", "HEAD")
    assert ask(site) == commit
    assert ask(site, GIT_DIR="/nowhere/.git") == commit
    (site / "triptych" / "seeds.py").write_text("changed")
    assert ask(site) == f"{commit} with changes"


def test_a_source_tree_runs_without_being_installed(tmp_path: Path) -> None:
    """As from an archive of the sources: nothing on the machine knows of a package of this name."""
    shutil.copytree(SOURCE, tmp_path / "triptych", ignore=shutil.ignore_patterns("__pycache__"))
    words = f"""
import importlib.metadata as metadata
def version(name, found=metadata.version):
    if name == "triptych":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
from triptych.cli.main import main
assert main(["--version"]) == 0
tiny = ["--method.hidden", "4", "--method.latent", "2", "--device", "cpu", "--threads", "1"]
assert main(["train", "vae", "--steps", "2", "--out", {str(tmp_path / "run")!r}, *tiny]) == 0
"""
    said = ask(tmp_path, words)
    assert said.startswith(f"triptych {triptych.__version__}")
    assert (tmp_path / "run" / "DONE").is_file()
    assert environment.__file__ != str(tmp_path / "triptych" / "environment.py")


def test_at_most_bounds_the_threads_and_puts_them_back():
    def counts() -> dict[str, int]:
        return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}

    def fails() -> None:
        with environment.at_most(3):
            within.update({pool["user_api"]: pool["num_threads"] for pool in threadpool_info()})
            within["torch"] = torch.get_num_threads()
            raise KeyError

    torch.set_num_threads(4)
    before, within = counts(), dict[str, int]()
    with pytest.raises(KeyError):
        fails()
    assert within == {"torch": 3, "openmp": 3, "blas": 1}
    assert (torch.get_num_threads(), counts()) == (4, before)


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("before", [(False, True), (True, False)])
def test_tf32_sets_both_flags_and_puts_them_back(allowed: bool, before: tuple[bool, bool]) -> None:
    def flags() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    def fails() -> None:
        with environment.tf32(allowed):
            within.append(flags())
            raise KeyError

    default, within = flags(), list[tuple[bool, bool]]()
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
    try:
        with pytest.raises(KeyError):
            fails()
        assert (within, flags()) == ([(allowed, allowed)], before)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = default


def flags() -> tuple[bool, ...]:
    return (
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
    )


def test_of_several_cards_each_is_asked_for_itself(monkeypatch) -> None:
    """Card 0, the current one, multiplies in bf16, and card 1 emulates it."""
    current = [0]

    @contextmanager
    def card(device: torch.device) -> Iterator[None]:
        before, current[0] = current[0], device.index
        yield
        current[0] = before

    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or current[0] == 0

    monkeypatch.setattr(torch.cuda, "device", card)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    first, second = (torch.device("cuda", index) for index in range(2))
    assert [environment.has_bf16(device) for device in (first, second)] == [True, False]
    assert [environment.precision("auto", device) for device in (first, second)] == ["bf16", "fp32"]
    assert [environment.precision("bf16", device) for device in (first, second)] == ["bf16", "bf16"]
    environment.warn_if_emulated("bf16", first)
    with pytest.warns(UserWarning, match="this cuda has no bf16 products of its own"):
        environment.warn_if_emulated("bf16", second)


@pytest.mark.parametrize(("device", "machine"), [("cpu", "aarch64"), ("mps", "arm64")])
def test_of_processors_that_nobody_tried_it_is_not_said_that_they_emulate(
    monkeypatch, device: str, machine: str
) -> None:
    monkeypatch.setattr(environment, "has_bf16", lambda device: False)
    monkeypatch.setattr("platform.machine", lambda: machine)
    environment.warn_if_emulated("bf16", torch.device(device))
    assert environment.precision("bf16", torch.device(device)) == "bf16"
    assert environment.precision("auto", torch.device(device)) == "fp32"


def test_sums_on_a_gpu_are_in_one_order_and_flags_are_put_back(monkeypatch):
    """A WGAN ended in other bits each time there; that it is switched on shows here too."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = flags()

    def broken() -> None:
        with environment.deterministic(torch.device("cuda")):
            assert flags() == (True, False, True, True, False)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        broken()
    assert flags() == before
    with environment.deterministic(torch.device("cpu")):
        assert flags() == before


def test_what_a_training_says_of_bits_is_heard_while_pytorch_is_not():
    """The sentence of the training was taken for one of PyTorch's, and only stood in the log."""
    ours = "PyTorch has no deterministic form of a_cuda on this device: another run may end in other bits"
    theirs = (
        "kthvalue CUDA does not have a deterministic implementation, but you set …",
        "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or …",
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with environment.deterministic(torch.device("cuda")):
            for said in (*theirs, ours):
                warnings.warn(said, stacklevel=1)
    assert [str(w.message) for w in caught] == [ours]


def test_flags_that_newer_versions_call_otherwise_are_set_without_a_warning(monkeypatch) -> None:
    """From PyTorch 2.9 on reading or setting them warns, once in a process."""

    class Warns:
        allowed = False

        @property
        def allow_tf32(self) -> bool:
            warnings.warn("Please use the new API settings to control TF32 behavior", stacklevel=1)
            return self.allowed

        @allow_tf32.setter
        def allow_tf32(self, allowed: bool) -> None:
            warnings.warn("Please use the new API settings to control TF32 behavior", stacklevel=1)
            self.allowed = allowed

    flag = Warns()
    monkeypatch.setattr(torch.backends.cuda, "matmul", flag)
    with environment.tf32(True):
        assert flag.allowed
    assert not flag.allowed
