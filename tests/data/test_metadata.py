"""What the hub's library writes beside the columns of a Parquet file, as nobody writes it: the data or one sentence."""

from __future__ import annotations

import io
import json

import pyarrow.parquet as pq
import pytest
from specimens import tables

from triptych.data import DataConfig, load
from triptych.errors import TriptychError


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
    table = pq.read_table(io.BytesIO(tables()[0]))
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), tmp_path / "d.parquet")
    said = ""
    try:
        load(DataConfig(str(tmp_path / "d.parquet")))
    except TriptychError as why:
        said = str(why)
    assert not said or said.isprintable()
