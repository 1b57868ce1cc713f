"""A study on a real Ray of two nodes on this machine: with a node lost in the midst it ends in the numbers of home."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import signal
import socket
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import triptych
from triptych import experiment
from triptych.cli.main import main
from triptych.errors import TriptychError
from triptych.experiment import default_config
from triptych.reproduction.plan import plan
from triptych.reproduction.reproduce import reproduce
from triptych.runs import Run
from triptych.studies import on_ray
from triptych.studies.compare import write
from triptych.studies.execute import Ended, execute, unfinished
from triptych.studies.on_node import Mailbox, pack, unpack
from triptych.studies.plan import Cell, Study, load, open_folder
from triptych.studies.process import Errand
from triptych.studies.watch import Row
from triptych.studies.where import Where

ray = pytest.importorskip("ray", reason="Ray cannot be installed for this Python")

FILE = """
[study]
method = "vae"
seeds = [0]
metrics = ["valid/elbo", "test/log_likelihood", "train/elbo"]
curves = ["train/elbo"]

[base]
method.hidden = [8]
method.latent = 3
data.name = "mine.npy"
train.duration = "2000 steps"
train.batch_size = 8
train.log_every = 50
train.validate_every = "500 steps"
train.checkpoint_every = "100 steps"

[arms.default]
[arms.narrow]
method.latent = 1
[arms.broken]
method.optimizer.lr = 1e30
"""


@pytest.fixture(scope="module")
def cluster(cache: None) -> Iterator[Any]:
    """A head without cores, where the studies lie, and nodes of a core each that come and go; all on 127.0.0.1."""
    from ray._private import ray_constants
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        # Its processes would wait for all that runs beside them, which here is other tests.
        patch.setenv("RAY_worker_niceness", "0")
        # How Ray is told to stay on this machine; here it may have been imported before.
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        patch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", False)
        head = {
            "num_cpus": 0,
            "include_dashboard": False,
            "node_ip_address": "127.0.0.1",
            "object_store_memory": 150 * 2**20,
        }
        made = Cluster(initialize_head=True, head_node_args=head)
        assert made.address.startswith("127.0.0.1:")
        yield made
        made.shutdown()


@pytest.fixture
def on(cluster: Any) -> Where:
    """The cluster with two nodes."""
    while len(cluster.worker_nodes) < 2:
        cluster.add_node(num_cpus=1, node_ip_address="127.0.0.1")
    return Where("ray", cluster.address)


@pytest.fixture(scope="module")
def study_at_home(tmp_path_factory: pytest.TempPathFactory, cache: None, squares, finish) -> Path:
    """Images, a study of them, and what it comes to at home, in this process."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        squares()
        Path("mine.toml").write_text(FILE)
        study, home = load(Path("mine.toml")), Path("home")
        open_folder(home, study)
        finish(home, study)
    return folder


@pytest.fixture
def here(study_at_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of it: the images have a relative name."""
    monkeypatch.chdir(study_at_home)
    return study_at_home


def lines(run: Run) -> list[dict[str, Any]]:
    """What was logged, but for the seconds."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()]


def saved(folder: Path, arm: str) -> int:
    """The step of the last checkpoint at home."""
    return int(Run(folder / arm / "seed-0").about("last").get("step", 0))


def node_of(cluster: Any, arm: str) -> Any:
    """The node of which a process works on an arm: its task's parent is the node's raylet."""
    raylets = {node.all_processes["raylet"][0].process.pid: node for node in cluster.worker_nodes}
    for about in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = about.read_bytes().split(b"\0")
            if b"triptych.studies.worker" in words and arm.encode() in words:
                process = int(about.parent.name)
                while process not in raylets and process > 1:
                    process = int(
                        Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1]
                    )
                if process in raylets:
                    return raylets[process]
    raise LookupError(arm)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "brought-back"])
def test_with_a_node_lost_it_ends_in_the_numbers_of_home(
    here: Path, cluster: Any, on: Where, monkeypatch: pytest.MonkeyPatch, shared: bool
):
    """Where the nodes do not see the folder, somebody also stops it then, and the next call goes on."""
    study, folder = load(Path("mine.toml")), Path("shared" if shared else "brought")
    monkeypatch.setattr(on_ray, "RHYTHM", 0.0)
    if not shared:
        monkeypatch.setattr(on_ray, "_mark", lambda folder, mark: None)
    states: list[list[str]] = []
    killed: dict[str, int] = {}

    def look(rows: list[Row], left: float | None) -> None:
        states.append([row.state for row in rows])
        for arm in (row.cell.arm for row in rows if row.state == "training"):
            if not killed and saved(folder, arm):
                killed[arm] = saved(folder, arm)
                cluster.remove_node(node_of(cluster, arm), allow_graceful=False)
        # As soon as another node has begun it: a process takes seconds to start, so that it cannot have ended by then.
        begun = any(row.state == "training" and said(row.cell.arm) for row in rows)
        if begun and not shared and not stopped:
            stopped.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    def said(arm: str) -> bool:
        log = folder / "logs" / f"{arm}-seed-0.log"
        return log.exists() and "its node was lost" in log.read_text()

    stopped: list[bool] = []
    ended = execute(study, folder, on=on, show=look)
    assert killed
    assert max(state.count("training") + state.count("measuring") for state in states) == 2
    assert {arm for arm in study.arms if said(arm)} == set(killed)
    if not shared:
        assert ended == Ended(True, {})
        assert unfinished(study, folder)
        ended = execute(study, folder, on=on)
    assert ended == Ended(False, {})
    assert write(study, folder) == write(study, Path("home"))
    for cell in study.cells():
        there, at_home = Run(cell.path(folder)), Run(cell.path(Path("home")))
        assert lines(there) == lines(at_home)
        assert there.results() == at_home.results()
        assert (there.path / ".lock").exists() == shared
    assert Run(folder / "broken" / "seed-0").status() == "failed"
    assert not list(folder.glob(".seen-*"))


OWN = """
from triptych.methods.vae import VAE

class Mine(VAE):
    \"""A VAE of one's own.\"""
"""

PRESET = """
[method]
hidden = [8]
latent = 3
[data]
name = "mine.npy"
[train]
duration = "40 steps"
batch_size = 8
log_every = 10
threads = 1
"""

SCALE = """
[panels.first]
method = "mine.py"
preset = "mine-preset.toml"
"""


def test_a_reproduction_is_done_there_too_with_a_method_of_ones_own(
    here: Path, on: Where, monkeypatch: pytest.MonkeyPatch
):
    for name, text in {"mine.py": OWN, "mine-preset.toml": PRESET, "one.toml": SCALE}.items():
        Path(name).write_text(text)
    config = default_config("mine.py", "mine-preset.toml")
    at_home = experiment.train(config, "one-at-home")
    monkeypatch.setattr(on_ray, "_mark", lambda folder, mark: None)
    outcome = reproduce(plan("one.toml"), Path("one"), on=on)
    assert outcome.failures == {}
    assert not outcome.stopped
    assert outcome.page.is_file()
    there = Run(Path("one/first"))
    assert lines(there) == lines(at_home)
    assert there.results()["test/log_likelihood"]["n"] > 0
    assert (there.path / "playable.json").is_file()
    assert not (there.path / ".lock").exists(), "it was worked on elsewhere"
    assert reproduce(plan("one.toml"), Path("one"), on=on).idle


def test_what_is_wrong_on_a_node_is_said_with_its_name(
    here: Path, on: Where, monkeypatch: pytest.MonkeyPatch
):
    study, cell = load(Path("mine.toml"), options={"metrics": ("train/elbo",)}), Cell("broken", 0)
    study = Study(
        dataclasses.replace(study.config, control="broken"), {"broken": study.arms["broken"]}
    )
    monkeypatch.setattr(triptych, "__version__", "0.0.1")
    problem = execute(study, Path("remote"), on=on).problems[cell]
    assert problem.startswith("the node 127.0.0.1 has Triptych ")
    assert problem.endswith(", and here is 0.0.1: install the same")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    Path("mine.npy").rename("moved.npy")
    problem = execute(study, Path("remote"), on=on).problems[cell]
    assert problem.startswith("on the node 127.0.0.1: ")
    assert "mine.npy" in problem
    Path("moved.npy").rename("mine.npy")
    wide = Study(
        study.config, {"broken": load(Path("mine.toml"), ["train.threads=64"]).arms["broken"]}
    )
    with pytest.raises(TriptychError, match="asks for 64 cores, and no node has as many"):
        execute(wide, Path("wide"), on=on)


def test_without_a_cluster_it_is_said_how_to_begin_one(here: Path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["study", "mine.toml", "--on", f"ray:{nobody}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"triptych: there is no Ray cluster at '{nobody}' that can be used: ")
    assert said.endswith("; begin one with: ray start --head\n")
    assert main(["study", "mine.toml", "--on", "ray:ray://127.0.0.1:10001"]) == 2
    assert "--on ray takes HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("device", "jobs", "cards", "needs"),
    [
        ("cpu", 3, 1.0, {"num_cpus": 2, "num_gpus": 0}),
        ("auto", None, 0.0, {"num_cpus": 2, "num_gpus": 0}),
        ("auto", None, 1.0, {"num_cpus": 2, "num_gpus": 1.0}),
        ("cuda", 3, 1.0, {"num_cpus": 2, "num_gpus": 0.3333}),
    ],
)
def test_a_run_asks_for_its_cores_and_its_share_of_a_gpu(monkeypatch, device, jobs, cards, needs):
    monkeypatch.setattr(on_ray, "_most", lambda what: {"CPU": 4.0, "GPU": cards}[what])
    errand = Errand(Path("s"), "a/seed-0", "log", "m", "", threads=2, device=device)
    crowd = on_ray.Cluster(jobs, None)
    assert crowd.needs(errand) == needs
    assert crowd.at_once([device]) == (jobs if device == "cpu" else sys.maxsize)


def test_a_run_comes_back_whole_and_what_it_has_no_more_is_removed(tmp_path: Path):
    there, at_home = tmp_path / "there", tmp_path / "home"
    for folder, names in ((there, ("DONE", "a.npz")), (at_home, ("FAILED", ".lock"))):
        (folder / "a" / "samples").mkdir(parents=True)
        for name in names:
            (folder / "a" / name).write_text(name)
    errand = Errand(at_home, "a", "log", "m", "")
    box = Mailbox()
    box.expect("a", errand, 1)
    names = ["a", "a/DONE", "a/a.npz", "a/samples", "a/gone"]
    assert box.tell("a", 1, pack(there, names), names)
    assert sorted(p.name for p in (at_home / "a").iterdir()) == [
        ".lock",
        "DONE",
        "a.npz",
        "samples",
    ]
    box.stop("a")
    assert not box.tell("a", 1, b"", None)


def test_a_node_that_was_given_up_brings_nothing_any_more(tmp_path: Path):
    (tmp_path / "there" / "a").mkdir(parents=True)
    (tmp_path / "there" / "a" / "DONE").touch()
    box = Mailbox()
    box.expect("a", Errand(tmp_path, "a", "log", "m", ""), 1)
    assert not box.tell("a", 0, pack(tmp_path / "there", ["a/DONE"]), ["a/DONE"])
    assert not (tmp_path / "a").exists()
    assert box.at_work() == set()


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "b/DONE", "a/../../out", "logs/b.log"])
def test_nothing_is_written_outside_of_the_run(tmp_path: Path, name: str):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(TriptychError, match="is no part of the run"):
        unpack(made.getvalue(), tmp_path / "home", "a", "logs/a.log")
    assert not (tmp_path / "home").exists()


def test_a_link_is_no_file_of_a_run(tmp_path: Path):
    made, link = io.BytesIO(), tarfile.TarInfo("a/best")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(link)
    with pytest.raises(TriptychError, match="is no file"):
        unpack(made.getvalue(), tmp_path, "a")
    assert not list(tmp_path.iterdir())
