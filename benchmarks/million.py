"""A million images at 32×32: memory of a process in all that is done with them, and seconds to the first batch.

    python benchmarks/million.py [--images 1000000] [--format parquet|npy|folder] [--folder DIR] [--keep]
                                 [--only first epoch look train evaluate statistics] [--methods vae wgan simsiam]

Writes images, every one another: Parquet shards as the hub's library does (as BMP, which is quick to make) and PNG files
with a folder a class, both labelled, or one .npy, which has no labels. Decodes them by `triptych.data.load`, and then
asks of a fresh process each what the figures are about:

- ``first``: seconds from `load` to the first batch, without views and with SimSiam's;
- ``epoch``: steps of a small SimSiam across the end of an epoch;
- ``look``: what the monitor does before the first step: of a VAE, and of SimSiam without labels and with them;
- ``train``: ``triptych train`` itself, 40 steps with the looks at 0, 20 and 40, of each of ``--methods``;
- ``evaluate``: ``triptych evaluate`` of those, 10 importance samples an image where there is a likelihood;
- ``probes``: of that the linear probes of SimSiam alone, which hold most and do not take hours at a million;
- ``statistics``: ``triptych data info``, levels and copies included.

RssAnon, the memory that is a process's own and not the files' pages, is read fifty times a second, that of processes
which it begins added, and its peak said. Images and cache, 6.4 GB for a million, lie below ``--folder`` and are removed
at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

SIDE, SHARD, CLASSES = 32, 50_000, 10
STEPS, BATCH = 50, 256
ASKED_BYTES, ASKED_SECONDS = 2e9, 2.0
PARTS = ("first", "epoch", "look", "train", "evaluate", "probes", "statistics")
STEPS_OF_A_RUN = 40
SHORT = ("--steps", str(STEPS_OF_A_RUN), "--validate-every", "20 steps", "--compile", "off")
SMALL = {
    "vae": ["--batch-size", "256"],
    "wgan": ["--preset", "small"],
    "simsiam": ["--preset", "small"],
}
"""The methods that are trained and measured, and their options."""
STARTED = time.perf_counter()


def made(images: int) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]]:
    """``images`` of them with their labels, no two the same, 50,000 at a time."""
    for start in range(0, images, SHARD):
        random = np.random.default_rng(start // SHARD)
        labels = random.integers(CLASSES, size=min(SHARD, images - start))
        yield coloured(labels, random), labels


def write_npy(file: Path, images: int) -> None:
    """One array of the images; such a file has no labels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = (images, SIDE, SIDE, 3)
    every = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
    for number, (pixels, _) in enumerate(made(images)):
        every[number * SHARD : number * SHARD + len(pixels)] = pixels
    every.flush()


def write_folder(folder: Path, images: int) -> None:
    """A PNG file an image, in a folder a class."""
    from PIL import Image

    for label in range(CLASSES):
        (folder / str(label)).mkdir(parents=True)
    number = 0
    for pixels, labels in made(images):
        for image, label in zip(pixels, labels, strict=True):
            # Stored rather than packed: it is decoding that is asked about, and packing takes longer.
            Image.fromarray(image).save(folder / f"{label}/{number:07d}.png", compress_level=0)
            number += 1


def write_shards(folder: Path, images: int) -> None:
    """``images`` rows of {bytes, path} and label in shards of 50,000."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    shards = -(-images // SHARD)
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": list("0123456789")},
    }
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    for shard, (pixels, labels) in enumerate(made(images)):
        count, rows = len(labels), bitmaps(pixels)
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


WRITERS = {"parquet": write_shards, "npy": write_npy, "folder": write_folder}


def anonymous(process: int) -> int:
    """Bytes that a process holds and no file does: RssAnon of Linux; 0 of one that is gone."""
    try:
        told = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        return int(told.split("RssAnon:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return 0


def family(process: int) -> list[int]:
    """A process and all that it began, and these in turn."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name stands in brackets and may have anything in it.
            parent = int(
                path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1]
            )
        except (OSError, IndexError):
            continue
        parents[int(path.parent.name)] = parent
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def watched(process: subprocess.Popen[str]) -> int:
    """The peak of `anonymous`, of a process and what it begins, until it has ended."""
    peak, turn, members = 0, 0, [process.pid]
    while process.poll() is None:
        if turn % 25 == 0:
            members = family(process.pid)
        peak, turn = max(peak, sum(map(anonymous, members))), turn + 1
        time.sleep(0.02)
    return peak


def child(part: str, source: str, variant: str) -> dict[str, float]:
    """What a fresh process does for one part; seconds of what is timed in it, by name."""
    from triptych import Run, experiment
    from triptych.data import DataConfig, load
    from triptych.evaluation.monitor import Monitor
    from triptych.evaluation.representation.probe import probe
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
        if part == "epoch":
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
            subject = Subject(method.eval(), dataset, "none", stream.device, weights="untrained")
            if part == "probes":
                probe(subject, "test")
            else:
                Monitor(replace(subject, weights=""), run)(Moment(0, 1000, due=True, landmark=True))
        return seconds | {part: time.perf_counter() - now}


def said(part: str, peak: int, times: str, late: bool = False) -> None:
    """Print what a part took, and what is more than was asked."""
    over = [] if peak < ASKED_BYTES else ["memory over what was asked"]
    over += ["later than asked"] if late else []
    remark = f" ({', '.join(over)})" if over else ""
    print(f"{part}: RssAnon at most {peak / 1e9:.2f} GB; {times}{remark}", flush=True)


def ask(part: str, source: Path, variant: str = "") -> None:
    """Run a part in a process of its own, and print what it says."""
    words = [sys.executable, __file__, "--child", part, str(source), variant]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        with subprocess.Popen(words, stdout=out, text=True) as process:
            peak = watched(process)
        if process.returncode:
            raise SystemExit(f"{part} {variant} ended with exit code {process.returncode}")
        out.seek(0)
        told = json.loads(out.read().splitlines()[-1])
    times = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in told.items())
    said(f"{part} {variant}", peak, times, told.get("first batch", 0) > ASKED_SECONDS)


def command(name: str, log: Path, *words: str | Path) -> None:
    """Run a command of Triptych in a process of its own, and print what it took."""
    began = time.perf_counter()
    with (
        log.open("a", encoding="utf-8") as out,
        subprocess.Popen(
            [sys.executable, "-m", "triptych", *map(str, words)], stdout=out, stderr=out, text=True
        ) as process,
    ):
        peak = watched(process)
    if process.returncode:
        raise SystemExit(f"{name} ended with exit code {process.returncode}; see {log}")
    said(name, peak, f"{time.perf_counter() - began:.0f} s")


def main() -> None:
    """Prepare, and ask every part."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(*sys.argv[2:5])))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--format", choices=WRITERS, default="parquet")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "triptych-million"
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--methods", nargs="*", choices=SMALL, default=list(SMALL))
    parser.add_argument(
        "--keep", action="store_true", help="leave images and cache for a next time"
    )
    chosen = parser.parse_args()
    end = ".npy" if chosen.format == "npy" else ""
    source = chosen.folder / f"{chosen.format}-{chosen.images}{end}"
    os.environ["TRIPTYCH_CACHE"] = str(chosen.folder / "cache")
    try:
        if not source.exists():
            began = time.perf_counter()
            WRITERS[chosen.format](source, chosen.images)
            print(
                f"{chosen.images:,} images written as {chosen.format} "
                f"in {time.perf_counter() - began:.0f} s",
                flush=True,
            )
        # Whatever is asked for is asked of what has been decoded.
        ask("decode", source)
        asked(chosen.only, chosen.methods, source)
    finally:
        if not chosen.keep:
            shutil.rmtree(chosen.folder, ignore_errors=True)


def asked(parts: Sequence[str], methods: Sequence[str], source: Path) -> None:
    """All that is to be asked of what is decoded."""
    log = source.with_suffix(".log")
    if "first" in parts:
        ask("first", source, "plain")
        ask("first", source, "views")
    if "epoch" in parts:
        ask("epoch", source, "views")
    if "look" in parts:
        ask("look", source, "plain")
        ask("look", source, "unlabelled")
        ask("look", source, "labelled")
    if "statistics" in parts:
        command("statistics", log, "data", "info", source)
    if "probes" in parts:
        ask("probes", source, "labelled")
    with tempfile.TemporaryDirectory(dir=source.parent) as runs:
        for method in methods:
            run = Path(runs) / method
            if {"train", "evaluate"} & set(parts):
                words = ["train", method, *SMALL[method], "--data", source, "--out", run, *SHORT]
                command(f"train {method}", log, *words)
            if "evaluate" in parts:
                few = ["--samples", "10"] if method == "vae" else []
                command(f"evaluate {method}", log, "evaluate", run, *few)


if __name__ == "__main__":
    main()
