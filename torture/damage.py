"""What is done to a file: bytes turned, cut and doubled, and values of a known format that are of another kind or size.

Every change follows from ``draw``. What a change cannot parse any more, as it was changed before, it changes as bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import random
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import numpy as np

__all__ = [
    "Change",
    "archive",
    "array",
    "array_bytes",
    "binary",
    "checkpoint",
    "columns",
    "described",
    "gzipped",
    "lines",
    "table",
    "tree",
]

Change = Callable[[bytes, random.Random], bytes]

NUMBERS = (0, 1, 2, 3, 7, 20, 255, 0x7FFF, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

WRITTEN = (
    *(b"0", b"-1", b"3", b"20", b"65536", b"4294967296", b"9223372036854775807", b"1" + 40 * b"0"),
    *(
        b"1e308",
        b"-0.0",
        b"nan",
        b"(",
        b"'O'",
        b"'V'",
        b"'c16'",
        b"'f2'",
        b"'U9'",
        b"None",
        b"True",
    ),
)
"""In the place of a number that a header says in words."""

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 3, 7, 10**6, 10**12, 10**30, -(10**18), 2**63, 2**63 - 1, 1e308, -1e-320),
    *(0.5, float("nan"), float("inf"), float("-inf"), "", "text", "3", "nan", "last", "untrained"),
    *("\x1b[2J\x1b[31m", "[/x] [red]", "\ud800", "../../x", "/dev/zero", "a" * 5000, "١٢", "\0"),
    *(
        "<script>alert(1)</script>",
        "vae",
        "wgan",
        "simsiam",
        "auto",
        "cuda",
        "3 steps",
        "1e9 epochs",
    ),
    *([], {}, [1, "a", None], [[]], {"a": {"a": {"a": []}}}, {"": 1}, list(range(300))),
    *([0, 0, 0], [1, 8, 8], [-1, 8, 8], [10**9] * 3, ["a"], {"value": 1}),
)
"""What no reader expects in the place of another thing."""

TOKENS = (
    *(b"", b"\0", b"\xff\xfe", b"{}", b"[]", b"null", b"[" * 9000, b'{"a":' * 9000, b"NaN"),
    *(b"1e999", b"9" * 5000, b"\n", b'"', b"}", b",", b"\r\n", b"\xef\xbb\xbf", b"\x1b[31m"),
    *(b"\xed\xa0\x80", b"'''", b'"""', b"#", b"=", b".", b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
)
"""Pieces that break a text, or a parser."""

TOML = (
    *(b"a = [", b"[x]\n", b"[[x]]\n", b"seed = 0x" + b"f" * 9000, b"seed = nan", b"seed = -1"),
    *(b"name = 3", b"a." * 900 + b"b = 1", b"a = " + b"[" * 3000 + b"]" * 3000, b"[a.b.c.d]"),
    *(b"seed = 1979-05-27", b'name = "\\u001b[31m"', b"method = 3", b'method_name = "wgan"'),
    *(b"[method]", b"[data]", b"[train]", b"[[method]]", b"data = 1979-05-27T07:32:00Z", b"x = {}"),
)


def binary(data: bytes, draw: random.Random) -> bytes:
    """One to four of: bits turned, cut off, a piece doubled, taken out, drawn or blanked, a number replaced."""
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        # Headers, and directories at the end, are where a parser decides.
        size = max(1, len(data))
        near, far = draw.randrange(min(size, 300)), size - 1 - draw.randrange(min(size, 600))
        place = draw.choice((draw.randrange(size), near, far))
        length = draw.choice((1, 2, 4, 8, 30, 300))
        data = _changed(data, place, length, draw)
    return data


def _changed(data: bytes, place: int, length: int, draw: random.Random) -> bytes:
    before, piece, after = data[:place], data[place : place + length], data[place + length :]
    match draw.randrange(9):
        case 0 | 1:
            flip = 1 << draw.randrange(8)
            return before + bytes(b ^ flip for b in piece[:1]) + data[place + 1 :]
        case 2:
            return before
        case 3:
            return before + piece * draw.choice((2, 3, 50)) + after
        case 4:
            return before + after
        case 5:
            order, kind = draw.choice("<>"), draw.choice("HIQ")
            number = draw.choice(NUMBERS) & (0xFFFF if kind == "H" else 0xFFFFFFFF)
            packed = struct.pack(order + kind, number)
            return before + packed + data[place + len(packed) :]
        case 6:
            return before + draw.choice((b"\xff", b"\0", b"\x7f")) * length + after
        case 7:
            return before + draw.randbytes(len(piece)) + after
    return _number(data, draw)


def _number(data: bytes, draw: random.Random) -> bytes:
    """One of the numbers that a header says in words is another."""
    found = list(re.finditer(rb"\d+", data[:400]))
    if not found:
        return data
    begin, end = draw.choice(found).span()
    return data[:begin] + draw.choice(WRITTEN) + data[end:]


def _text(data: bytes, draw: random.Random) -> bytes:
    """Bits turned, a piece put in or cut out, the end lost, or nothing left."""
    place = draw.randrange(len(data) + 1)
    match draw.randrange(6):
        case 0:
            return binary(data, draw)
        case 1 | 2:
            return data[:place] + draw.choice(TOKENS) + data[place:]
        case 3:
            return data[:place] + data[min(len(data), place + draw.choice((1, 2, 40, 5000))) :]
        case 4:
            return data[:place]
    return draw.choice(TOKENS)


def _parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where everything is in a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(min(len(value), 20)):
            yield from _parts(value[key], (*path, key))


def _value(value: Any, draw: random.Random) -> Any:
    """The same, changed in place, with one part another, missing, or called differently."""
    path = draw.choice(list(_parts(value)))
    if not path:
        return draw.choice(ODD)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    kind, key = draw.random(), path[-1]
    if kind < 0.7:
        inner[key] = draw.choice(ODD)
    elif kind < 0.85 or not isinstance(inner, dict):
        del inner[key]
    else:
        inner[str(draw.choice(ODD))[:300]] = inner.pop(key)
    return value


def _several(value: Any, draw: random.Random) -> Any:
    for _ in range(draw.choice((1, 1, 2, 3))):
        value = _value(value, draw)
    return value


def tree(data: bytes, draw: random.Random) -> bytes:
    """A JSON text with one to three parts changed, or its bytes."""
    if draw.random() < 0.25:
        return _text(data, draw)
    try:
        return json.dumps(_several(json.loads(data), draw)).encode()
    except (ValueError, RecursionError):
        return _text(data, draw)


def lines(data: bytes, draw: random.Random) -> bytes:
    """A log of which some lines are others."""
    if draw.random() < 0.25:
        return _text(data, draw)
    every = data.split(b"\n")
    for _ in range(draw.choice((1, 1, 3))):
        number = draw.randrange(len(every))
        every[number] = tree(every[number], draw)
    return b"\n".join(every)


def table(data: bytes, draw: random.Random) -> bytes:
    """A TOML text of which a line says something else, stands elsewhere, or is not there."""
    kind = draw.random()
    if kind < 0.25:
        return _text(data, draw)
    every = data.split(b"\n")
    for _ in range(draw.choice((1, 1, 2))):
        number = draw.randrange(len(every))
        name = every[number].partition(b"=")[0]
        match draw.randrange(5):
            case 0:
                every[number] = draw.choice(TOML)
            case 1:
                every.insert(draw.randrange(len(every)), every.pop(number))
            case 2:
                every.insert(number, every[draw.randrange(len(every))])
            case _:
                every[number] = name + b"= " + _toml(draw.choice(ODD))
    return b"\n".join(every)


def _toml(value: Any) -> bytes:
    if isinstance(value, dict):
        inner = b", ".join(json.dumps(k).encode() + b" = " + _toml(v) for k, v in value.items())
        return b"{" + inner + b"}"
    if isinstance(value, list):
        return b"[" + b", ".join(map(_toml, value)) + b"]"
    return json.dumps(value).encode().replace(b"Infinity", b"inf").replace(b"NaN", b"nan")


def gzipped(change: Change) -> Change:
    """A change of what is in a .gz, or of the .gz itself."""

    def packed(data: bytes, draw: random.Random) -> bytes:
        if draw.random() < 0.3:
            return binary(data, draw)
        try:
            return gzip.compress(change(gzip.decompress(data), draw), 1)
        except (OSError, EOFError, ValueError, struct.error, Exception):
            return binary(data, draw)

    return packed


def array_bytes(values: np.ndarray, **options: Any) -> bytes:
    """An .npy."""
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(values), **options)
    return out.getvalue()


def _odd_array(draw: random.Random) -> np.ndarray:
    """An array of any type and shape, filled with what it can hold."""
    kind = draw.choice(
        (
            "u1",
            "i1",
            "u2",
            "i8",
            "u8",
            "f2",
            "f4",
            "f8",
            "g",
            "c8",
            "?",
            "U3",
            "S3",
            "V2",
            "M8[s]",
            "m8[D]",
        )
    )
    sides = [draw.choice((0, 1, 2, 3, 4, 8, 20)) for _ in range(draw.randrange(6))]
    bits = draw.randbytes(min(4096, math.prod(sides) * np.dtype(kind).itemsize))
    made = np.zeros(sides, kind)
    if kind[0] not in "?U" and draw.random() < 0.7:
        flat = made.reshape(-1).view("u1")
        flat[: len(bits)] = np.frombuffer(bits, "u1")[: flat.size]
    return np.asfortranarray(made) if draw.random() < 0.2 else made


def _header(data: bytes, draw: random.Random) -> bytes:
    """An .npy whose header says another shape, type or order, well formed."""
    size = int.from_bytes(data[8:10], "little")
    shape = tuple(
        draw.choice((0, 1, 3, 8, 20, -1, 2**31, 2**63, 10**30)) for _ in range(draw.randrange(6))
    )
    kind = draw.choice(
        ("|u1", "<i2", ">f4", "<f8", "|O", "|V0", "<U0", "|S1", "<c8", "|b1", ",", "<M8[s]")
    )
    descr: Any = draw.choice(
        (kind, kind, kind, [("a", kind)], [("a", kind, (2,))], (kind, (3,)), None, 7)
    )
    told = {"descr": descr, "fortran_order": draw.choice((False, True, None, 1)), "shape": shape}
    if draw.random() < 0.3:
        told.pop(draw.choice(list(told)))
    text = repr(told).encode() + b" " * draw.choice((0, 10, 60)) + b"\n"
    version = draw.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\4\0"))
    length = struct.pack("<H" if version == b"\1\0" else "<I", len(text))
    return data[:6] + version + length + text + data[10 + size :]


def array(data: bytes, draw: random.Random) -> bytes:
    """An .npy: its bytes, its header, or another array altogether."""
    match draw.randrange(4):
        case 0:
            return _header(data, draw)
        case 1:
            return array_bytes(_odd_array(draw))
    return binary(data, draw)


NAMES = (
    *(
        "x",
        "y",
        "x_train",
        "y_train",
        "x_test",
        "y_test",
        "xTrain",
        "images",
        "labels",
        "label_names",
    ),
    *(
        "classes",
        "train/x",
        "X_TRAIN",
        "val_images",
        "image_ids",
        "holdout",
        " ",
        "\x1b[31m",
        "é",
        "a" * 300,
    ),
    *("made_with", "coordinates", "../x", "/x", "step", "x_train_masks", "targets", "names"),
)


def archive(data: bytes, draw: random.Random) -> bytes:
    """An .npz: its bytes, a member, the names, or how it is compressed."""
    if draw.random() < 0.35:
        return binary(data, draw)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            if sum(info.file_size for info in file.infolist()) > 1 << 22:
                return binary(data, draw)
            members = {name: file.read(name) for name in file.namelist()}
    except Exception:
        # What was changed before may be no archive any more, in any of the ways that zipfile knows.
        return binary(data, draw)
    for _ in range(draw.choice((1, 1, 2))):
        name = draw.choice(list(members) or [""])
        match draw.randrange(5):
            case 0 | 1 if name:
                members[name] = array(members[name], draw)
            case 2 if name:
                members[draw.choice(NAMES) + draw.choice((".npy", ".npy", ""))] = members.pop(name)
            case 3:
                members.pop(name, None)
            case _:
                members[draw.choice(NAMES) + ".npy"] = array_bytes(_odd_array(draw))
    method = draw.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, inner in members.items():
            file.writestr(name, inner)
    return out.getvalue()


def described(data: bytes, draw: random.Random) -> bytes:
    """An .npz of a run folder, of which the JSON that says its weights may be another."""
    if draw.random() < 0.6:
        return archive(data, draw)
    told = {"checkpoint": "last", "step": 6, "weights": "0a1b"}
    text = tree(json.dumps(told).encode(), draw).decode("utf-8", "replace")
    out = io.BytesIO()
    np.savez(out, images=np.zeros((2, 3)), made_with=np.array(text))
    return out.getvalue()


KINDS = {
    **{
        "F64": "torch.float64",
        "F32": "torch.float32",
        "F16": "torch.float16",
        "BF16": "torch.bfloat16",
    },
    **{"I64": "torch.int64", "I32": "torch.int32", "I16": "torch.int16", "I8": "torch.int8"},
    **{"U8": "torch.uint8", "BOOL": "torch.bool", "C64": "torch.complex64", "U64": "torch.uint64"},
}
"""Names of types in a checkpoint's header and in its checksum."""

SIZES = {"F64": 8, "I64": 8, "C64": 8, "U64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}


def checkpoint(data: bytes, draw: random.Random) -> bytes:
    """Bytes, or other tensors or another description, with offsets and a checksum that are right."""
    if draw.random() < 0.3:
        return binary(data, draw)
    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        text = header["__metadata__"]["about"]
        tensors = _tensors(header, data[8 + size :])
        if draw.random() < 0.5:
            text = json.dumps(_described(json.loads(text), draw))
        else:
            _other(tensors, draw)
        return _packed(tensors, text)
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        return binary(data, draw)


def _described(told: Any, draw: random.Random) -> Any:
    """Another description; of the config, which is most of it and only compared, as often as of all the rest."""
    kept = {"config": told.pop("config")} if "config" in told and draw.random() < 0.6 else {}
    changed = _several(told, draw)
    return {**changed, **kept} if isinstance(changed, dict) else changed


def _tensors(header: dict[str, Any], body: bytes) -> dict[str, tuple[str, list[int], bytes]]:
    return {
        name: (of["dtype"], of["shape"], body[slice(*of["data_offsets"])])
        for name, of in header.items()
        if name != "__metadata__"
    }


def _other(tensors: dict[str, tuple[str, list[int], bytes]], draw: random.Random) -> None:
    """One tensor is missing, called otherwise, of another shape or type, or of other numbers."""
    name = draw.choice(list(tensors))
    kind, shape, values = tensors[name]
    match draw.randrange(6):
        case 0:
            del tensors[name]
        case 1:
            tensors[draw.choice([*tensors, "weights.x", "optimizer.x", "watch.x", "", "é\x1b"])] = (
                tensors.pop(name)
            )
        case 2:
            shape = draw.choice(([], [0], [1], [1, *shape], shape[::-1], [3, 0, 2], [*shape, 2]))
            tensors[name] = kind, list(shape), b"\0" * math.prod(shape) * SIZES.get(kind, 1)
        case 3:
            kind = draw.choice(list(KINDS))
            tensors[name] = kind, shape, b"\1" * math.prod(shape) * SIZES.get(kind, 1)
        case 4:
            piece = draw.choice(
                (b"\xff\xff\xc0\x7f", b"\0\0\x80\x7f", b"\0\0\x80\xbf", b"\0\0\0\x80")
            )
            tensors[name] = kind, shape, (piece * len(values))[: len(values)]
        case _:
            tensors[name] = kind, shape, draw.randbytes(len(values))


def _packed(tensors: dict[str, tuple[str, list[int], bytes]], text: str) -> bytes:
    """As safetensors lays it out and `triptych.checkpoint` sums it."""
    digest = sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        kind, shape, values = tensors[name]
        digest.update(f"{name} {KINDS[kind]} {tuple(shape)}".encode("utf-8", "surrogatepass"))
        digest.update(values)
    header: dict[str, Any] = {"__metadata__": {"about": text, "sha256": digest.hexdigest()}}
    body, place = [], 0
    # The widest first, as the format asks for places that fit the types.
    for name in sorted(tensors, key=lambda name: (-SIZES.get(tensors[name][0], 1), name)):
        kind, shape, values = tensors[name]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [place, place + len(values)]}
        body.append(values)
        place += len(values)
    again = json.dumps(header).encode()
    again += b" " * (-len(again) % 8)
    return struct.pack("<Q", len(again)) + again + b"".join(body)


def columns(data: bytes, draw: random.Random) -> bytes:
    """A Parquet file: its bytes, or other columns, types, names and metadata of the same rows, well formed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if draw.random() < 0.7:
        return binary(data, draw)
    try:
        found = pq.read_table(io.BytesIO(data))
        picture = found.column("image").combine_chunks().to_pylist()[0]
    except Exception:
        # pyarrow knows as many errors as there are ways to be damaged.
        return binary(data, draw)
    rows = draw.choice((0, 1, 20, 20, 300))
    files: list[Any] = [
        draw.choice((picture, picture, None, {"bytes": b"", "path": "x\x1b.png"}))
        for _ in range(rows)
    ]
    labels = draw.choice(
        (
            *([k % 2 for k in range(rows)], [None] * rows, [0.5] * rows, [2.0**70] * rows),
            *(
                ["a\x1b[31m"] * rows,
                [float("nan")] * rows,
                [True] * rows,
                [[1]] * rows,
                [-1] * rows,
            ),
            *([2**62 + k for k in range(rows)], [b"\xff"] * rows, [{"a": 1}] * rows),
        )
    )
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "image": pa.array(files, struct),
        draw.choice(("label", "target", "fine_label", "x")): pa.array(labels),
    }
    if draw.random() < 0.2:
        columns["mask"] = columns["image"]
    names = {"label": {"names": draw.choice(ODD), "_type": draw.choice(("ClassLabel", *ODD[:9]))}}
    told = json.dumps({"info": {"features": draw.choice((names, *ODD))}}).encode()
    made = pa.table(columns).replace_schema_metadata({"huggingface": draw.choice((told, *TOKENS))})
    out = io.BytesIO()
    with_dictionary, pages = draw.random() < 0.5, draw.choice(("1.0", "2.0"))
    packed = draw.choice(("none", "snappy", "gzip", "zstd"))
    pq.write_table(
        made,
        out,
        compression=packed,
        use_dictionary=with_dictionary,
        data_page_version=pages,
        row_group_size=draw.choice((1, 7, 1000)),
    )
    return out.getvalue()
