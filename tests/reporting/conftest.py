"""Planted run folders: a config, and as much or as little of a run's data as a test wants."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from triptych.experiment import default_config
from triptych.reporting.draw import draw
from triptych.reporting.figures.style import styled
from triptych.reporting.study.folder import StudyFolder
from triptych.runs import Result, Run
from triptych.studies.compare import compare_metric
from triptych.studies.values import Number


def reference_config() -> dict[str, Any]:
    """The config of a run by the reference's protocol."""
    optimizer = {
        **{"name": "adam", "lr": 3e-4, "betas": [0.9, 0.999], "momentum": 0.9},
        **{"weight_decay": 0.0, "schedule": "constant", "warmup": 0.0},
    }
    method = {
        **{"name": "vae", "latent": 100, "net": "mlp", "hidden": [300, 300], "width": 32},
        **{"likelihood": "bernoulli", "logit_offset": -5.0, "kl": "analytic", "kl_warmup": 0.0},
        "optimizer": optimizer,
    }
    data = {"name": "binarized-mnist", "colour": "auto", "binarize": "none"}
    train = {"duration": "20 epochs", "batch_size": 64, "dtype": "fp32"}
    return {"seed": 0, "method": method, "data": data, "train": train}


@pytest.fixture
def config() -> dict[str, Any]:
    """A config that a test may change."""
    return reference_config()


class Plant:
    """A run folder that grows by what is asked for."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.run = Run.create(path, config)
        self.draw = np.random.default_rng(0)
        self.protocol = {
            **{"data": "statically binarized MNIST", "split": "test", "checkpoint": "best"},
            "estimator": "importance sampling, q(z|x) as proposal",
            "K": 200,
        }

    def log(self, side: str, epochs: list[float], elbo: list[float]) -> None:
        """Log ELBO and its terms; the divergence is always 20 nats."""
        for epoch, value in zip(epochs, elbo, strict=True):
            terms = {"elbo": value, "reconstruction": value + 20, "kl": 20.0}
            where = {"step": round(epoch * 781), "epoch": epoch, "seconds": epoch}
            self.run.log(where | {f"{side}/{name}": v for name, v in terms.items()})

    def images(self, *shape: int) -> np.ndarray:
        """Random levels."""
        return self.draw.integers(0, 256, shape).astype(np.uint8)

    def result(self, name: str, value: Any, stderr: float | None = None, n: int = 10_000) -> None:
        """Record one result."""
        self.run.record({name: Result(value, stderr, n, self.protocol)})

    def curve(self, split: str = "test") -> None:
        """Everything that importance sampling records."""
        curve = {
            "k": [1, 5, 50, 200, 1000],
            "value": [-100.5, -97.9, -96.2, -95.6, -95.2],
            "stderr": [0.31, 0.30, 0.29, 0.28, 0.27],
        }
        self.result(f"{split}/log_likelihood_curve", curve)
        self.result(f"{split}/log_likelihood", -95.61, 0.28)
        self.result(f"{split}/effective_sample_size", {"median": 5.12, "5% quantile": 1.34})
        self.result(f"{split}/importance_bias", -0.13)

    def latents(self, kl: list[float]) -> None:
        """What is recorded of the latent coordinates."""
        self.result("latent/kl_per_dimension", kl)
        self.protocol = {**self.protocol, "threshold": 0.01}
        self.result("latent/active_units", 2)

    def pictures(self, c: int = 1, h: int = 6, w: int = 6) -> dict[str, dict[str, np.ndarray]]:
        """Every kind of image array that an evaluation keeps, in images c×h×w."""
        kept = {
            "samples": {"images": self.images(64, c, h, w)},
            "reconstructions": {
                "originals": self.images(20, c, h, w),
                "reconstructions": self.images(20, c, h, w),
            },
            "traversal": {
                "images": self.images(3, 5, c, h, w),
                "coordinates": np.array([17, 4, 80]),
                "values": np.linspace(-3, 3, 5).astype(np.float32),
                "kl": np.array([1.934, 0.5, 0.25]),
            },
            "interpolation": {
                "originals": self.images(2, 2, c, h, w),
                "latent": self.images(2, 11, c, h, w),
                "pixel": self.images(2, 11, c, h, w),
                "alpha": np.linspace(0, 1, 11).astype(np.float32),
            },
        }
        for name, arrays in kept.items():
            self.run.save_arrays(name, **arrays)
        return kept

    def everything(self) -> None:
        """All that a run can hold."""
        self.log("train", [0.5, 1.0, 2.0], [-250.0, -150.0, -140.0])
        self.log("valid", [1.0, 2.0], [-160.0, -141.0])
        self.curve()
        self.latents([0.1, 2.0, 0.5])
        self.pictures()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[Path]]:
    """A run with everything in it, and its figures' files."""
    plant = Plant(tmp_path_factory.mktemp("drawn") / "run", reference_config())
    plant.everything()
    return plant.run, draw(plant.run)


@pytest.fixture
def plant(tmp_path: Path, config: dict[str, Any]) -> Plant:
    """A run folder by the reference's protocol, with nothing in it yet."""
    return Plant(tmp_path / "run", config)


@pytest.fixture
def planted_with(tmp_path: Path, config: dict[str, Any]) -> Callable[..., Plant]:
    """Makes a run folder whose config differs: ``planted_with("train.batch_size", 128)``."""

    def make(field: str, value: Any) -> Plant:
        *tables, name = field.split(".")
        table = config
        for key in tables:
            table = table[key]
        table[name] = value
        return Plant(tmp_path / "other", config)

    return make


@pytest.fixture
def style() -> Iterator[None]:
    """The style in which figures are drawn."""
    with styled():
        yield


@pytest.fixture
def sheet() -> Callable[[Figure], np.ndarray]:
    """Gives the drawn array of a figure of images; fails where it would be smoothed."""

    def drawn_array(figure: Figure) -> np.ndarray:
        (image,) = figure.axes[0].get_images()
        assert image.get_interpolation() == "nearest"
        canvas = np.asarray(image.get_array())
        assert {*np.unique(canvas[..., 3]).tolist()} <= {0, 255}, "there, or not there at all"
        assert (canvas[canvas[..., 3] == 0] == (255, 255, 255, 0)).all()
        return canvas[..., :3]

    return drawn_array


@pytest.fixture
def said() -> Callable[[Figure], str]:
    """Gives all words that a figure says outside of its axes, on one line."""
    return lambda figure: " ".join(" ".join(text.get_text() for text in figure.texts).split())


@pytest.fixture
def planted() -> Callable[..., Run]:
    """Makes a run that has ended, with the validation ELBO on a straight line: ``planted(path, config, results)``."""

    def make(
        path: Path,
        config: dict[str, Any] | None = None,
        results: dict[str, Result] | None = None,
        epochs: int = 20,
        elbo: tuple[float, float] = (-168.0, -101.0),
    ) -> Run:
        run = Run.create(
            path, config or {"seed": 0, "method": {"name": "vae"}, "data": {"name": "x"}}
        )
        first, last = elbo
        for epoch in range(1, epochs + 1):
            value = first + (last - first) * (epoch - 1) / max(1, epochs - 1)
            run.log(
                {"step": epoch * 10, "epoch": float(epoch), "seconds": 1.0, "valid/elbo": value}
            )
        run.record(results or {})
        run.finish("DONE", "trained")
        return run

    return make


# The reference's four arms as they are planted, which test_ablation.py reads too.
PLANTED = json.loads(Path(__file__).with_name("ablation.json").read_text())
ARMS, KNN, LOSS, VERDICT = (PLANTED[name] for name in ("arms", "knn", "loss", "verdict"))
UNTRAINED = PLANTED["untrained"]
VOTES = {"k": 200, "temperature": 0.1}
SEEDS = (0, 1)


@pytest.fixture
def ablation() -> Callable[..., StudyFolder]:
    """Makes a study of the reference's four arms, whose seeds lie 0.002 apart."""

    def make(
        folder: Path,
        knn: dict[str, float] = KNN,
        loss: dict[str, float] = LOSS,
        preset: str = "reference",
        data: str = "cifar10",
        states: dict[tuple[str, str], Any] | None = None,
        verdict: dict[str, str] = VERDICT,
        changed: dict[str, Any] | None = None,
        seeds: tuple[int, ...] = SEEDS,
        epochs: tuple[float, ...] = (100.0, 200.0),
        stderr: float | None = None,
    ) -> StudyFolder:
        arms = changed or ARMS
        for arm, switches in arms.items():
            for seed in seeds:
                tables = default_config("simsiam", preset).tables()
                tables["data"]["name"] = data
                run = Run.create(
                    folder / arm / f"seed-{seed}",
                    {**tables, "seed": seed, "method": {**tables["method"], **switches}},
                )
                run.log({"step": 0, "epoch": 0.0, "seconds": 0.0, "test/knn_top1": UNTRAINED})
                for epoch in epochs:
                    line = {"step": int(epoch), "epoch": epoch, "seconds": epoch}
                    run.log(
                        line | {"test/knn_top1": knn[arm] + 0.002 * seed, "train/loss": loss[arm]}
                    )
                if stderr is not None:
                    value = Result(knn[arm] + 0.002 * seed, stderr, 10_000, VOTES)
                    run.record({"test/knn_top1": value})
                run.finish("DONE", "trained")
        values = {
            "test/knn_top1": {
                a: {s: Number(knn[a] + 0.002 * s, VOTES) for s in seeds} for a in arms
            },
            "train/loss": {a: {s: Number(loss[a] + 0.001 * s, {}) for s in seeds} for a in arms},
        }
        control = next(iter(arms))
        found = {
            "study": "ablation",
            "control": control,
            "seeds": list(seeds),
            "curves": ["train/loss", "test/knn_top1"],
            "arms": {
                arm: {
                    "runs": {str(s): {"state": "done", "verdict": verdict[arm]} for s in seeds},
                    "verdicts": {verdict[arm]: len(seeds)},
                }
                for arm in arms
            },
            "metrics": {name: compare_metric(name, of, control) for name, of in values.items()},
        }
        for (arm, seed), state in (states or {}).items():
            found["arms"][arm]["runs"][seed] = state
        (folder / "study.json").write_text(json.dumps(found))
        (folder / "study.toml").write_text('[study]\nmethod = "simsiam"\n')
        return StudyFolder(folder)

    return make
