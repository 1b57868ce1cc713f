"""Files made to mislead a reader: headers that promise too much, bombs, and what NumPy itself stumbles over."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from functools import partial

import numpy as np
import pytest
from damage import array_bytes
from specimens import header, idx_bytes, mats, zipped

from triptych.data import DataConfig, load
from triptych.data.images import Decoder
from triptych.data.picture import Fit
from triptych.data.readers import amat, part
from triptych.data.readers.columns import reading
from triptych.data.readers.part import foreign
from triptych.errors import TriptychError


def test_a_reader_that_crashes_is_told_by_its_signal(tmp_path, mat, refusal, monkeypatch):
    """The process that reads ends itself here, as SciPy's compiled code may."""
    from triptych.data.readers import matlab

    crash = tmp_path / "crash.py"
    crash.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(matlab, "__file__", str(crash))
    path = tmp_path / "train_32x32.mat"
    mat(path, np.zeros((4, 32, 32, 3), np.uint8), np.arange(4))
    assert "(reading it ended the reader's process with signal 11)" in refusal(path)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (header("(20, 8, 8)") + bytes(1279), "1,279 bytes where 1,280 are due"),
        (header("(20, 8, 8)") + bytes(1281), "1,281 bytes where 1,280 are due"),
        (header("(2**40, 8, 8)") + bytes(1280), "damaged, cut short or not an"),
        (header("(4294967296, 4294967296, 8)"), "0 bytes where 147,573,952,589,676,412,928"),
        (header("(-20, -8, 8)") + bytes(1280), "its header has the shape (-20, -8, 8)"),
        (header("(20, 8, 8)", "[('a', '<i4')]") + bytes(99), " has fields: "),
        (header("(20, 8, 8)", "'|O'") + bytes(99), " holds Python objects, which"),
        (header("(20, 8, 8)", "'|V0'"), "which has no size"),
        (header("(20, 8, 8)", "'|V1'") + bytes(1280), "are of type |V1"),
        (header("(20, 8, 8)", "'<M8[s]'") + bytes(10240), "are of type datetime64[s]"),
        (header("(" * 900), "damaged, cut short or not an"),
        (header("(20, 8, 8)", "-" * 9000 + "1"), "damaged, cut short or not an"),
        (header("(20, 8, 8", "'"), "damaged, cut short or not an"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{", "its header is too long"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "version 9.0 of the format is not known"),
        (b"PK\x03\x04" + bytes(100), "it is an archive; name it .npz"),
        (array_bytes(np.uint8(3)), "have the shape a single number"),
        (array_bytes(np.zeros((0, 8, 8), np.uint8)), "holds no image"),
        (array_bytes(np.zeros((9, 0, 8), np.uint8)), "holds no image (its shape is (9, 0, 8))"),
        (b"", "damaged, cut short or not an"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
@pytest.mark.parametrize("archive", [False, True], ids=["npy", "npz"])
def test_headers(tmp_path, refusal, data, complaint, archive):
    if archive and "archive" in complaint:
        complaint = "the magic string is not correct"
    path = tmp_path / ("d.npz" if archive else "d.npy")
    path.write_bytes(zipped({"x.npy": data}) if archive else data)
    assert complaint in refusal(path)


@pytest.mark.parametrize("kind", [">i4", ">f4", "<f2", ">f8"])
def test_other_byte_orders_and_precisions(tmp_path, random_images, kind):
    images = random_images(20, 6, 6)
    whole = np.dtype(kind).kind == "i"
    np.save(tmp_path / "d.npy", np.asfortranarray((images / (1 if whole else 255)).astype(kind)))
    parts = load(DataConfig(str(tmp_path / "d.npy"))).splits.values()
    found = [image.tobytes() for part in parts for image in part.pixels]
    assert sorted(found) == sorted(image.tobytes() for image in images)


def encrypted(data: bytes) -> bytes:
    """The flag of encryption in both of a member's headers."""
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(mark) + place
        data = data[:at] + bytes([data[at] | 1]) + data[at + 1 :]
    return data


X = array_bytes(np.full((20, 8, 8), 200, np.uint8))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (encrypted(zipped({"x.npy": X})), "it is encrypted"),
        (zipped({"x.npy": X}, zipfile.ZIP_LZMA), "in a way that NumPy does not write"),
        (zipped({"x.npy": b"text", "y.npy": X}), "damaged, cut short or not an .npz archive"),
        (zipped({"readme.txt": X}), "has no array of training images among its 0"),
        (zipped({}), "has no array of training images among its 0"),
        (zipped({f"{n}.npy": b"" for n in range(10_001)}, 0), "it has 10,001 members"),
        (X, "it is a single array; name it .npy"),
        (b"PK\x03\x04", "is not a zip file"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_archives(tmp_path, refusal, data, complaint):
    (tmp_path / "d.npz").write_bytes(data)
    assert complaint in refusal(tmp_path / "d.npz")


def test_two_members_of_one_name(tmp_path, refusal):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x.npy", X)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("x.npy", X)
    (tmp_path / "d.npz").write_bytes(out.getvalue())
    assert "holds two arrays named 'x'; keep one of them" in refusal(tmp_path / "d.npz")


NOISE = np.random.default_rng(0).bytes(400_000)
LARGE = (
    320 << 20
)  # bytes, of which 256 MB are suspicious; deflate can make them of NOISE, but for its noise


def test_a_bomb_in_an_archive_is_refused_unread(tmp_path, refusal):
    """Its directory announces 320 MB in 400 kB; whether they are there is not tried."""
    shape = f"({LARGE >> 6}, 8, 8)"
    data = zipped({"x.npy": header(shape) + NOISE})
    here, announced = len(header(shape)) + len(NOISE), len(header(shape)) + LARGE
    at = data.rindex(struct.pack("<I", here))
    (tmp_path / "d.npz").write_bytes(data[:at] + struct.pack("<I", announced) + data[at + 4 :])
    assert "0.4 MB to 335.5 MB, which images hardly do; if it is" in refusal(tmp_path / "d.npz")


def test_a_bomb_in_gzip_is_refused_unread(tmp_path, refusal):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    sizes = np.array([LARGE >> 6, 8, 8], ">u4").tobytes()
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 3]) + sizes + NOISE))
    assert "0.4 MB to 335.5 MB, which images hardly do; if it is" in refusal(path)


def test_more_than_announced_is_not_unpacked(tmp_path, refusal):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    with gzip.open(path, "wb") as file:
        file.write(idx_bytes(np.full((20, 8, 8), 9, np.uint8)))
        file.write(bytes(4 << 20))
    assert "more than the 1,280 bytes that are due" in refusal(path)


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ((500_000, 256, 256), "32,768,000,000"),
        ((4294967295, 4294967295, 4294967295), "79,228,162,458,924,105,385,300,197,375"),
        ((10, 0, 0), "holds no image (its shape is 10x0x0)"),
        ((0, 8, 8), "holds no image (its shape is 0x8x8)"),
    ],
)
def test_idx_headers(tmp_path, refusal, end, sizes, complaint):
    path = tmp_path / f"train-images-idx3-ubyte{end}"
    data = bytes([0, 0, 8, 3]) + np.array(sizes, ">u4").tobytes()
    path.write_bytes(gzip.compress(data) if end else data)
    assert complaint in refusal(path)


def test_more_than_memory_holds(tmp_path, refusal, monkeypatch):
    """As on a machine with 1,000 bytes left."""
    monkeypatch.setattr(part, "_memory", lambda: 1000)
    np.savez_compressed(tmp_path / "d.npz", np.random.default_rng(0).integers(0, 256, (20, 8, 8)))
    assert "0.0 MB of memory are free; save it uncompressed as .npy" in refusal(tmp_path / "d.npz")


def test_free_memory_is_known_here():
    from triptych.data.readers.part import _memory

    found = _memory()
    assert found is not None
    assert 10**7 < found < 10**14


@pytest.mark.parametrize(("place", "bytes_there"), [(145, b"\xff\xff"), (4081, b"\x08")])
def test_a_file_that_ends_scipys_reader_with_a_signal_is_refused(
    tmp_path, refusal, place, bytes_there
):
    """SciPy 1.17 on Linux ends with signal 11 on these two, found among 8,000 damaged ones."""
    whole, path = mats()[0], tmp_path / "d.mat"
    path.write_bytes(whole[:place] + bytes_there + whole[place + len(bytes_there) :])
    assert refusal(path).startswith(f"{path} is damaged, cut short or not a MATLAB file")


def test_a_mat_that_announces_more_than_it_has(tmp_path, refusal):
    """The official file, broken off: it says 225 MB and has 3 kB."""
    from scipy.io import savemat

    path = tmp_path / "train_32x32.mat"
    savemat(path, {"X": np.zeros((32, 32, 3, 3), np.uint8), "y": np.ones((3, 1))})
    data = path.read_bytes()
    sizes = struct.pack("<iiii", 32, 32, 3, 3)
    path.write_bytes(data.replace(sizes, struct.pack("<iiii", 32, 32, 3, 10_000_000)))
    assert "cannot hold the 30,720,000," in refusal(path)


def test_what_is_no_file_is_refused(tmp_path, refusal):
    os.mkfifo(tmp_path / "d.npy")
    assert "is not a kind of file that holds many images" in refusal(tmp_path / "d.npy")


def test_a_single_number_for_images(tmp_path, refusal):
    np.savez(tmp_path / "d.npz", x=np.uint8(3), y=np.arange(3))
    assert "have the shape a single number" in refusal(tmp_path / "d.npz")


def test_labels_of_characters_that_there_are_not(tmp_path, refusal):
    words = np.array([0x61, 0x110000] * 10, "<u4").view("<U1")
    np.savez(tmp_path / "d.npz", x=np.full((20, 8, 8), 200, np.uint8), y=words)
    assert "'y' has characters that there are not" in refusal(tmp_path / "d.npz")


def test_a_hole_of_128_gigabytes_in_the_place_of_lines(tmp_path):
    with (tmp_path / "d.amat").open("wb") as file:
        file.truncate(1 << 37)
    with pytest.raises(TriptychError, match="have no end of a line"):
        amat.read("train", (tmp_path / "d.amat",), Decoder(Fit()))


@pytest.mark.parametrize("boundary", [reading, partial(foreign, kind="an array")])
def test_what_wants_more_memory_than_there_is_may_be_damaged_or_large(tmp_path, boundary):
    """A page of Parquet may promise 2 GiB, and a machine may have less."""
    said = (
        r"d asks for more memory than there is \(malloc of size 1984351488 failed\); free some, or"
    )
    with pytest.raises(TriptychError, match=said), boundary(tmp_path / "d"):
        raise MemoryError("malloc of size 1984351488 failed")


def test_memory_that_python_itself_does_not_get_is_no_damage(tmp_path):
    """Its own MemoryError has no words."""
    said = r"d asks for more memory than there is \(how much, it was not said\); free some, or"
    with pytest.raises(TriptychError, match=said), foreign(tmp_path / "d", "an array"):
        bytes(10**16)


def test_lines_that_memory_does_not_hold(tmp_path, refusal, monkeypatch):
    """As on a machine with 100 bytes left."""
    monkeypatch.setattr(part, "_memory", lambda: 100)
    (tmp_path / "d.amat").write_bytes(b"0 1 1 0\n" * 20)
    assert "takes 0.0 MB and 0.0 MB of memory are free" in refusal(tmp_path / "d.amat")
