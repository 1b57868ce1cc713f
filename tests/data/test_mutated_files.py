"""Files with damage drawn at random: the data or one sentence, and nothing else, ever.

Every draw has a seed, which a failure names. TRIPTYCH_MUTATIONS=20000 makes a long run of it.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from triptych.data import DataConfig, load
from triptych.data.images import Decoder
from triptych.data.picture import Fit
from triptych.errors import TriptychError

ROUNDS = int(os.environ.get("TRIPTYCH_MUTATIONS", "60"))
IMAGES = {
    "PNG": ("L", "RGB", "RGBA", "P", "1", "I;16", "LA"),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("L", "P"),
    "BMP": ("L", "RGB", "P", "1"),
    "TIFF": ("L", "RGB", "I;16", "F", "CMYK", "LAB"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("L", "RGB", "1", "I;16"),
    "TGA": ("L", "RGB", "RGBA", "P"),
    "JPEG2000": ("L", "RGB"),
    "AVIF": ("RGB",),
    # These are not read, whatever their suffix; nor may they do harm.
    "ICO": ("RGB",),
    "DDS": ("RGB",),
    "EPS": ("RGB",),
    "PCX": ("RGB",),
    "SGI": ("RGB",),
}


def mutate(data: bytes, draw: random.Random) -> bytes:
    """One to four of: bits turned, bytes overwritten, a slice cut out, doubled or moved, the end lost."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        # Headers and footers are where a parser decides; damage is drawn to them.
        size = max(1, len(changed))
        place = draw.choice(
            (
                draw.randrange(size),
                draw.randrange(min(size, 64)),
                size - 1 - draw.randrange(min(size, 600)),
            )
        )
        length = draw.choice((1, 2, 4, 16, 200))
        piece = changed[place : place + length]
        match draw.randrange(6):
            case 0:
                for _ in range(draw.choice((1, 3, 20))):
                    changed[draw.randrange(len(changed))] ^= (
                        1 << draw.randrange(8) if changed else 0
                    )
            case 1:
                changed[place : place + length] = draw.choice((b"\xff", b"\0", b"\x7f")) * length
            case 2:
                changed[place : place + length] = draw.randbytes(len(piece))
            case 3:
                del changed[place : place + length]
            case 4:
                changed[place:place] = piece * draw.choice((1, 50))
            case _:
                del changed[place:]
        if not changed:
            break
    return bytes(changed)


def tables() -> dict[str, bytes]:
    """Small Parquet files, each of another kind inside."""
    rng = np.random.default_rng(0)
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": encoded("PNG", "L", rng), "path": f"{i}.png"} for i in range(20)]
    columns = {"image": pa.array(rows, struct), "label": [i % 2 for i in range(20)]}
    features = {"image": {"_type": "Image"}, "label": {"names": ["a", "b"], "_type": "ClassLabel"}}
    told = json.dumps({"info": {"features": features}})
    words = columns | {
        "label": pa.array([["x", "yy"][i % 2] for i in range(20)]).dictionary_encode()
    }
    named = pa.table(columns).replace_schema_metadata({"huggingface": told})
    return {
        "plain": written(named, compression="none", use_dictionary=False),
        "snappy": written(named, row_group_size=7),
        "zstd": written(named, compression="zstd", data_page_version="2.0"),
        "words": written(pa.table(words), compression="gzip"),
        "checked": written(named, write_page_checksum=True, store_schema=False),
    }


def written(table: pa.Table, **options) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def encoded(kind: str, mode: str, rng: np.random.Generator) -> bytes:
    levels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    if mode == "F":
        image = Image.fromarray((levels[..., 0] / 255).astype(np.float32))
    elif mode == "I;16":
        image = Image.fromarray(levels[..., 0].astype(np.uint16) * 257)
    elif mode == "LAB":
        image = Image.frombytes("LAB", (12, 12), levels.tobytes())
    else:
        image = Image.fromarray(levels).convert(mode)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Read in this process: what a parser does to it is to be seen, and to begin one for each file takes half a second."""
    monkeypatch.setattr(sys, "executable", "")


def read_or_refuse(path) -> bool:
    """Whether the data could be read; anything but that and a sentence is an error of the test."""
    said = ""
    try:
        load(DataConfig(str(path)))
    except TriptychError as why:
        said = str(why)
    assert not said or said.isprintable()
    return not said


@pytest.mark.parametrize("kind", sorted(tables()))
def test_parquet(tmp_path, cache, kind):
    whole = tables()[kind]
    path = tmp_path / "train.parquet"
    path.write_bytes(whole)
    assert read_or_refuse(path)
    read = 0
    for seed in range(ROUNDS):
        path.write_bytes(mutate(whole, random.Random(f"{kind} {seed}")))
        try:
            read += read_or_refuse(path)
        except BaseException as why:
            why.add_note(f"{kind} {seed}")
            raise
        shutil.rmtree(cache, ignore_errors=True)
    # Some damage hits what nobody reads, most does not: both paths were taken.
    assert 0 < read < ROUNDS


def odd_metadata() -> dict[str, object]:
    names = (
        {"0": "a"},
        [1, 2],
        ["a"],
        [None, "b"],
        ["a", "a"],
        [["a"], "b"],
        "ab",
        7,
        [],
        ["\ud800", "b"],
    )
    odd: dict[str, object] = {
        f"names {i}": json.dumps({"info": {"features": {"label": {"names": some}}}})
        for i, some in enumerate(names)
    }
    return odd | {
        "deep": "[" * 10_000 + "]" * 10_000,
        "deep objects": '{"info":' * 10_000 + "1" + "}" * 10_000,
        "list": "[1]",
        "text": "{",
        "number": "9" * 5_000,
        "no utf-8": b"\xff\xfe{",
        "null": "null",
        "features 3": '{"info": {"features": 3}}',
        "info null": '{"info": null}',
        "label null": '{"info": {"features": {"label": null, "image": [1]}}}',
        "type": '{"info": {"features": {"label": {"_type": ["ClassLabel"]}}}}',
        "image type": '{"info": {"features": {"image": {"_type": {"a": 1}}}}}',
    }


@pytest.mark.parametrize("metadata", odd_metadata().values(), ids=odd_metadata().keys())
def test_odd_metadata(tmp_path, metadata):
    table = pq.read_table(io.BytesIO(tables()["plain"]))
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "d.parquet")
    read_or_refuse(tmp_path / "d.parquet")


@pytest.mark.parametrize("kind", IMAGES)
def test_images(kind):
    """Each is decoded, or named with the reason; the reason is printable and no exception's traceback."""
    rng = np.random.default_rng(0)
    decoder = Decoder(Fit(size=(8, 8), colour="rgb", skip_broken=True))
    for mode in IMAGES[kind]:
        whole = encoded(kind, mode, rng)
        damaged = [
            (f"{mode} {seed}", mutate(whole, random.Random(f"{kind} {mode} {seed}")))
            for seed in range(ROUNDS)
        ]
        blocks = list(decoder.encoded([("whole", encoded("PNG", "RGB", rng)), *damaged]))
        assert sum(map(len, blocks)) == ROUNDS + 1
        assert 0 not in decoder.gaps
    assert all(why and why.isprintable() for _, why in decoder.broken)
    assert decoder.broken


def test_every_kind_of_image_that_is_read_is_tried():
    from triptych.data.picture import FORMATS

    assert set(FORMATS) <= IMAGES.keys() | {"MPO", "DIB"}
