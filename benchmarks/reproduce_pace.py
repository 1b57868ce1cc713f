"""Record what `triptych.reproduction.recorded` holds of a scale, on this machine.

    python benchmarks/reproduce_pace.py demo
    python benchmarks/reproduce_pace.py small --data-dir DIR --wgan-data svhn-10k

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
from triptych.evaluation.suite import EvaluateConfig
from triptych.experiment import ExperimentConfig
from triptych.playable.export import write_playable
from triptych.reporting.draw import draw
from triptych.reporting.page.page import write_page
from triptych.reproduction.pace import warm_up
from triptych.reproduction.plan import STUDY, Plan, plan
from triptych.reproduction.predict import with_data
from triptych.reproduction.recorded import Recorded
from triptych.reproduction.warm import warm_side_by_side
from triptych.runs import Run
from triptych.studies.conclude import conclude
from triptych.studies.execute import default_jobs, execute
from triptych.studies.plan import Study, open_folder
from triptych.studies.worker import MEASURED, measure, train

STEPS = 20


def short(config: ExperimentConfig) -> ExperimentConfig:
    """The same for a few steps, validated at their end only."""
    length = f"{STEPS} steps"
    return merge(config, {"train": {"duration": length, "validate_every": length}})


def of_run(chosen: Plan, name: str, path: Path) -> Recorded:
    """One run, in this process."""
    config = with_data(chosen.runs[name], chosen.data_dir)
    pace = warm_up(config)
    began = time.perf_counter()
    train(path, short(config))
    start = time.perf_counter() - began - STEPS * pace.step - pace.looks.first - pace.looks.due
    began = time.perf_counter()
    measure(path, EvaluateConfig(coordinates=chosen.coordinates if name == "wgan" else ()))
    measured = time.perf_counter() - began
    began = time.perf_counter()
    draw(Run(path))
    write_playable(path)
    return Recorded(pace.step, max(0.0, start), measured, time.perf_counter() - began)


def of_arms(chosen: Plan, folder: Path) -> Recorded:
    """As many runs of the study at once as there will be."""
    jobs = default_jobs(chosen.study)
    arms = dict(list(chosen.study.arms.items())[:jobs])
    pace = warm_side_by_side(arms, len(arms), chosen.data_dir)[chosen.study.config.control]
    config = dataclasses.replace(chosen.study.config, seeds=(0,))
    study = Study(config, {name: short(arm) for name, arm in arms.items()})
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
    """Print the table of one scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scale")
    parser.add_argument("--data-dir")
    parser.add_argument("--wgan-data")
    given = parser.parse_args()
    chosen = plan(given.scale, data_dir=given.data_dir, wgan_data=given.wgan_data)
    with TemporaryDirectory() as place:
        folder = Path(place)
        for name in chosen.runs:
            print(name, of_run(chosen, name, folder / name), flush=True)
        print("arm", of_arms(chosen, folder / STUDY), flush=True)
        began = time.perf_counter()
        shown = chosen.sections(folder)
        draw(Run(shown[-1]))
        write_page(shown, folder / "report.html")
        print("report", time.perf_counter() - began)


if __name__ == "__main__":
    main()
