"""Record the seconds of a scale's file (src/triptych/presets/reproduce), on this machine.

    python benchmarks/reproduce_pace.py demo
    python benchmarks/reproduce_pace.py small --data-dir DIR --data wgan=svhn-10k

What an evaluation and the figures cost does not depend on how long a run was trained: runs of a few steps
are enough. Nothing else may work on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from triptych.config import merge
from triptych.experiment import ExperimentConfig
from triptych.playable.export import write_playable
from triptych.reporting.draw import draw
from triptych.reporting.page.page import write_page
from triptych.reproduction.plan import Plan, Recorded, plan
from triptych.runs import Run
from triptych.studies.conclude import conclude
from triptych.studies.execute import default_jobs, execute
from triptych.studies.pace import time_arms, time_steps
from triptych.studies.plan import Study, open_folder
from triptych.studies.worker import MEASURED, measure, train

STEPS = 20


def short(config: ExperimentConfig) -> ExperimentConfig:
    """The same for a few steps, validated at their end only."""
    length = f"{STEPS} steps"
    return merge(config, {"train": {"duration": length, "validate_every": length}})


def of_run(chosen: Plan, name: str, path: Path) -> Recorded:
    """One run, in this process."""
    panel = chosen.runs[name]
    config = chosen.here(panel.config)
    pace = time_steps(config)
    began = time.perf_counter()
    train(path, short(config))
    start = time.perf_counter() - began - STEPS * pace.step - pace.looks.first - pace.looks.due
    began = time.perf_counter()
    measure(path, panel.evaluate)
    measured = time.perf_counter() - began
    began = time.perf_counter()
    draw(Run(path))
    write_playable(path)
    return Recorded(pace.step, max(0.0, start), measured, time.perf_counter() - began)


def of_arms(chosen: Plan, name: str, folder: Path) -> Recorded:
    """As many runs of a study at once as there will be."""
    whole = chosen.studies[name].study
    jobs = default_jobs(whole)
    arms = dict(list(whole.arms.items())[:jobs])
    pace = time_arms(arms, len(arms), chosen.data_dir)[whole.config.control]
    config = dataclasses.replace(whole.config, seeds=(0,))
    study = Study(config, {arm: short(given) for arm, given in arms.items()})
    open_folder(folder, study)
    began = time.time()
    execute(study, folder, data_dir=chosen.data_dir)
    runs = [cell.path(folder) for cell in study.cells()]
    trained, measured = (
        [(run / mark).stat().st_mtime for run in runs] for mark in ("DONE", MEASURED)
    )
    start = max(trained) - began - STEPS * pace.step - pace.looks.first - pace.looks.due
    lasted = [m - t for t, m in zip(trained, measured, strict=True)]
    conclude(study, folder)
    return Recorded(pace.step, max(0.0, start), sum(lasted) / len(lasted))


def main() -> None:
    """Print the seconds of every panel of one scale, and of its page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scale")
    parser.add_argument("--data-dir")
    parser.add_argument("--data", action="append", default=[], metavar="PANEL=NAME|PATH")
    given = parser.parse_args()
    images = dict(word.split("=", 1) for word in given.data)
    chosen = plan(given.scale, data=images, data_dir=given.data_dir)
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name in chosen.panels:
            of = of_run if name in chosen.runs else of_arms
            print(name, of(chosen, name, folder / name), flush=True)
        began = time.perf_counter()
        for name in chosen.studies:
            draw(Run(chosen.shown(name, folder)))
        write_page(chosen.sections(folder), folder / "report.html")
        print("report", time.perf_counter() - began)


if __name__ == "__main__":
    main()
