"""The figures and tables of a planted study: every line where its runs are, and the words that must stand beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from triptych.reporting.draw import draw_study, study_figures
from triptych.reporting.figures.quantities import scaled
from triptych.reporting.study.figures import study_curves, study_differences
from triptych.reporting.study.folder import StudyFolder
from triptych.reporting.study.tables import study_markdown
from triptych.runs import Run
from triptych.studies.compare import compare_metric
from triptych.studies.values import Number

pytestmark = pytest.mark.usefixtures("style")

ARMS = {
    "default": {"stop_gradient": True, "predictor": "mlp"},
    "no-stop-gradient": {"stop_gradient": False, "predictor": "mlp"},
    "no-predictor": {"stop_gradient": True, "predictor": "none"},
    "fixed-predictor": {"stop_gradient": True, "predictor": "fixed-random"},
}
FINAL = {
    "default": (-0.85, 0.42),
    "no-stop-gradient": (-0.99, 0.20),
    "no-predictor": (-0.99, 0.19),
    "fixed-predictor": (-0.30, 0.27),
}
EPOCHS, UNTRAINED, PIXELS = 12, 0.28, 0.29


def config(arm: str, seed: int, **data: Any) -> dict[str, Any]:
    network = {"depth": 10, "stem": "half", "width": 16, "projector": [512, 512]}
    method = {"name": "simsiam", **network, "predictor_width": 128, **ARMS[arm]}
    train = {"duration": f"{EPOCHS} epochs", "batch_size": 128, "dtype": "bf16"}
    return {"seed": seed, "method": method, "data": {"name": "cifar10", **data}, "train": train}


def plant_run(path: Path, arm: str, seed: int, **data: Any) -> Run:
    """Curves that approach the arm's end, each seed a little off."""
    run = Run.create(path, config(arm, seed, **data))
    loss, knn = FINAL[arm]
    floors = {"test/knn_top1": UNTRAINED, "floor/pixels_knn_top1_test": PIXELS}
    run.log({"step": 0, "epoch": 0.0, "seconds": 0.0, **floors})
    for epoch in range(1, EPOCHS + 1):
        here = 1 - np.exp(-epoch / 3)
        off = 0.01 * (seed - 1)
        line = {"step": 350 * epoch, "epoch": float(epoch), "seconds": 10.0 * epoch}
        run.log({**line, "train/loss": loss * here + off})
        run.log({**line, "test/knn_top1": UNTRAINED + (knn - UNTRAINED) * here + off})
    return run


def plant(folder: Path, seeds: tuple[int, ...] = (0, 1, 2), **data: Any) -> StudyFolder:
    arms: dict[str, Any] = {}
    values: dict[str, Any] = {"train/loss": {}, "test/knn_top1": {}}
    for arm in ARMS:
        for seed in seeds:
            run = plant_run(folder / arm / f"seed-{seed}", arm, seed, **data)
            run.finish("DONE", "trained")
            for metric in values:
                # Seeds move the arms together, and a little apart.
                apart = 0.003 * seed * (1 + list(ARMS).index(arm))
                number = Number(run.curve(metric)[1][-1] + apart, {})
                values[metric].setdefault(arm, {})[seed] = number
        runs = {str(seed): {"state": "done", "verdict": "healthy"} for seed in seeds}
        arms[arm] = {"runs": runs, "verdicts": {"healthy": len(seeds)}}
    metrics = {name: compare_metric(name, of, "default") for name, of in values.items()}
    found = {
        **{"study": "planted", "control": "default", "seeds": list(seeds)},
        **{"curves": list(values), "arms": arms, "metrics": metrics},
    }
    (folder / "study.json").write_text(json.dumps(found))
    return StudyFolder(folder)


def solid(axes: Any) -> dict[str, Any]:
    """The lines of arms, by colour: those with markers."""
    lines = [line for line in axes.get_lines() if line.get_marker() != "None"]
    return {to_hex(line.get_color()).upper(): line for line in lines}


def dashed(axes: Any) -> dict[str, Any]:
    lines = [line for line in axes.get_lines() if line.get_linewidth() == 0.7]
    return {to_hex(line.get_color()).upper(): line for line in lines if len(line.get_xdata())}


def test_every_arm_has_its_mean_its_band_and_its_own_look(tmp_path: Path):
    folder = plant(tmp_path)
    figure = study_curves(folder)
    for axes, metric in zip(figure.axes, folder.found["curves"], strict=False):
        lines = solid(axes)
        assert len(lines) == len({line.get_marker() for line in lines.values()}) == 4
        for arm, band in zip(folder.arms, axes.collections, strict=True):
            line = lines[folder.look(arm)["color"].upper()]
            curves = [scaled(folder.runs(arm)[s], metric) for s in range(3)]
            assert list(line.get_xdata()) == curves[0][0]
            assert list(line.get_ydata()) == pytest.approx(list(np.mean([c[1] for c in curves], 0)))
            (path,) = band.get_paths()
            last = path.vertices[path.vertices[:, 0] == EPOCHS]
            values = [c[1][-1] for c in curves]
            assert (last[:, 1].min(), last[:, 1].max()) == pytest.approx((min(values), max(values)))


def test_the_floors_are_where_training_has_not_begun(tmp_path: Path):
    _, axes, *_ = study_curves(plant(tmp_path)).axes
    levels = {
        line.get_label(): line.get_ydata()[0]
        for line in axes.get_lines()
        if line.get_label() not in ARMS
    }
    assert levels == pytest.approx({"untrained": 100 * UNTRAINED, "raw pixels": 100 * PIXELS})
    assert [text.get_text().replace("\xa0", " ") for text in axes.texts] == [
        *("untrained 28.0 %", "raw pixels 29.0 %"),
    ]


def test_the_reference_is_squeezed_into_a_shorter_training_and_that_is_said(tmp_path: Path, said):
    folder = plant(tmp_path)
    figure = study_figures(folder, reference=True)["study-curves"](folder)
    loss, knn, *_ = figure.axes
    colour = folder.look("default")["color"].upper()
    assert list(dashed(knn)[colour].get_xdata())[:2] == [0.0, 25 * EPOCHS / 200]
    assert dashed(knn)[colour].get_ydata()[-1] == pytest.approx(68.6)
    green = folder.look("no-predictor")["color"].upper()
    assert set(dashed(loss)[green].get_ydata()) == {-0.99}
    words = said(figure)
    assert "200 epochs are squeezed into these 12" in words
    assert "depth, first layer and 24 more" in words
    assert "approximate" in words


def test_nothing_is_laid_over_unless_it_is_asked_for(tmp_path: Path, said):
    figure = study_curves(plant(tmp_path))
    assert not any(dashed(axes) for axes in figure.axes)
    assert "reference" not in said(figure)


def test_other_images_have_no_reference(tmp_path: Path, said):
    folder = plant(tmp_path, name="svhn")
    figure = study_figures(folder, reference=True)["study-curves"](folder)
    assert not dashed(figure.axes[0])
    assert "reference" not in said(figure)


def test_one_seed_has_no_interval_and_says_so(tmp_path: Path, said):
    folder = plant(tmp_path, seeds=(1,))
    assert "how far another would lie from these lines is not known" in said(study_curves(folder))
    for axes in study_differences(folder).axes:
        assert not axes.collections
    table = study_markdown(folder.found)
    assert table.count("| one seed: none |") == 6
    assert "no interval" in table


def test_differences_stand_where_they_were_found(tmp_path: Path):
    folder = plant(tmp_path)
    for axes, (name, found) in zip(
        study_differences(folder).axes, folder.found["metrics"].items(), strict=True
    ):
        times = {"train/loss": 1.0, "test/knn_top1": 100.0}[name]
        assert axes.get_title("left").endswith(", points") == (times == 100.0)
        assert [t.get_text() for t in axes.get_yticklabels()] == folder.arms[1:]
        for row, arm in enumerate(folder.arms[1:]):
            difference = found["differences"][arm]
            (bar,) = axes.collections[row].get_segments()
            ends = [times * difference["low"], times * difference["high"]]
            assert bar[:, 0].tolist() == pytest.approx(ends)
            assert bar[:, 1].tolist() == [row, row]
            (point,) = (m for m in axes.get_lines() if list(m.get_ydata()) == [row])
            assert point.get_xdata()[0] == pytest.approx(times * difference["mean"])
        low, high = axes.get_xlim()
        assert low < 0 < high


def test_runs_that_failed_are_left_out_and_counted(tmp_path: Path, said):
    folder = plant(tmp_path)
    arms = folder.found["arms"]
    arms["no-predictor"]["runs"]["2"] = {"state": "failed", "reason": "the loss was not finite"}
    arms["default"]["runs"]["0"]["evidence"] = "it learned"
    for run in arms["fixed-predictor"]["runs"].values():
        run |= {"state": "failed", "reason": "out of memory"}
    words = said(study_curves(folder))
    assert "no-predictor: 1 of 3 runs failed or are not done, and are left out." in words
    assert "fixed-predictor: every run failed (3)" in words
    line = solid(study_curves(folder).axes[0])[folder.look("no-predictor")["color"].upper()]
    two = [folder.runs("no-predictor")[s].curve("train/loss")[1][-1] for s in range(2)]
    assert line.get_ydata()[-1] == pytest.approx(sum(two) / 2)
    table = study_markdown(folder.found)
    assert "| no-predictor     | done 2/3, failed 1/3 | healthy 3/3 |" in table
    assert "- no-predictor, seed 2: failed: the loss was not finite" in table
    assert "- default, seed 0: it learned" in table


def test_the_table_is_markdown_with_every_number(tmp_path: Path):
    folder = plant(tmp_path)
    lines = study_markdown(folder.found).split("\n")
    rows = [line for line in lines if line.startswith("| no-stop-gradient") and " to " in line]
    assert len(rows) == 2
    cells = [cell.strip() for cell in rows[1].strip("|").split("|")]
    difference = folder.found["metrics"]["test/knn_top1"]["differences"]["no-stop-gradient"]
    assert "## test kNN top-1, % (`test/knn_top1`)" in lines
    assert float(cells[3].replace("−", "-")) == pytest.approx(100 * difference["mean"], abs=1e-2)
    low, high = (float(x.replace("−", "-")) for x in cells[4].split(" to "))
    ends = 100 * difference["low"], 100 * difference["high"]
    assert (low, high) == pytest.approx(ends, abs=1e-2)
    widths = {len(line) for line in lines[4:10]}
    assert len(widths) == 1, "columns stand below one another in a terminal"


def test_files_are_written_and_the_same_each_time(tmp_path: Path):
    plant(tmp_path)
    first = {path.name: path.read_bytes() for path in draw_study(tmp_path)}
    assert list(first) == [
        *("study-curves.png", "study-curves.pdf"),
        *("study-differences.png", "study-differences.pdf"),
    ]
    assert first == {path.name: path.read_bytes() for path in draw_study(tmp_path)}
