"""What every test may use: a cache of its own, tiny planted data, and the names of the docstrings' examples."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

import triptych
from triptych.data import DataConfig, load
from triptych.data.spec import Dataset, Images
from triptych.runs import Run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without a C++ compiler a test that ``needs_compiler`` says what it would have shown."""
    # The one that PyTorch calls.
    if shutil.which(os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")):
        return
    for item in items:
        for mark in item.iter_markers("needs_compiler"):
            reason = f"no C++ compiler: that {mark.args[0]} was not tested here"
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the cache of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIPTYCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("TRIPTYCH_DATA", raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def a_thread_each() -> None:
    """Where tests run side by side a process has a core, and two threads on it would wait for each other half of the time."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def thread_count() -> Iterator[None]:
    """A test that trains sets the number of threads of the whole process: put it back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def example_names(request: pytest.FixtureRequest) -> None:
    """Names that the examples in docstrings use without importing them."""
    if isinstance(request.node, pytest.DoctestItem):
        names = request.getfixturevalue("doctest_namespace")
        names["torch"] = torch
        names["tmp_path"] = request.getfixturevalue("tmp_path")
        names["tt"] = triptych
        if any(room in request.node.name for room in (".verbs.", ".live.")):
            names["run"] = request.getfixturevalue("trained")
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def planted() -> Callable[..., Dataset]:
    """Makes a data set of random levels: ``planted(train=64, valid=16, test=20, shape=(1, 4, 4))``."""

    def make(
        train: int = 64,
        valid: int = 16,
        test: int = 20,
        shape: tuple[int, int, int] = (1, 4, 4),
        values: str = "grey",
        seed: int = 0,
    ) -> Dataset:
        draw = np.random.default_rng(seed)
        splits = {}
        for name, count in (("train", train), ("valid", valid), ("test", test)):
            pixels = draw.integers(0, 256, (count, *shape)).astype(np.uint8)
            if values == "binary":
                pixels = (pixels > 127).astype(np.uint8) * 255
            splits[name] = Images(pixels, draw.integers(0, 3, count))
        return Dataset("planted", "Planted", splits, ("a", "b", "c"), values, f"planted-{seed}")

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Run:
    """A small run on the embedded digits, evaluated in a hurry; nobody changes it."""
    run = triptych.train(
        "vae",
        method={"hidden": [16], "latent": 2},
        out=tmp_path_factory.mktemp("trained") / "run",
        steps=20,
        batch_size=50,
        log_every=5,
        binarize="dynamic",
        threads=1,
    )
    triptych.evaluate(run, samples=5)
    return run


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """The embedded digits."""
    return load(DataConfig())


@pytest.fixture(scope="session")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The files that docs/adding-a-method.md tells its reader to write, by the method's name."""
    page = Path(__file__).with_name("docs") / "adding-a-method.md"
    told = r"Put this into `(\w+)\.py`:\n\n```python\n(.*?)```"
    folder, found = tmp_path_factory.mktemp("documented"), {}
    for name, code in re.findall(told, page.read_text(encoding="utf-8"), re.S):
        found[name] = folder / f"{name}.py"
        found[name].write_text(code, encoding="utf-8")
    return found
