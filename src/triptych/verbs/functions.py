"""What the command line does, as functions: train, resume, evaluate, look, compare, hand on.

A run is named by its folder, as text or `Path`, or is the `Run` itself. Wrong input is a `TriptychError` of one
sentence. Long work shows a bar in a terminal or a notebook, which ``progress=False`` turns off.

Ctrl-C saves everything and is still an interruption: `KeyboardInterrupt` says how to go on. A script that took a
half-trained run for a trained one would be worse than one that ends.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from triptych import data as data_plane
from triptych.config import THREADS, DeviceName, limited
from triptych.data.spec import DataConfig, Dataset
from triptych.errors import TriptychError, shown
from triptych.files import as_path
from triptych.progress import bars, watched
from triptych.runs import Run, kind
from triptych.verbs.options import (
    DataOptions,
    EvaluateOptions,
    StudyOptions,
    TrainOptions,
    configured,
    images,
    measured,
    named,
    pairs,
    planned,
)
from triptych.verbs.outcomes import Results, Study

if TYPE_CHECKING:
    from triptych.backbone import Exported
    from triptych.live.beside import Page
    from triptych.reproduction.reproduce import Outcome
    from triptych.types import Method

__all__ = [
    "evaluate",
    "explore",
    "export",
    "load",
    "load_method",
    "report",
    "reproduce",
    "results",
    "resume",
    "study",
    "train",
    "watch",
]


def load(
    data: str | Path | DataConfig = "mnist-5k",
    *,
    progress: bool = True,
    **options: Unpack[DataOptions],
) -> Dataset:
    """The images of a name, a path or a `DataConfig`, decoded once, with their splits.

    Args:
        data: a named data set (``triptych data list``), a folder of images, or a .npy, .npz or parquet file.
        progress: whether to show how far the decoding is.
        options: fields of `DataConfig`, ``image_size=32`` say.

    Example:
        >>> tt.load("mnist-5k", image_size=14)
        <Dataset 'mnist-5k': 1×14×14 grey, 3,500 train, 500 valid, 1,000 test, 10 classes>
    """
    config = images(DataConfig(), data, options)
    with bars(progress and watched()) as shown_in:
        return data_plane.load(config, progress=shown_in)


def train(
    name: str | Path | type[Method],
    /,
    *,
    preset: str | Path | None = None,
    data: str | Path | DataConfig | Dataset | None = None,
    method: Mapping[str, Any] | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    root: str | Path = "runs",
    progress: bool = True,
    **options: Unpack[TrainOptions],
) -> Run:
    """Train a method into a new run folder.

    Args:
        name: a method by name, by the path of a .py file that defines one, or as a class that such a file defines.
        preset: the name of a preset, or the path of a TOML file, to start from; all else wins over it.
        data: the images, as for `load`, or what that gave.
        method: fields of the method's own config, ``{"latent": 10}`` say.
        seed: everything random follows from it.
        out: the run folder to make; the next free number below ``root`` without it.
        root: where numbered run folders go.
        progress: whether to show a bar where somebody watches.
        options: how long, by one of ``epochs``, ``steps`` and ``duration``; and fields of `TrainConfig` and `DataConfig`.

    Raises:
        TriptychError: an option that there is not, with the nearest one, and anything else wrong with the input; a `MachineError`,
            which is one too, where there is no room or no memory.
        KeyboardInterrupt: Ctrl-C, after everything was saved; `resume` goes on.

    Example:
        >>> run = tt.train("vae", steps=3, batch_size=50, method={"hidden": [8]}, out=tmp_path / "a", seed=1)
        >>> run.status(), run.config["method"]["hidden"], run.config["train"]["duration"]
        ('done', [8], '3 steps')
        >>> tt.train("vae", batchsize=50)
        Traceback (most recent call last):
        triptych.errors.TriptychError: there is no option 'batchsize'; did you mean 'batch_size' or 'binarize'?
    """
    from triptych import experiment
    from triptych.verbs.display import training_bar

    config = experiment.default_config(named(name), preset)
    config = configured(config, data, method, seed, dict(options))
    visible = progress and watched()
    if isinstance(data, Dataset):
        dataset = data
    else:
        with bars(visible) as shown_in:
            dataset = data_plane.load(config.data, progress=shown_in)
    for note in dataset.remarks:
        warnings.warn(f"{dataset.name}: {note}", stacklevel=2)
    with training_bar(config.kind.gauge, visible) as display:
        run = experiment.train(
            config,
            _out(out),
            root=as_path(root, "root"),
            dataset=dataset,
            display=display,
        )
    return _to_its_end(run)


def resume(
    run: Run | str | Path,
    *,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: DeviceName | None = None,
    devices: int | None = None,
    progress: bool = True,
) -> Run:
    """Go on with a run that was interrupted, to the same bits as if it never had been.

    Args:
        run: the run.
        data: where images of one's own lie now.
        data_dir: another local mirror of the named data sets.
        device: where to go on; on another one than before the bits differ, which is warned of.
        devices: on how many; as many as before without it, and on another number the bits differ.
        progress: whether to show a bar where somebody watches.

    Raises as `train`.

    Example:
        >>> tt.resume(run)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        triptych.errors.TriptychError: '...' is done already: trained for 20 steps
    """
    from triptych import experiment
    from triptych.verbs.display import training_bar

    path = _run(run).path
    gauge = experiment.recorded(path).kind.gauge
    with training_bar(gauge, progress and watched()) as display:
        gone_on = experiment.resume(
            path,
            data_dir=_text(data_dir),
            data=_text(data),
            device=device,
            devices=devices,
            display=display,
        )
    return _to_its_end(gone_on)


def evaluate(
    run: Run | str | Path,
    *,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[EvaluateOptions],
) -> Results:
    """Measure everything that can be measured of a run, and keep it in the run's folder.

    Args:
        run: the run.
        data: where images of one's own lie now.
        data_dir: another local mirror of the named data sets.
        progress: whether to show how far it is.
        options: fields of `EvaluateConfig`: ``split``, ``samples``, ``threads`` and others.

    Example:
        >>> found = tt.evaluate(run, samples=10)
        >>> found["test/elbo"].n, found.protocol("test/elbo")["split"]
        (1000, 'test')
    """
    from triptych import experiment

    config = measured(dict(options))
    with bars(progress and watched()) as shown_in:
        found = experiment.evaluate(
            _run(run).path,
            config,
            data_dir=_text(data_dir),
            data=_text(data),
            progress=shown_in,
        )
    return Results(found)


def results(run: Run | str | Path) -> Results:
    """What was measured of a run before, without measuring anything; numbers of other weights are left out.

    Example:
        >>> tt.results(run)["test/elbo"].protocol["split"]
        'test'
    """
    return Results.of(_run(run))


def load_method(
    run: Run | str | Path, which: Literal["best", "last"] = "best", *, device: str = "auto"
) -> Method:
    """A run's trained method, in ``eval()`` mode and without gradients: `encode`, `decode` and what else it can do.

    Args:
        run: the run; the images of its training are not needed.
        which: the best weights by validation, or the last; the best are the last where nothing was validated.
        device: where to put it; ``auto`` takes a GPU if there is one.

    Example:
        >>> model = tt.load_method(run)
        >>> model.training, any(p.requires_grad for p in model.parameters())
        (False, False)
    """
    from triptych import experiment

    return experiment.load_method(_run(run).path, which, device=device).requires_grad_(False)


def report(
    runs: Run | str | Path | Iterable[Run | Study | str | Path],
    out: str | Path = "report.html",
    *,
    title: str = "Triptych report",
    compare: bool = False,
    reference: bool = False,
) -> Path:
    """Write what runs and studies found as one HTML page that needs no server and no network.

    Tables as CSV and LaTeX, and figures as PDF and SVG, lie beside it. What was not evaluated is not in it.

    Args:
        runs: a run, or any number of runs and studies in the order of the page.
        out: where the page goes.
        title: its heading.
        compare: whether two of them are to stand side by side, number by number.
        reference: whether to go through the reference report's figures.

    Returns:
        The page.

    Example:
        >>> tt.report([run], tmp_path / "report.html").name
        'report.html'
    """
    from triptych.reporting.page.compare import compare as compared
    from triptych.reporting.page.page import compose, write_whole

    several = runs if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs]
    paths = [_path(each) for each in several]
    if not paths:
        raise TriptychError("a report is of one run or study at least")
    if compare and len(paths) != 2:
        raise TriptychError(f"two runs or studies can be compared, and here are {len(paths)}")
    where = as_path(out, "out")
    page = compose(paths, str(title), compared(*paths) if compare else None, reference=reference)
    written = write_whole(page, paths, where)
    for section in page.sections:
        for lost in section.lost:
            warnings.warn(f"{section.name}: not read: {lost}", stacklevel=2)
    return written.page


def explore(
    run: Run | str | Path,
    out: str | Path | None = None,
    *,
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    open: bool = False,
) -> Path:
    """Write a run as one page in which its model can be played with; the file runs by itself.

    Args:
        run: the run.
        out: where the page goes; the default is explore.html in the run's folder.
        data: where images of one's own lie now.
        data_dir: another local mirror of the named data sets.
        open: whether to show it in a browser: the command does where there is a screen, a script asks for it.

    Returns:
        The page.

    Example:
        >>> tt.explore(run, tmp_path / "play.html").name
        'play.html'
    """
    import webbrowser

    from triptych.playable.export import write_playable
    from triptych.reporting.page.page import write_page
    from triptych.reporting.safe import check

    path = _path(run)
    # Before anything of it is read, or written into it.
    check(path)
    _refuse_study(path)
    write_playable(path, _text(data_dir), _text(data))
    named = _out(out) or path / "explore.html"
    page = write_page([path], named, f"Explore {path.resolve().name}", explore=True)
    if open:
        webbrowser.open(page.resolve().as_uri())
    return page


def watch(
    runs: Run | Study | str | Path | Iterable[Run | Study | str | Path] = "runs",
    *,
    port: int = 0,
    open: bool = False,
) -> Page:
    """Follow runs on a page of this machine while they train: curves, alarms, the time that is left.

    The page is served by a process of its own until it is closed, by ``close()``, at the end of a ``with`` block or
    with the program; nothing of it stays. It can be seen from this machine alone, by who has its address.

    Args:
        runs: a run, a study or a folder of runs, or several of them; what begins later in a folder is shown too.
        port: where it is served; 0 takes any that is free.
        open: whether to show it in a browser: the command does where there is a screen, a script asks for it.

    Returns:
        The page, whose ``address`` is to be opened.

    Example:
        >>> with tt.watch(run) as page:
        ...     print(page.address.rpartition(":")[0])
        http://127.0.0.1
    """
    import webbrowser

    from triptych.live.beside import Page

    several = runs if isinstance(runs, Iterable) and not isinstance(runs, str) else [runs]
    page = Page([_path(each) for each in several], port)
    if open:
        webbrowser.open(page.entrance)
    return page


def _refuse_study(path: Path) -> None:
    if kind(path) == "study":
        inside = sorted(found.parent for found in path.glob("*/seed-*/config.toml"))
        such = f", such as '{inside[0]}'" if inside else ""
        raise TriptychError(f"'{path}' is a study; name one of its runs{such}")


def export(
    run: Run | str | Path,
    out: str | Path | None = None,
    *,
    to: Literal["safetensors", "onnx"] | None = None,
    checkpoint: Literal["best", "last"] = "best",
    data: str | Path | None = None,
    data_dir: str | Path | None = None,
    progress: bool = True,
) -> Exported:
    """Write a run's backbone as a file for other programs, read it again and compare.

    Args:
        run: the run.
        out: the file; the default is backbone.<format> in the run's folder.
        to: the format; the default is what ``out`` ends with, else safetensors.
        checkpoint: the best weights by validation, or the last.
        data: where images of one's own lie now.
        data_dir: another local mirror of the named data sets.
        progress: whether to show how far it is.

    Returns:
        Where the file is, what its check found, and which weights it holds.

    Example:
        >>> tt.export(run)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        triptych.errors.TriptychError: ...
    """
    from triptych import backbone

    where = _out(out)
    ending: Any = where.suffix.removeprefix(".") if where is not None else ""
    with bars(progress and watched()) as shown_in:
        return backbone.export(
            _run(run).path,
            to or ending or "safetensors",
            where,
            checkpoint=checkpoint,
            data_dir=_text(data_dir),
            data=_text(data),
            progress=shown_in,
        )


def study(
    what: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    *,
    seeds: Sequence[int] = (),
    jobs: int | None = None,
    on: str = "here",
    time: int | None = None,
    sbatch: Sequence[str] = (),
    changes: Sequence[str] = (),
    data_dir: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[StudyOptions],
) -> Study:
    """Train the arms of a study over its seeds, paired and side by side, measure and compare them.

    Called again it goes on with what is not done. A run that fails is an outcome; one that ended without any is
    warned of, and tried again by the next call.

    Args:
        what: a study file, the name of one that comes with Triptych, or the arms themselves: name → what an arm
            changes, ``{"default": {}, "narrow": {"method": {"latent": 2}}}`` say; with ``{"name": ...}`` in ``method`` it has
            a method of its own, with ``of`` it is a variant of another arm.
        out: the study's folder; the default is its name below studies/.
        seeds: other seeds than the file's.
        jobs: runs at once; the default is one a core, and on a GPU as many as pay there.
        on: where the runs are done: ``here``, on a Ray cluster (``ray`` or ``ray:ADDRESS``), or in the queue of
            Slurm (``slurm`` or ``slurm:PARTITION``), which returns at once: `Study.status` says how far they are.
        time: the limit of a job of Slurm in minutes, an hour if nothing is said; a run that takes longer goes on in another turn.
        sbatch: what else a job of Slurm is submitted with, ``["account=me", "mem=8G"]`` say.
        changes: options that hold for every arm, ``train.duration='2 epochs'`` say.
        data_dir: a local mirror of the named data sets.
        progress: whether to show how far it is.
        options: what the table [study] says: of arms without a file at least ``metrics``, and ``method`` where arms name none.

    Raises:
        TriptychError: anything wrong with the input.
        KeyboardInterrupt: Ctrl-C, after everything was saved; the same call goes on.

    Example:
        >>> arms = {"default": {}, "narrow": {"method": {"latent": 2}}}
        >>> tt.study(arms, method="vae", metrics=["valid/elbo"], control="wide")
        Traceback (most recent call last):
        triptych.errors.TriptychError: there is no arm 'wide' (there are: default, narrow)
    """
    from triptych.studies.conclude import conclude
    from triptych.studies.execute import check, execute, unfinished
    from triptych.studies.plan import refuse_another
    from triptych.studies.where import where

    if jobs is not None:
        limited("jobs", jobs, 1, THREADS)
    place = where(on, time, pairs(sbatch))
    plan = planned(what, dict(options), changes, seeds)
    folder = _out(out) or Path("studies") / plan.config.name
    refuse_another(folder, plan)
    with bars(progress and watched()) as shown_in:
        check(plan, unfinished(plan, folder), _text(data_dir), shown_in, place)
        ended = execute(
            plan,
            folder,
            jobs=jobs,
            data_dir=_text(data_dir),
            on=place,
            show=lambda rows, left: shown_in(
                f"{plan.config.name} (% of {len(rows)} runs)",
                round(100 * sum(row.share for row in rows) / len(rows)),
                100,
                f"{sum(row.ended for row in rows)} ended",
            ),
        )
    if ended.stopped:
        raise KeyboardInterrupt(
            f"'{folder}' was stopped, everything is saved; the same call goes on"
        )
    conclude(plan, folder)
    problems = {str(cell): why for cell, why in ended.problems.items()}
    for cell, why in problems.items():
        warnings.warn(f"{cell} has no outcome, the same call tries again: {why}", stacklevel=2)
    return Study(folder, problems)


def reproduce(
    scale: str | Path,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    data: Mapping[str, str | Path] | None = None,
    data_dir: str | Path | None = None,
    threads: int | None = None,
    jobs: int | None = None,
    on: str = "here",
    progress: bool = True,
) -> Outcome:
    """Train, measure and draw all panels of a scale, and write one report; called again it goes on.

    Args:
        scale: ``demo`` takes minutes on embedded images, ``small`` an hour or two, ``reference`` wants a GPU; or the
            path of a scale of one's own.
        out: where everything goes; the default is the scale's name below reproductions/.
        seed: everything random follows from it.
        data: other images than their preset's, for panels by name.
        data_dir: a local mirror of the named data sets.
        threads: threads on the CPU; the default is one a core.
        jobs: runs at once, of a study, or on a GPU of all panels; the default is one a core, and on a GPU as many as pay there.
        on: where the runs are done, ``here`` or on a Ray cluster (``ray`` or ``ray:ADDRESS``).
        progress: whether to show how far it is.

    Returns:
        What became of it: the ``page``, and ``failures`` if there were any.

    Raises:
        TriptychError: anything wrong with the input.
        KeyboardInterrupt: Ctrl-C, after everything was saved; the same call goes on.

    Example:
        >>> tt.reproduce("dmeo")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        triptych.errors.TriptychError: there is no scale 'dmeo'; did you mean 'demo'? ...
    """
    from triptych.reproduction import reproduce as panels
    from triptych.reproduction.plan import plan
    from triptych.studies.where import where

    place = where(on)
    if data is not None and not isinstance(data, Mapping):
        raise TriptychError(
            f"data cannot be {shown(data)}; give a path for every panel that has other images"
        )
    of_panels = {name: str(images) for name, images in (data or {}).items()}
    chosen = plan(
        str(scale),
        seed=seed,
        data=of_panels,
        data_dir=_text(data_dir),
        threads=threads,
        jobs=jobs,
    )
    folder = _out(out) or Path("reproductions") / chosen.scale
    with bars(progress and watched()) as shown_in:
        outcome = panels.reproduce(
            chosen,
            folder,
            on=place,
            show=lambda board: shown_in(
                f"{chosen.scale} (% of {len(board.panels)} panels)",
                round(100 * sum(p.share for p in board.panels.values()) / len(board.panels)),
                100,
                ", ".join(p.name for p in board.panels.values() if 0 < p.share < 1),
            ),
        )
    if outcome.stopped:
        raise KeyboardInterrupt(
            f"'{folder}' was stopped, everything is saved; the same call goes on"
        )
    for run, why in outcome.failures.items():
        warnings.warn(f"{run} has failed: {why}", stacklevel=2)
    return outcome


def _run(run: Run | str | Path) -> Run:
    return Run.open(_path(run))


def _path(thing: Run | Study | str | Path) -> Path:
    if isinstance(thing, (Run, Study)):
        return thing.path
    return as_path(thing, "a run")


def _out(path: object) -> Path | None:
    """Where something is to go, if that was said."""
    return None if path is None else as_path(path, "out")


def _text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _to_its_end(run: Run) -> Run:
    """The run, if it came to its end; a person who stopped it is told how to go on."""
    if run.status() != "done":
        again = f"triptych.resume({str(run.path)!r})"
        raise KeyboardInterrupt(
            f"'{run.path}' was interrupted, everything is saved; go on with {again}"
        )
    return run
