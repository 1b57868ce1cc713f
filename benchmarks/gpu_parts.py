"""The parts of `gpu.py` in their order, and those that train and measure by the front doors: bits, looks, the report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import card
import triptych
from gpu_bench import (
    ASKED,
    FIRST,
    THIN,
    Bench,
    OutOfTimeError,
    Row,
    in_mode,
    lasting,
    precisely,
    row,
    some_digits,
)
from gpu_steps import batches, launches, plain_with_views, steps
from triptych import Run, checkpoint, experiment, methods, presets
from triptych.data import load
from triptych.evaluation.monitor import Monitor
from triptych.evaluation.subject import Subject
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.reproduction.plan import plan
from triptych.types import Moment

BITS, SHORT_BITS = 20, 8
"""Steps of the trainings whose bits are compared, and in miniature; one of them is stopped at three quarters."""

LEARNED = 200
"""Steps before a look and an evaluation are timed."""

SAVING = 30
"""Seconds that the report has to stop and save; with fewer than twice as many it is not begun."""


def read(bench: Bench, names: list[str]) -> Iterator[Row]:
    """The data, decoded once."""
    for name in dict.fromkeys(bench.config(name).data for name in names):
        began = time.perf_counter()
        dataset = load(name)
        spent = time.perf_counter() - began
        yield row(
            f"data: {dataset.title}", spent, "s", note="to find and decode, or from the cache"
        )


def bits(bench: Bench, name: str) -> Iterator[Row]:
    """Two captured trainings, one that was stopped and resumed, and an eager one: how far apart their weights end."""
    count = bench.short(BITS, SHORT_BITS)
    config = lasting(bench.config(name), count, log_every=count // 4)
    captured, note = in_mode(config, "captured")
    with bench.folder() as place:
        run = trained(captured, Path(place) / "once")
        note = "; ".join(filter(None, [note, *notes(run)]))
        once, again = weights(run), weights(trained(captured, Path(place) / "again"))
        yield apart(f"{name}: captured twice", once, again, note)
        resumed = weights(trained(captured, Path(place) / "stopped", stop=True))
        yield apart(f"{name}: captured, stopped and resumed", once, resumed, note)
        eager = weights(trained(in_mode(config, "eager")[0], Path(place) / "eager"))
        yield apart(f"{name}: eager against captured", once, eager, note)


def compiled_bits(bench: Bench, name: str) -> Iterator[Row]:
    """Two trainings that are compiled and captured."""
    config = precisely(bench.config(name), ASKED[name.split("/")[0]])
    count = bench.short(BITS, SHORT_BITS)
    config, note = in_mode(lasting(config, count, log_every=count // 4), "compiled and captured")
    card.forget()
    with bench.folder() as place:
        once, again = (trained(config, Path(place) / word) for word in ("once", "again"))
        note = "; ".join(filter(None, [note, *notes(once)]))
        yield apart(f"{name}: compiled and captured twice", weights(once), weights(again), note)


def trained(config: ExperimentConfig, path: Path, *, stop: bool = False) -> Run:
    """A training by the front door; with ``stop`` one that Ctrl-C ends at a step, and that goes on."""

    def interrupt(step: int, total: int, epoch: float, metrics: object) -> None:
        if stop and 4 * step == 3 * total:
            os.kill(os.getpid(), signal.SIGINT)

    run = experiment.train(config, path, display=interrupt)
    if not stop:
        return run
    if run.status() != "interrupted":
        raise RuntimeError(f"the training was to be stopped, and is {run.status()}")
    return experiment.resume(path)


def notes(run: Run) -> list[str]:
    """What a training says of itself: that it could not be recorded, say."""
    return [entry["note"] for entry in run.metrics() if "note" in entry]


def weights(run: Run) -> dict[str, Tensor]:
    """Those that a training ended with."""
    tensors, _ = checkpoint.load(run.checkpoint("last"))
    return {name: t for name, t in tensors.items() if name.startswith(checkpoint.WEIGHTS)}


def apart(what: str, ours: Mapping[str, Tensor], its: Mapping[str, Tensor], note: str) -> Row:
    """The largest difference of any weight, and whether all bits are the same."""
    same = ours.keys() == its.keys() and all(
        torch.equal(tensor.view(-1).view(torch.uint8), its[name].view(-1).view(torch.uint8))
        for name, tensor in ours.items()
    )
    largest = max(float((t.double() - its[n].double()).abs().max()) for n, t in ours.items())
    unit = "largest difference of a weight"
    found = row(what, largest, unit, same_bits=same, note=note)
    return found | {"goal": "the same bits", "reached": float(same)}


def looks(bench: Bench, name: str) -> Iterator[Row]:
    """Seconds of the first look, of one more, and of an evaluation, after a short training."""
    config = lasting(bench.config(name), bench.short(LEARNED, 4))
    with bench.folder() as place:
        run = trained(config, Path(place) / "run")
        opened = experiment.open_trained(run.path)
        subject = Subject(
            opened.subject.method,
            opened.subject.dataset,
            config.data.binarize,
            opened.subject.device,
        )
        monitor = Monitor(subject, run)
        moment = Moment(LEARNED, LEARNED, due=True, landmark=True)
        yield row(f"{name}: the first look", card.seconds(lambda: monitor(moment)), "s")
        what = f"{name}: a look"
        yield row(what, card.seconds(lambda: monitor(moment)), "s", what)
        what, wanted = f"{name}: an evaluation", EvaluateConfig(samples=bench.short(200, 10))
        spent = card.seconds(lambda: experiment.evaluate(run.path, wanted))
        note = f"after {bench.short(LEARNED, 4)} steps, {wanted.samples} samples of a likelihood"
        yield row(what, spent, "s", what, note=note)


# -- the reference report -------------------------------------------------------------------------


def report(bench: Bench) -> Iterator[Row]:
    """The reference report by its command, whole or until the time ends; what was done by then is read from its runs."""
    if bench.left() < 2 * SAVING:
        raise OutOfTimeError
    folder, log = bench.work / "reference", bench.out / "reference.log"
    command = [sys.executable, "-m", "triptych", "reproduce", *_asked(bench), "--out", str(folder)]
    source = str(Path(triptych.__file__).parents[1])
    paths = os.pathsep.join([source, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    began = time.perf_counter()
    with log.open("w", encoding="utf-8") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=said, env={**os.environ, "PYTHONPATH": paths}
        )
        stopped = not _ended(process, bench.left() - SAVING, folder if bench.miniature else None)
    spent = time.perf_counter() - began
    code, last = process.returncode, log.read_text(encoding="utf-8").strip()[-500:]
    done = code == 0 and not stopped
    note = "whole" if done else f"stopped after {spent:.0f} s, not whole" if stopped else last
    what = "the reference report"
    goal = what if done and not bench.miniature else ""
    yield row(what, spent, "s", goal, note=note, parts=_parts(folder))
    for path in sorted(folder.rglob("metrics.jsonl")):
        yield _reached(path.parent, str(path.parent.relative_to(folder)))
    if (folder / "report.html").is_file():
        shutil.copy(folder / "report.html", bench.out / "reference.html")
    if code != 0 and not stopped:
        raise RuntimeError(f"exit code {code}: {last}")


def _asked(bench: Bench) -> list[str]:
    """Scale and data as the command takes them."""
    if bench.miniature:
        digits = some_digits(bench.work, labelled=True)
        words = '[train]\nduration = "100_000 steps"\n[method]\nhidden = [16]\n'
        words += f'[data]\nname = "{digits}"\nbinarize = "dynamic"\n'
        (bench.work / "tiny.toml").write_text(words, encoding="utf-8")
        scale = '[panels.vae]\nmethod = "vae"\npreset = "tiny.toml"\nevaluate = { samples = 10 }\n'
        (bench.work / "scale.toml").write_text(scale, encoding="utf-8")
        return ["--scale", str(bench.work / "scale.toml")]
    found = ["--scale", "reference", "--data-dir", str(bench.data)]
    for name, panel in plan("reference").runs.items():
        other = bench.substitute(panel.config.data.name)
        found += [f"--{name}-data", other] if other else []
    return found


def _ended(process: subprocess.Popen[bytes], limit: float, folder: Path | None) -> bool:
    """Whether it came to its end by itself; if not it is asked to stop, and then made to.

    With a ``folder`` it is stopped as soon as a run in it has logged something.
    """
    began = time.monotonic()
    try:
        while process.poll() is None:
            logged = folder is not None and any(
                p.stat().st_size for p in folder.rglob("metrics.jsonl")
            )
            if logged or time.monotonic() - began > limit:
                return False
            time.sleep(0.1)
        return True
    finally:
        # Whatever ends this, it is not left behind.
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SAVING - 5)
        if process.poll() is None:
            process.kill()
            process.wait()


def _parts(folder: Path) -> dict[str, Any]:
    """Predicted and actual seconds of each part of the report, of all calls."""
    try:
        record = json.loads((folder / "reproduce.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: part for call in record["calls"] for name, part in call["parts"].items()}


def _reached(path: Path, name: str) -> Row:
    """How far a run is, and what has been measured of it."""
    metrics = Run(path).metrics()
    last = metrics[-1] if metrics else {"step": 0, "seconds": 0.0}
    results = {}
    if (path / "results.json").is_file():
        found = json.loads((path / "results.json").read_text(encoding="utf-8"))
        results = {
            key: result["value"]
            for key, result in found.items()
            if isinstance(result, dict) and isinstance(result.get("value"), float)
        }
    note = f"{Run(path).status()}, {last.get('seconds', 0.0)} s of training, {len(results)} results"
    return row(f"report: {name}", last["step"], "steps", note=note, results=results)


def cifar_stem(bench: Bench) -> Iterator[Row]:
    """The preset for accuracy from its first step to its measured end."""
    name = "simsiam/demo" if bench.miniature else "simsiam/cifar-stem"
    what = f"{name}, 200 epochs"
    config = bench.config(name)
    if bench.miniature:
        config, what = lasting(config, 4), f"{name}, 4 steps"
    runs: list[Run] = []
    path = bench.work / "cifar-stem"
    spent = card.seconds(lambda: runs.append(experiment.train(config, path)))
    yield row(what, spent, "s", what, note="training with its looks, recording included")
    results: dict[str, Any] = {}
    spent = card.seconds(lambda: results.update(experiment.evaluate(path)))
    yield row(f"{what}: its evaluation", spent, "s")
    knn = results["test/knn_top1"]
    yield row(f"{what}: kNN", knn.value, "of the test images", f"{what}: kNN", stderr=knn.stderr)


# -- all of them ----------------------------------------------------------------------------------


def parts(bench: Bench) -> dict[str, Callable[[], Iterator[Row]]]:
    """Every part by its name, the most wanted first."""
    first = [f"{method}/demo" for method in THIN] if bench.miniature else list(FIRST)
    others = [
        f"{method}/{preset}"
        for method in ([] if bench.miniature else methods.names())
        for preset in presets.names(method)
        if f"{method}/{preset}" not in first
    ]
    found: dict[str, Callable[[], Iterator[Row]]] = {}

    def add(kind: str, name: str, part: Callable[..., Iterator[Row]], *more: Any) -> None:
        found[f"{kind}/{name}"] = lambda: part(bench, name, *more)

    plainly, compiled = ("eager", "captured"), ("compiled and captured",)
    references = [name for name in first if not name.endswith("cifar-stem")]
    found["data"] = lambda: read(bench, [*first, *others])
    for name in references:
        add("bits", name, bits)
    for name in first:
        if name.startswith("simsiam"):
            add("plain with views", name, plain_with_views)
            add("batches", name, batches)
        add("steps", name, steps, _precisions(name, bench), plainly)
        add("launches", name, launches)
    for name in references:
        add("looks", name, looks)
    for name in first:
        add("compiled", name, steps, (ASKED[name.split("/")[0]],), compiled)
    for name in references:
        add("compiled bits", name, compiled_bits)
    for name in others:
        own = bench.config(name).train.dtype
        add("steps", name, steps, (own,), plainly)
    for name in first:
        add("without TF32", name, steps, ("fp32 without TF32",), ("captured",))
    for name in references:
        rest = {"fp32", "bf16"} - {ASKED[name.split("/")[0]]}
        add("compiled too", name, steps, tuple(rest), compiled)
    if bench.whole:
        found["cifar-stem"] = lambda: cifar_stem(bench)
    found["report"] = lambda: report(bench)
    return found


def _precisions(name: str, bench: Bench) -> tuple[str, ...]:
    """Both for a reference preset, and for another what it says."""
    own = bench.config(name).train.dtype
    return ("fp32", "bf16") if name.endswith("reference") else (own,)
