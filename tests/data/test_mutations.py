"""No file ends the program: damaged at random, each is read or refused in a sentence, in bounded memory and time.

This is also a program, ``python test_mutations.py KIND SEED COUNT``, which loads the damaged files of one
kind and prints what happened, so that a signal or a lack of memory ends it and not the tests.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from triptych.data import DataConfig, load
from triptych.errors import TriptychError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(20) % 10
NUMBERS = (0, 1, 2, 7, 255, 0x7FFF, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WRITTEN = (
    "0",
    "-1",
    "3",
    "20",
    "65536",
    "4294967296",
    "9223372036854775807",
    "1" + 40 * "0",
    "(",
    "'O'",
)


def npy(array: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, **options)
    return out.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def mat(compressed: bool = False) -> bytes:
    from scipy.io import savemat

    out = io.BytesIO()
    digits = (LABELS + 1).astype(np.uint8)[:, None]
    savemat(out, {"X": IMAGES.transpose(1, 2, 3, 0), "y": digits}, do_compression=compressed)
    return out.getvalue()


def packed_elements(data: bytes) -> bytes:
    """The elements of an uncompressed MATLAB file, each compressed."""
    out, place = [data[:128]], 128
    while place + 8 <= len(data):
        size = int.from_bytes(data[place + 4 : place + 8], "little")
        element = zlib.compress(data[place : place + 8 + size])
        out.append(struct.pack("<II", 15, len(element)) + element)
        place += 8 + size
    return b"".join(out)


PLAIN = npy(IMAGES)
# Kind → name of the file, what is damaged, and what is done to it afterwards.
KINDS: dict[str, tuple[str, bytes, Callable[[bytes], bytes]]] = {
    "npy": ("d.npy", PLAIN, bytes),
    "npy2": ("d.npy", npy(np.asfortranarray(IMAGES), version=(2, 0)), bytes),
    "npz": ("d.npz", zipped({"x.npy": PLAIN, "y.npy": npy(LABELS)}), bytes),
    "npz-stored": (
        "d.npz",
        zipped({"x.npy": PLAIN, "y.npy": npy(LABELS)}, zipfile.ZIP_STORED),
        bytes,
    ),
    "npz-images": ("d.npz", PLAIN, lambda data: zipped({"x.npy": data, "y.npy": npy(LABELS)})),
    "npz-labels": ("d.npz", npy(LABELS), lambda data: zipped({"x.npy": PLAIN, "y.npy": data})),
    "idx": ("d-images-idx3-ubyte", idx(IMAGES[..., 0]), bytes),
    "idx-gz": ("d-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES[..., 0])), bytes),
    "idx-in-gz": ("d-images-idx3-ubyte.gz", idx(IMAGES[..., 0]), gzip.compress),
    "amat": ("d.amat", b"".join(b"0 1 1 0 1 0 1 0 1\n" for _ in range(20)), bytes),
    "mat": ("d.mat", mat(), bytes),
    "mat-packed": ("d.mat", mat(compressed=True), bytes),
    "mat-in-packed": ("d.mat", mat(), packed_elements),
}


def damaged(data: bytes, draw: random.Random) -> bytes:
    """One to three of: bits turned, cut off, a piece doubled, taken out or blanked, a number replaced."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        # Headers, and an archive's directory at its end, are damaged more often than pixels.
        size = max(1, len(data))
        place = draw.choice((draw.randrange(size), draw.randrange(min(size, 300)), -1))
        place = place if place >= 0 else max(0, size - 1 - draw.randrange(min(size, 300)))
        length = draw.choice((1, 2, 4, 8, 30, 300))
        piece = data[place : place + length]
        match draw.randrange(7):
            case 0 | 1:
                flip = 1 << draw.randrange(8)
                data = data[:place] + bytes(b ^ flip for b in piece[:1]) + data[place + 1 :]
            case 2:
                data = data[:place]
            case 3:
                data = data[:place] + piece * draw.choice((2, 3, 50)) + data[place + length :]
            case 4:
                data = data[:place] + data[place + length :]
            case 5:
                kind = draw.choice(("<I", ">I", "<H"))
                number = draw.choice(NUMBERS) & (0xFFFF if kind == "<H" else 0xFFFFFFFF)
                data = (
                    data[:place] + struct.pack(kind, number) + data[place + struct.calcsize(kind) :]
                )
            case _:
                found = list(re.finditer(rb"\d+", data[:300]))
                if found:
                    a, b = draw.choice(found).span()
                    data = data[:a] + draw.choice(WRITTEN).encode() + data[b:]
    return data


def main(kind: str, seed: int, count: int) -> dict[str, object]:
    name, valid, finish = KINDS[kind]
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRIPTYCH_CACHE"] = str(Path(folder) / "cache")
        for number in range(count):
            draw = random.Random(f"{kind} {seed} {number}")
            path = Path(folder) / name
            path.write_bytes(finish(damaged(valid, draw) if number else valid))
            begin = time.perf_counter()
            try:
                load(DataConfig(str(path), holdout=0))
                outcome = "read"
            except TriptychError as why:
                outcome = "refused" if "\n" not in str(why) else "refused in several lines"
            except Exception as why:
                outcome = f"{type(why).__name__}: {why} ({kind}, seed {seed}, number {number})"
            outcomes[outcome] += 1
            slowest = max(slowest, time.perf_counter() - begin)
            shutil.rmtree(os.environ["TRIPTYCH_CACHE"], ignore_errors=True)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "outcomes": outcomes,
        "megabytes": max(peak_megabytes(), children),
        "slowest": slowest,
    }


def peak_megabytes() -> float:
    """The most memory that this program had; getrusage counts that of the process that started it as well."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


MANY = int(os.environ.get("TRIPTYCH_MUTATIONS", "30"))
"""How many damaged files of each kind; of those of MATLAB, each read by a process, a tenth."""

MEGABYTES = 400
SECONDS = 30


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind):
    count = max(3, MANY // 10) if kind.startswith("mat") else MANY
    command = [sys.executable, __file__, kind, "0", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * count)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["outcomes"]) <= {"read", "refused"}, told["outcomes"]
    assert sum(told["outcomes"].values()) == count
    assert told["outcomes"]["read"] >= 1, "the undamaged file is read"
    assert told["megabytes"] < MEGABYTES
    assert told["slowest"] < SECONDS


def test_files_that_end_scipy_s_reader_with_a_signal_are_refused(tmp_path, refusal):
    """SciPy 1.17 on Linux ends with signal 11 on the first two, found among 8,000 damaged ones."""
    name, valid, _ = KINDS["mat"]
    for number in (1243, 1486):
        path = tmp_path / f"{number}-{name}"
        path.write_bytes(damaged(valid, random.Random(f"mat 1 {number}")))
        assert refusal(path).startswith(f"{path} is damaged, cut short or not a MATLAB file")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
