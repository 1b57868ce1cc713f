"""Parsers that are not ours run in a process of their own: what ends it is a sentence, and leaves nothing behind."""

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from triptych.data import DataConfig, broken_images, load
from triptych.data.apart import apart
from triptych.errors import DamagedError, MachineError, TriptychError
from triptych.progress import silent

DEADLY = b"deadly"
"""Bytes at the end of a file on which the planted decoder dies."""

PLANTED = """
import signal, PIL.Image
opened = PIL.Image.open
def deadly(file, *words, **options):
    if file.getvalue().endswith(b"deadly"):
        signal.raise_signal(signal.{signal})
    return opened(file, *words, **options)
PIL.Image.open = deadly
"""

PYARROW = """
import signal, pyarrow.parquet
class Deadly(pyarrow.parquet.ParquetFile):
    def iter_batches(self, *words, **options):
        signal.raise_signal(signal.SIGSEGV)
pyarrow.parquet.ParquetFile = Deadly
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Plants code into every Python that is begun from here, as a fault of a parser would be there."""

    def plant(code: str) -> None:
        place = tmp_path / "planted"
        place.mkdir()
        # What Python imports at its start if it is there.
        (place / "sitecustomize.py").write_text(code)
        monkeypatch.syspath_prepend(str(place))

    return plant


@pytest.fixture
def pictures(tmp_path, random_images, encode) -> Path:
    folder = tmp_path / "pictures"
    for place, image in enumerate(random_images(40, 8, 8)):
        path = folder / "ab"[place % 2] / f"{place:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(image))
    return folder


def nothing_left(cache: Path) -> bool:
    return not list((cache / "decoded").iterdir())


def test_a_decoder_that_crashes_is_told_with_the_file(pictures, planted, refusal, cache, tmp_path):
    with (pictures / "b" / "17.png").open("ab") as file:
        file.write(DEADLY)
    planted(PLANTED.format(signal="SIGSEGV"))
    began = time.monotonic()
    assert refusal(pictures) == (
        f"reading {pictures} ended the reader's process at b/17.png (signal 11, SIGSEGV); "
        "repair or remove that file"
    )
    assert time.monotonic() - began < 60
    assert nothing_left(cache)
    with pytest.raises(TriptychError, match=r"at b/17.png \(signal 11"):
        broken_images(DataConfig(str(pictures)))
    # Without that file the same folder is read, and this process goes on.
    (pictures / "b" / "17.png").unlink()
    assert sum(map(len, load(DataConfig(str(pictures))).splits.values())) == 39


def test_of_several_threads_each_has_a_file(tmp_path, planted, refusal, random_images, encode):
    """Images so large that threads decode them: one of few is the one."""
    for place, image in enumerate(random_images(8, 100, 100, 3)):
        (tmp_path / "large").mkdir(exist_ok=True)
        data = encode(image) + DEADLY * (place == 5)
        (tmp_path / "large" / f"{place}.png").write_bytes(data)
    planted(PLANTED.format(signal="SIGABRT"))
    said = refusal(tmp_path / "large")
    assert "5.png" in said and "(signal 6, SIGABRT)" in said


def test_who_is_killed_may_have_run_out_of_memory(pictures, planted, cache, tmp_path):
    with (pictures / "a" / "00.png").open("ab") as file:
        file.write(DEADLY)
    planted(PLANTED.format(signal="SIGKILL"))
    with pytest.raises(
        MachineError, match=r"was killed at a/00\.png, as a system does where memory"
    ):
        load(DataConfig(str(pictures)))
    assert nothing_left(cache)


def test_pyarrow_crashes_over_a_shard(tmp_path, planted, refusal, parquet, random_images, cache):
    parquet(tmp_path / "train.parquet", random_images(20, 8, 8), np.arange(20) % 2)
    planted(PYARROW)
    assert "ended the reader's process at train.parquet (signal 11, SIGSEGV)" in refusal(
        tmp_path / "train.parquet"
    )
    assert nothing_left(cache)


def test_a_row_of_a_shard_crashes_pillow(
    tmp_path, planted, refusal, parquet, encode, random_images
):
    rows = [encode(image) + DEADLY * (k == 3) for k, image in enumerate(random_images(20, 8, 8))]
    parquet(tmp_path / "train.parquet", rows)
    planted(PLANTED.format(signal="SIGSEGV"))
    assert "at train.parquet: row 3 (signal 11" in refusal(tmp_path / "train.parquet")


def test_what_is_decoded_there_is_what_is_decoded_here(pictures, cache, tmp_path, monkeypatch):
    def content() -> dict[str, bytes]:
        (place,) = (cache / "decoded").iterdir()
        return {path.name: path.read_bytes() for path in place.iterdir()}

    seen: list[tuple[str, int, int]] = []
    load(DataConfig(str(pictures)), progress=lambda *told: seen.append(told))
    assert ("reading train (images)", 40, 40) in seen
    there = content()
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "another"))
    cache = tmp_path / "another"
    monkeypatch.setattr(sys, "executable", "")
    load(DataConfig(str(pictures)))
    assert content() == there


def refuses(make, progress):
    raise make()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (partial(TriptychError, "a sentence"), TriptychError),
        (partial(MachineError, "no room"), MachineError),
        (partial(DamagedError, Path("a"), "it is empty"), TriptychError),
        (partial(PermissionError, 13, "Permission denied", "a"), PermissionError),
        (MemoryError, MemoryError),
    ],
)
def test_what_is_raised_there_is_raised_here(make, kind):
    with pytest.raises(kind) as found:
        apart(partial(refuses, make), Path("somewhere"), silent)
    assert type(found.value) is kind
    assert str(found.value) == str(make())


def test_a_mistake_of_ours_is_told_by_its_last_line():
    with pytest.raises(TriptychError, match=r"\(exit code 1, ZeroDivisionError: by nought\)"):
        apart(partial(refuses, partial(ZeroDivisionError, "by nought")), Path("somewhere"), silent)


def waits(path, progress):
    path.write_text(str(os.getpid()))
    progress("waiting", 0, 0)
    time.sleep(600)


def test_whoever_is_interrupted_ends_the_other(tmp_path):
    def interrupted(what: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apart(partial(waits, tmp_path / "pid"), tmp_path, interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)
