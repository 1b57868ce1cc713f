"""A million images at 32×32 from memory-mapped shards: memory of a process, and seconds to the first batch.

    python benchmarks/million.py [--images 1000000] [--folder DIR] [--only decode first train look] [--keep]

Writes Parquet shards as the hub's library does (every image another one, as BMP, which is quick to make), decodes
them by `triptych.data.load`, and then asks of a fresh process each what the figures are about:

- ``first``: seconds from `load` to the first batch, without views and with SimSiam's;
- ``train``: steps of a small SimSiam across the end of an epoch;
- ``look``: what the monitor does before the first step: of a VAE, and of SimSiam without labels and with them.

RssAnon, the memory that is a process's own and not the files' pages, is read a hundred times a second, and its peak
said. The shards and the cache, 6.4 GB, lie below ``--folder`` and are removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

SIDE, SHARD, CLASSES = 32, 50_000, 10
STEPS, BATCH = 50, 256
ASKED_BYTES, ASKED_SECONDS = 2e9, 2.0
PARTS = ("decode", "first", "train", "look")
STARTED = time.perf_counter()


def write_shards(folder: Path, images: int) -> None:
    """``images`` rows of {bytes, path} and label, no two images the same, in shards of 50,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    shards = -(-images // SHARD)
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list("0123456789")},
    }
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    for shard in range(shards):
        count = min(SHARD, images - shard * SHARD)
        random = np.random.default_rng(shard)
        labels = random.integers(CLASSES, size=count)
        rows = bitmaps(coloured(labels, random))
        offsets = np.arange(0, rows.nbytes + 1, rows.shape[1], dtype=np.int32)
        data = pa.BinaryArray.from_buffers(
            pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(rows)]
        )
        image = pa.StructArray.from_arrays([data, pa.nulls(count, pa.string())], ["bytes", "path"])
        table = pa.table({"image": image, "label": labels}).replace_schema_metadata(about)
        path = folder / f"train-{shard:05d}-of-{shards:05d}.parquet"
        pq.write_table(
            table, path, row_group_size=1000, compression="none", use_dictionary=["label"]
        )


def coloured(labels: npt.NDArray[np.int64], random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Images N×H×W×3 of a few soft patches and some noise, about a colour that their class has."""
    count, patch = len(labels), SIDE // 4
    base = np.random.default_rng(0).integers(64, 160, (CLASSES, 1, 1, 3), dtype=np.uint8)
    soft = base[labels] + random.integers(64, size=(count, 4, 4, 3), dtype=np.uint8)
    return soft.repeat(patch, 1).repeat(patch, 2) + random.integers(
        32, size=(count, SIDE, SIDE, 3), dtype=np.uint8
    )


def bitmaps(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Each image as the bytes of a BMP file, a row each."""
    from io import BytesIO

    from PIL import Image

    one = BytesIO()
    Image.fromarray(images[0]).save(one, "BMP")
    head = np.frombuffer(one.getvalue(), np.uint8)[: -images[0].size]
    # From the bottom up, blue first.
    pixels = images[:, ::-1, :, ::-1].reshape(len(images), -1)
    return np.concatenate([np.broadcast_to(head, (len(images), len(head))), pixels], 1)


def anonymous() -> int:
    """Bytes that this process holds and no file does: RssAnon of Linux."""
    told = Path("/proc/self/status").read_text(encoding="ascii")
    return int(told.split("RssAnon:")[1].split()[0]) * 1024


@contextmanager
def watched() -> Iterator[list[int]]:
    """A list whose last number becomes the peak of `anonymous` within the block."""
    peak, done = [anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak.append(max(peak[-1], anonymous()))
            del peak[:-1]

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield peak
    finally:
        done.set()
        watching.join()


def child(part: str, source: str, variant: str) -> dict[str, float]:
    """What a fresh process does for one part; seconds of what is timed in it, by name."""
    from triptych import Run, experiment
    from triptych.data import DataConfig, load
    from triptych.evaluation.monitor import Monitor
    from triptych.evaluation.subject import Subject
    from triptych.training.loop import TrainState
    from triptych.training.step import Step
    from triptych.types import Moment

    began = time.perf_counter()
    dataset = load(DataConfig(source))
    loaded = time.perf_counter()
    seconds = {"imports": began - STARTED, "load": loaded - began}
    if part == "decode":
        return seconds
    config = experiment.default_config(
        *("vae", None) if variant == "plain" else ("simsiam", "small")
    )
    train = replace(config.train, batch_size=BATCH, device="cpu", compile="off")
    config, method, stream = experiment.prepare(replace(config, train=train), dataset)
    if part == "first":
        stream.batch(0)
        return seconds | {"first batch": time.perf_counter() - began}
    if variant == "unlabelled":
        bare = {name: replace(images, labels=None) for name, images in dataset.splits.items()}
        dataset = replace(dataset, splits=bare)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config.tables())
        state = TrainState(method, stream, run)
        now = time.perf_counter()
        if part == "train":
            total = 2 * stream.batches_per_epoch
            step = Step(
                method,
                stream,
                config.train,
                state.optimizers,
                state.watches,
                state.skip,
                seed=0,
                total=total,
            )
            first = stream.batches_per_epoch - STEPS // 2
            step.begin(first)
            for number in range(first, first + STEPS):
                step(number)
        else:
            monitor = Monitor(Subject(method.eval(), dataset, "none", stream.device), run)
            monitor(Moment(0, 1000, due=True, landmark=True))
        return seconds | {part: time.perf_counter() - now}


def ask(part: str, source: Path, variant: str = "") -> None:
    """Run a part in a process of its own, and print what it says."""
    words = [sys.executable, __file__, "--child", part, str(source), variant]
    ended = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(ended.stdout.splitlines()[-1])
    peak = told.pop("peak")
    times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in told.items())
    over = [] if peak < ASKED_BYTES else ["memory over what was asked"]
    over += ["later than asked"] if told.get("first batch", 0) > ASKED_SECONDS else []
    remark = f" ({', '.join(over)})" if over else ""
    print(f"{part} {variant}: RssAnon at most {peak / 1e9:.2f} GB; {times}{remark}", flush=True)


def main() -> None:
    """Prepare, and ask every part."""
    if sys.argv[1:2] == ["--child"]:
        with watched() as peak:
            seconds = child(*sys.argv[2:5])
        print(json.dumps({**seconds, "peak": peak[-1]}))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "triptych-million"
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument(
        "--keep", action="store_true", help="leave shards and cache for a next time"
    )
    chosen = parser.parse_args()
    source = chosen.folder / f"images-{chosen.images}"
    os.environ["TRIPTYCH_CACHE"] = str(chosen.folder / "cache")
    try:
        if not source.is_dir():
            began = time.perf_counter()
            write_shards(source, chosen.images)
            print(
                f"{chosen.images:,} images written in {time.perf_counter() - began:.0f} s",
                flush=True,
            )
        # Whatever is asked for is asked of what has been decoded.
        ask("decode", source)
        if "first" in chosen.only:
            ask("first", source, "plain")
            ask("first", source, "views")
        if "train" in chosen.only:
            ask("train", source, "views")
        if "look" in chosen.only:
            ask("look", source, "plain")
            ask("look", source, "unlabelled")
            ask("look", source, "labelled")
    finally:
        if not chosen.keep:
            shutil.rmtree(chosen.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
