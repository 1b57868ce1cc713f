"""Writers of the official layouts, a private cache, and the sentence of an error."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from triptych.data import DataConfig, load
from triptych.errors import TriptychError

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "triptych-cache"
    monkeypatch.setenv("TRIPTYCH_CACHE", str(folder))
    monkeypatch.delenv("TRIPTYCH_DATA", raising=False)
    return folder


@pytest.fixture
def random_images() -> Callable[..., Pixels]:
    """N×H×W×C (or N×H×W) of random bytes, the same for the same shape."""

    def make(*shape: int) -> Pixels:
        return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)

    return make


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """One image as the bytes of a file."""

    def make(pixels: Pixels, kind: str = "PNG", **options: Any) -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind, **options)
        return out.getvalue()

    return make


@pytest.fixture
def parquet(encode: Callable[..., bytes]) -> Callable[..., None]:
    """Parquet as the hub writes it, class names in the schema's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def make(
        path: Path,
        images: Sequence[Pixels | bytes],
        labels: Sequence[int] | None = None,
        column: str = "image",
        names: Sequence[str] | None = None,
        kind: str = "PNG",
    ) -> None:
        rows = [x if isinstance(x, bytes) else encode(x, kind) for x in images]
        struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns: dict[str, Any] = {
            column: pa.array([{"bytes": row, "path": None} for row in rows], struct)
        }
        features: dict[str, Any] = {column: {"_type": "Image"}}
        if labels is not None:
            columns["label"] = pa.array(labels, pa.int64())
            features["label"] = {"names": names, "_type": "ClassLabel"}
        described = json.dumps({"info": {"features": features}})
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(columns).replace_schema_metadata({"huggingface": described})
        pq.write_table(table, path, row_group_size=7)

    return make


@pytest.fixture
def idx() -> Callable[[Path, Pixels], None]:
    """An IDX file of bytes; gzipped if its name says so."""

    def make(path: Path, array: Pixels) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        sizes = np.array(array.shape, dtype=">u4").tobytes()
        data = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)

    return make


@pytest.fixture
def mat() -> Callable[[Path, Pixels, npt.NDArray[Any]], None]:
    """SVHN's layout: X of H×W×3×N, y of N×1 in which 10 stands for 0."""
    from scipy.io import savemat

    def make(path: Path, images: Pixels, labels: npt.NDArray[Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        digits = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
        savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": digits}, do_compression=True)

    return make


@pytest.fixture
def amat() -> Callable[[Path, Pixels], None]:
    """Lines of 0 and 1 separated by single spaces."""

    def make(path: Path, bits: Pixels) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (" ".join(map(str, image)) for image in bits.reshape(len(bits), -1))
        path.write_text("".join(line + "\n" for line in lines))

    return make


@pytest.fixture
def pictures(encode: Callable[..., bytes]) -> Callable[..., None]:
    """PNG files 000.png, 001.png, ... in a folder."""

    def make(folder: Path, images: Sequence[Pixels]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for place, image in enumerate(images):
            (folder / f"{place:03}.png").write_bytes(encode(image))

    return make


@pytest.fixture
def refusal() -> Callable[..., str]:
    """The sentence with which a data set is refused."""

    def make(name: str | Path, **options: Any) -> str:
        with pytest.raises(TriptychError) as raised:
            load(DataConfig(str(name), **options))
        message = str(raised.value)
        assert "\n" not in message
        return message

    return make
