"""``triptych train METHOD``: train into a run folder, or ``--resume`` one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import tyro

from triptych import methods, presets
from triptych.cli.options import Flat, parse, take
from triptych.cli.say import say
from triptych.config import THREADS, DeviceName
from triptych.data import DataConfig, load
from triptych.errors import TriptychError, unknown
from triptych.progress import bars
from triptych.runs import Run
from triptych.training.settings import TrainConfig

if TYPE_CHECKING:
    from triptych.experiment import ExperimentConfig

SHORTHANDS = ("--epochs", "--steps")

WATCH = "--watch"

USAGE = """usage: triptych train METHOD [--preset NAME] [--watch] [OPTIONS]
       triptych train --resume RUN [--watch] [--data-dir DIR] [--data PATH] [--device cpu|cuda|mps] [--devices N]

Train a method into a new run folder, or go on with one that was interrupted. METHOD is a name, or a
file of your own that defines one: ./wae.py; --preset is a name, or a file of your own: ./mine.toml.
--watch shows the training on a page of this machine while it goes on, as triptych watch does.

methods and their presets:
{methods}

triptych train METHOD --help also explains the options of that method.
"""


@dataclasses.dataclass(frozen=True)
class Common:
    """Options that every method has."""

    data: Annotated[DataConfig, Flat] = dataclasses.field(default_factory=DataConfig)
    train: Annotated[TrainConfig, Flat] = dataclasses.field(default_factory=TrainConfig)
    seed: int = 0
    """Everything random follows from this number."""
    preset: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Start from the options of a preset; those on the command line win."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """The run folder to make; the default is the next number below --root."""
    root: Path = Path("runs")
    """Where numbered run folders go."""


def run(words: list[str]) -> int:
    """The verb."""
    watched = WATCH in words
    words = [word for word in words if word != WATCH]
    if not words or words[0].startswith("-"):
        return _resume_or_help(words, watched)
    from triptych import experiment
    from triptych.cli.display import training_display

    name, rest = words[0], _with_units(words[1:])
    found = methods.locate(name)
    config = experiment.default_config(name, take(rest, "--preset"))
    about = " ".join([_first_line(found.kind.__doc__), *_presets(found)])
    options = parse(_options(config), rest, f"triptych train {name}", about, SHORTHANDS)
    config = dataclasses.replace(
        config, method=options.method, data=options.data, train=options.train, seed=options.seed
    )
    with bars() as progress:
        dataset = load(config.data, progress=progress)
    for note in dataset.remarks:
        say(f"{dataset.name}: {note}", aside=True)
    with _page(watched) as begun, training_display(found.kind.gauge) as display:
        trained = experiment.train(
            config, options.out, root=options.root, dataset=dataset, display=display, begun=begun
        )
    return _say_how_it_ended(trained)


@contextmanager
def _page(wanted: bool) -> Iterator[Callable[[Path], object] | None]:
    """Where it is wanted, what shows a folder on a page until the block ends; pages that are open are told of the end."""
    if not wanted:
        yield None
        return
    from triptych.cli.watch import show
    from triptych.live.beside import Page

    with ExitStack() as stack:

        def begun(path: Path) -> None:
            try:
                page = stack.enter_context(Page([path]))
            except (TriptychError, OSError) as error:
                # No reason not to train.
                say(f"there is no page: {error}", aside=True)
            else:
                show(page.address, page.entrance)

        yield begun


def _resume_or_help(words: list[str], watched: bool) -> int:
    if not words or words[0] in ("-h", "--help"):
        known = [f"  {n:<10} {', '.join(presets.names(n))}" for n in methods.names()]
        print(USAGE.format(methods="\n".join(known)))
        if words:
            parse(Common(), ["--help"], "triptych train METHOD", "options of every method")
        return 0 if words else 2
    rest = list(words)
    path, folder = take(rest, "--resume"), take(rest, "--data-dir")
    data, device, devices = (take(rest, f"--{name}") for name in ("data", "device", "devices"))
    if path is None or rest:
        wrong = rest[0] if path is not None else words[0]
        raise TriptychError(
            f"'{wrong}' is not understood here; write 'triptych train METHOD ...' or "
            "'triptych train --resume RUN [--watch] [--data-dir DIR] [--data PATH] [--device cpu|cuda|mps] [--devices N]'"
        )
    if device not in (None, *get_args(DeviceName)):
        raise unknown("device", str(device), get_args(DeviceName))
    if devices is not None and not (devices.isdecimal() and 0 < int(devices) <= THREADS):
        raise TriptychError(f"--devices {devices} is no number of devices; give 2 for instance")
    from triptych import experiment
    from triptych.cli.display import training_display

    gauge = experiment.recorded(path).kind.gauge
    with _page(watched) as begun, training_display(gauge) as display:
        if begun and os.environ.get("RANK", "0") == "0":
            begun(Path(path))
        resumed = experiment.resume(
            path,
            data_dir=folder,
            data=data,
            device=cast("DeviceName | None", device),
            devices=None if devices is None else int(devices),
            display=display,
        )
    return _say_how_it_ended(resumed)


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


def _presets(method: methods.Found) -> list[str]:
    """A sentence on a method's presets, if it has any."""
    known = presets.names(method.name, method.presets or presets.HERE)
    return [f"Presets: {', '.join(known)}."] * bool(known)


def _say_how_it_ended(trained: Run) -> int:
    if trained.status() == "done":
        say(f"{trained.path}: {trained.reason()}; next: triptych evaluate {trained.path}")
        if doubt := trained.doubt():
            say(f"{trained.path}: {doubt}.")
        return 0
    say(
        f"\n{trained.path}: interrupted, everything is saved; "
        f"go on with: triptych train --resume {trained.path}",
        aside=True,
    )
    return 130


def _options(config: ExperimentConfig) -> Any:
    """`Common` with the method's own config beside it, and the values of ``config`` as defaults."""
    combined = dataclasses.make_dataclass(
        "Options",
        [("method", type(config.method), dataclasses.field(default=config.method))],
        bases=(Common,),
        frozen=True,
    )
    return combined(data=config.data, train=config.train, seed=config.seed)


def _with_units(words: list[str]) -> list[str]:
    """``--epochs 3`` and ``--steps 500`` as the durations that they are."""
    words = list(words)
    if sum(w.split("=")[0] in (*SHORTHANDS, "--duration") for w in words) > 1:
        raise TriptychError("give one length: --epochs, --steps or --duration")
    for option in SHORTHANDS:
        amount = take(words, option)
        if amount is not None:
            words += ["--duration", f"{amount} {option.removeprefix('--')}"]
    return words
