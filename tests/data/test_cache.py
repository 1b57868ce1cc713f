"""Decoded once: what a second load does, what two at once do, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from triptych.data import DataConfig, load

LOAD = """
import sys, time
from triptych.data import DataConfig, load
def progress(what, done, total):
    if len(sys.argv) > 2 and what.startswith("reading"):
        print("reading", flush=True)
        time.sleep(60)
print(load(DataConfig(sys.argv[1]), progress=progress).fingerprint)
"""


def start(path: Path, *options: str) -> subprocess.Popen[str]:
    """A process of its own that loads the path; with an option it stops in the midst of reading."""
    command = [sys.executable, "-c", LOAD, str(path), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def steps(path: Path, **options) -> list[str]:
    """What the load said it was doing."""
    said: list[str] = []
    load(DataConfig(str(path), **options), progress=lambda what, done, total: said.append(what))
    return said


def sets(cache: Path) -> list[Path]:
    return [path for path in (cache / "decoded").iterdir() if not path.name.startswith(".")]


@pytest.fixture
def images(tmp_path, random_images) -> Path:
    path = tmp_path / "d.npy"
    np.save(path, random_images(40, 6, 6))
    return path


def age(path: Path) -> None:
    """As if last changed an hour ago, so that its hash may be remembered."""
    os.utime(path, (time.time() - 3600,) * 2)


def test_the_second_load_neither_hashes_nor_decodes(images):
    age(images)
    assert steps(images) == ["checking (files)", "reading train (images)"]
    assert steps(images) == []


def test_it_is_the_content_that_counts(images, cache, tmp_path):
    steps(images)
    age(images)
    (tmp_path / "elsewhere").mkdir()
    moved = images.rename(tmp_path / "elsewhere" / images.name)
    assert steps(moved) == ["checking (files)"]
    np.save(moved, np.load(moved)[::-1])
    assert "reading train (images)" in steps(moved)
    assert len(sets(cache)) == 2


def test_a_change_within_the_clock_s_tick_is_seen(images):
    """Same path, size, inode and time: a hash of a file that fresh is not trusted."""
    before = images.stat()
    first = load(DataConfig(str(images))).fingerprint
    with images.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\0")
    os.utime(images, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(DataConfig(str(images))).fingerprint != first


def test_options_that_change_pixels_have_their_own_place(images, cache):
    for options in ({}, {"image_size": 3}, {"colour": "rgb"}, {"holdout": 0}, {"holdout": 5}):
        load(DataConfig(str(images), **options))
    # How many images are held out changes no pixel; the last three share one place.
    assert len(sets(cache)) == 3
    load(DataConfig(str(images), image_size="3x3"))
    assert len(sets(cache)) == 3, "the same size in other words"
    for other in ("3x4", "4x3"):
        load(DataConfig(str(images), image_size=other))
    assert len(sets(cache)) == 5


def test_two_processes_at_once(images, cache):
    np.save(images, np.random.default_rng(0).integers(0, 256, (40_000, 3, 32, 32), np.uint8))
    processes = [start(images) for _ in range(3)]
    fingerprints = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(fingerprints) == 1
    assert [path.name for path in (cache / "decoded").iterdir()] == [sets(cache)[0].name]


def test_a_killed_process_leaves_nothing_usable(images, cache):
    process = start(images, "stop in the midst")
    assert process.stdout is not None
    assert process.stdout.readline() == "reading\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert sets(cache) == []
    (left,) = (cache / "decoded").iterdir()
    data = load(DataConfig(str(images), holdout=0))
    assert sum(map(len, data.splits.values())) == 40
    assert not left.exists()


def test_an_interrupted_load_cleans_up_after_itself(images, cache):
    def interrupt(what, done, total):
        if what.startswith("reading"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(DataConfig(str(images)), progress=interrupt)
    assert list((cache / "decoded").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_cache_is_made_anew(images, cache, damage):
    first = load(DataConfig(str(images))).fingerprint
    (place,) = sets(cache)
    if damage == "cut":
        os.truncate(place / "train.npy", 200)
    else:
        (place / "train.npy").unlink()
    assert load(DataConfig(str(images))).fingerprint == first


def test_a_repeated_load_takes_milliseconds(tmp_path, random_images, pictures):
    for name in "abcde":
        pictures(tmp_path / "d" / name, random_images(200, 8, 8))
    for path in (tmp_path / "d").rglob("*.png"):
        age(path)
    load(DataConfig(str(tmp_path / "d")))
    begin = time.perf_counter()
    load(DataConfig(str(tmp_path / "d")))
    assert time.perf_counter() - begin < 0.3


def test_a_cache_that_cannot_be_written(images, tmp_path, monkeypatch, refusal):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "file"))
    message = refusal(images)
    assert message.startswith("cannot read or write the data (")
    assert "Not a directory" in message or "File exists" in message


def test_data_is_light_to_import():
    heavy = ["torch", "pyarrow", "PIL", "scipy", "huggingface_hub", "rich"]
    code = f"import sys, triptych.data; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("damage", [b"", b"[", b"[1]", b"{}", b"[]", b"\xff", b"[" * 100_000])
def test_damaged_notes_on_what_was_hashed_are_made_anew(tmp_path, monkeypatch, damage):
    from triptych.data import hashing
    from triptych.progress import silent

    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1)
    (tmp_path / "a").write_bytes(b"a")
    found = hashing.digests([tmp_path / "a"], silent)
    (memo,) = (tmp_path / "cache" / "hashes").iterdir()
    memo.write_bytes(damage)
    assert hashing.digests([tmp_path / "a"], silent) == found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(
            ("meta.json", text)
            for text in (b"[]", b'{"splits": 3}', b"{}", b"[" * 100_000, b"\xff")
        ),
        *(
            ("meta.json", lambda data, name=name: data.replace(b'"train.npy"', name))
            for name in (rb'"tr\u0000.npy"', b'"../train.npy"', b'"/dev/zero"', b'""')
        ),
        ("train.digests.npy", lambda data: data.replace(b"'<u8'", b"'<f8'")),
        ("train.digests.npy", lambda data: data.replace(b"(20,)", b"(4,5)")),
        ("train.npy", lambda data: data.replace(b"'|u1'", b"'|i1'")),
        ("train.npy", lambda data: data.replace(b"(20, 1, 8, 8)", b"(20, 8, 1, 8)")),
        ("train.npy", lambda data: data.replace(b"{'descr", b"{'descr'''")[: len(data)]),
    ],
)
def test_what_is_damaged_in_the_cache_is_made_again(tmp_path, cache, random_images, name, content):
    np.save(tmp_path / "d.npy", random_images(20, 8, 8))
    before = load(DataConfig(str(tmp_path / "d.npy")))
    (path,) = cache.glob(f"decoded/*/{name}")
    changed = content(path.read_bytes()) if callable(content) else content
    assert changed != path.read_bytes()
    # Not into the file that is mapped into memory.
    path.unlink()
    path.write_bytes(changed)
    after = load(DataConfig(str(tmp_path / "d.npy")))
    assert after.fingerprint == before.fingerprint
    for split, images in before.splits.items():
        assert np.array_equal(after.splits[split].pixels, images.pixels)
        assert np.array_equal(after.splits[split].digests, images.digests)
