"""What tests of studies in processes share: images of their own, what the runs come to in this process, and waiting."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from triptych.errors import TriptychError
from triptych.studies.execute import unfinished
from triptych.studies.plan import Study
from triptych.studies.worker import work


@pytest.fixture(scope="session")
def squares() -> Callable[[], None]:
    """Writes mine.npy here: 80 images of 8×8, a grey of its own each."""

    def write() -> None:
        draw = np.random.default_rng(0)
        levels = draw.integers(0, 256, (80, 1, 1)) + draw.integers(-20, 20, (80, 8, 8))
        np.save("mine.npy", np.clip(levels, 0, 255).astype(np.uint8))

    return write


@pytest.fixture(scope="session")
def finish() -> Callable[[Path, Study], None]:
    """Does what is left of a study in this process: quicker than in others, and the same."""

    def do(folder: Path, study: Study) -> None:
        for cell in unfinished(study, folder):
            if cell.arm == "broken":
                with pytest.raises(TriptychError, match="not finite"):
                    work(folder, cell)
            else:
                work(folder, cell)

    return do


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits for something to happen."""

    def wait(happened: Callable[[], bool], seconds: float = 180) -> None:
        began = time.monotonic()
        while not happened():
            assert time.monotonic() - began < seconds, "it did not happen"
            time.sleep(0.05)

    return wait
