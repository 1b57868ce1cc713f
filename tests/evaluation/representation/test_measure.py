"""SimSiam from the first step to the last number, on few real digits, with and without labels."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from triptych import experiment
from triptych.config import Duration
from triptych.data import DataConfig, load
from triptych.environment import at_most, tf32
from triptych.evaluation.representation import measure
from triptych.evaluation.representation.knn import scored
from triptych.evaluation.subject import Subject
from triptych.evaluation.suite import EvaluateConfig
from triptych.methods.simsiam import SimSiam, SimSiamConfig
from triptych.methods.vicreg import VICReg, VICRegConfig
from triptych.reporting.terminal import result_lines
from triptych.runs import Run
from triptych.types import DataSpec

TINY = SimSiamConfig(depth=10, stem="half", width=4, projector=(16, 16), predictor_width=8)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same 300 digits with their classes, and without."""
    train = load(DataConfig("mnist-5k")).splits["train"]
    assert train.labels is not None
    folder = tmp_path_factory.mktemp("digits")
    labelled, bare = folder / "labelled.npz", folder / "bare.npy"
    np.savez(labelled, images=train.pixels[:300], labels=train.labels[:300])
    np.save(bare, train.pixels[:300])
    return labelled, bare


def trained(data: Path, out: Path) -> Run:
    config = experiment.default_config("simsiam")
    train = replace(
        config.train,
        duration=Duration(12, "steps"),
        validate_every=Duration(4, "steps"),
        log_every=4,
        batch_size=32,
        device="cpu",
        threads=1,
    )
    config = replace(config, method=TINY, data=DataConfig(str(data)), train=train)
    return experiment.train(config, out)


def test_a_labelled_run_is_scored_beside_its_baselines(files: tuple[Path, Path], tmp_path: Path):
    run = trained(files[0], tmp_path / "run")
    looks = [line for line in run.metrics() if "features/std" in line]
    assert [line["step"] for line in looks] == [0, 4, 8, 12]
    found = experiment.evaluate(run.path)

    best = next(line for line in looks if line["step"] == run.weights("best").step)
    assert best["valid/knn_top1"] == max(line["valid/knn_top1"] for line in looks[1:])
    assert found["valid/knn_top1"].value == best["valid/knn_top1"]
    assert found["test/knn_top1"].value == best["test/knn_top1"]
    assert found["test/knn_top1_untrained"].value == looks[0]["test/knn_top1"]
    assert found["test/knn_top1_pixels"].value == looks[0]["floor/pixels_knn_top1"]
    assert found["features/std"].value == best["features/std"]
    assert found["verdict"].value == looks[-1]["verdict"]
    for name in ("linear_top1", "logistic_top1"):
        assert 0 <= found[f"test/{name}"].value <= 1
        assert "95 % interval" in found[f"test/{name}"].note

    # By hand: raw pixels of the split that the run saw.
    splits = load(DataConfig(str(files[0]))).splits
    bank, queries = (
        torch.from_numpy(splits[name].pixels.copy()).flatten(1) / 255 for name in ("train", "test")
    )
    by_hand = scored(bank, splits["train"].labels, queries, splits["test"].labels)
    assert found["test/knn_top1_pixels"].value == by_hand.top1


@pytest.mark.parametrize(("kind", "lengths"), [(SimSiam, False), (VICReg, True)])
def test_that_all_shrink_to_a_point_is_seen_where_lengths_count(
    kind: type[SimSiam | VICReg], lengths: bool, files: tuple[Path, Path], tmp_path: Path
):
    """A thousandth of every projection has the same directions."""
    fields = {"depth": 10, "stem": "half", "width": 4, "projector": (16, 16)}
    dataset = load(DataConfig(str(files[0])))
    config = VICRegConfig(**fields) if lengths else TINY
    method = kind(config, DataSpec(dataset.shape, "grey")).eval()
    subject = Subject(method, dataset, "none", torch.device("cpu"))
    monitor = measure.FeaturesMonitor(subject, Run.create(tmp_path / "run", {}))
    before = monitor.measures()
    plain = method.project
    method.project = lambda h: plain(h) / 1000  # type: ignore[method-assign]
    after = monitor.measures()
    expected = 1 / 1000 if lengths else 1
    assert after["features/std"] == pytest.approx(expected * before["features/std"], rel=1e-4)
    assert after["features/effective_rank"] == pytest.approx(
        before["features/effective_rank"], rel=1e-3
    )


def test_every_network_encodes_every_split_once(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = trained(files[0], tmp_path / "run")
    seen: Counter[tuple[torch.nn.Module, str]] = Counter()
    part, encode, encoded = Subject.part, SimSiam.encode, [0]

    def counted(self: Subject, split: str, start: int, stop: int) -> torch.Tensor:
        # Kept, so that no later one has its identity.
        seen[self.method, split] += stop - start
        return part(self, split, start, stop)

    def passed(self: SimSiam, x: torch.Tensor) -> torch.Tensor:
        encoded[0] += len(x)
        return encode(self, x)

    monkeypatch.setattr(Subject, "part", counted)
    monkeypatch.setattr(SimSiam, "encode", passed)
    experiment.evaluate(run.path, EvaluateConfig(checkpoint="best"))
    sizes = {name: len(images) for name, images in load(DataConfig(str(files[0]))).splits.items()}
    splits = Counter(split for _, split in seen)
    assert splits == {"train": 3, "test": 3, "valid": 2}, "the best, untrained and last weights"
    assert all(seen[network, split] == sizes[split] for network, split in seen)
    # Beside them two views of the validation images, and two images whose features are counted.
    assert encoded[0] == sum(seen.values()) + 2 * sizes["valid"] + 2


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_threads_compute_than_were_asked_for(
    threads: int, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = trained(files[0], tmp_path / "run")
    seen: set[tuple[str, int]] = set()
    encode = SimSiam.encode

    def looked(self: SimSiam, x: torch.Tensor) -> torch.Tensor:
        seen.add(("torch", torch.get_num_threads()))
        seen.update((pool["user_api"], pool["num_threads"]) for pool in threadpool_info())
        return encode(self, x)

    monkeypatch.setattr(SimSiam, "encode", looked)
    before = threadpool_info()
    experiment.evaluate(run.path, EvaluateConfig(threads=threads))
    assert {("torch", threads), ("blas", 1)} <= seen
    assert max(count for _, count in seen) == threads
    after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert {pool["filepath"]: pool["num_threads"] for pool in before}.items() <= after.items()


def test_an_evaluation_computes_without_tf32_whatever_the_process_allows(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = trained(files[1], tmp_path / "run")
    seen: set[tuple[bool, bool]] = set()
    encode = SimSiam.encode

    def flags() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    def looked(self: SimSiam, x: torch.Tensor) -> torch.Tensor:
        seen.add(flags())
        return encode(self, x)

    monkeypatch.setattr(SimSiam, "encode", looked)
    with tf32(True):
        experiment.evaluate(run.path)
        assert (seen, flags()) == ({(False, False)}, (True, True))


def test_best_and_last_weights_are_measured_apart(files: tuple[Path, Path], tmp_path: Path):
    run = trained(files[0], tmp_path / "run")
    looks = [line for line in run.metrics() if "features/std" in line]
    best = experiment.evaluate(run.path)
    last = experiment.evaluate(run.path, EvaluateConfig(checkpoint="last"))
    assert best["test/knn_top1_last"].value == last["test/knn_top1"].value
    assert last["test/knn_top1"].value == looks[-1]["test/knn_top1"]
    assert best["test/linear_top1_last"].value == last["test/linear_top1"].value
    assert best["test/knn_top1_last"].protocol["checkpoint"] == "last"
    assert "test/knn_top1_last" not in last


def test_networks_of_large_data_are_measured_in_turn_to_the_same_results(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = trained(files[0], tmp_path / "run")
    beside = experiment.evaluate(run.path)
    held: list[int] = []
    remembered: dict[int, Subject] = {}
    features = Subject.features

    def counted(self: Subject, split: str) -> torch.Tensor:
        found = features(self, split)
        remembered[id(self)] = self
        held.append(sum(bool(one._encoded) for one in remembered.values()))
        return found

    monkeypatch.setattr(Subject, "features", counted)
    monkeypatch.setattr(measure, "TOGETHER", 0)
    # Kept alive here, the untrained network's features are one more than there would be.
    assert experiment.evaluate(run.path) == beside
    assert max(held) == 2


def test_images_without_labels_are_judged_by_retrieval(files: tuple[Path, Path], tmp_path: Path):
    run = trained(files[1], tmp_path / "run")
    found = experiment.evaluate(run.path)
    assert not any("top1" in name for name in run.results())
    said = run.left_out()
    for name in ("test/knn_top1", "test/knn_balanced", "test/linear_top1", "valid/knn_top1"):
        assert said[name] == "these data have no labels"
    assert found["features/retrieval"].n == 30
    assert "found again" in found["verdict"].note
    assert any(found["verdict"].note in line for line in result_lines(run.results()))
    assert run.arrays("neighbours") is not None


def test_whoever_interrupts_the_probes_does_not_wait_for_those_that_were_not_begun():
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.1)
        if number == 0:
            raise KeyboardInterrupt

    works = [lambda number=number: work(number) for number in range(20)]
    with at_most(2), pytest.raises(KeyboardInterrupt):
        measure._side_by_side(works, torch.device("cpu"))
    assert len(begun) < 10


def test_of_large_splits_a_look_takes_neighbours_that_lie_evenly_in_them(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(measure, "NEIGHBOURS", {"train": 100, "test": 16})
    run = trained(files[0], tmp_path / "run")
    first = run.metrics()[0]
    data = load(DataConfig(str(files[0])))
    splits = {name: data.splits[name] for name in ("train", "test")}
    assert [len(images) for images in splits.values()] == [240, 30]
    few = {"train": slice(None, None, 3), "test": slice(None, None, 2)}
    x = {
        name: torch.from_numpy(images.pixels[few[name]].copy()).flatten(1) / 255
        for name, images in splits.items()
    }
    labels = {name: images.labels[few[name]] for name, images in splits.items()}
    expected = scored(x["train"], labels["train"], x["test"], labels["test"])
    assert first["knn/bank"] == 80
    assert first["knn/k"] == expected.k
    assert first["floor/pixels_knn_top1"] == expected.top1
