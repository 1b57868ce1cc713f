"""A study in the queue of a Slurm of one machine, begun for these tests: cut off in every way, it ends in the same numbers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import triptych as tt
from triptych.cli.main import main
from triptych.errors import TriptychError
from triptych.runs import Run
from triptych.studies.compare import write
from triptych.studies.execute import execute, unfinished
from triptych.studies.plan import Cell, Study, load, open_folder
from triptych.studies.process import Errand, begin
from triptych.studies.slurm_job import Job, Queued, queue
from triptych.studies.status import status
from triptych.studies.where import Where, where
from triptych.studies.worker import work

FILE = """
[study]
method = "vae"
seeds = [0]
metrics = ["valid/elbo", "test/log_likelihood", "train/elbo"]

[base]
method.hidden = [8]
method.latent = 3
data.name = "mine.npy"
train.duration = "200 steps"
train.batch_size = 8
train.compile = "off"
train.log_every = 100
train.validate_every = "100000 steps"
train.checkpoint_every = "100000 steps"

[arms.default]
[arms.narrow]
method.latent = 1
"""

BROKEN = """
[arms.broken]
method.optimizer.lr = 1e30
"""

STEPS = 4000
"""Of a run that is cut off twice before its end, and looked at ten times a second."""

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A job that is queued again waits for as long as its credential is valid: two minutes, if nothing is said.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=batch_sched_delay=0,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def asked(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture(scope="module")
def slurm(cache: None, until) -> Iterator[None]:
    """Slurm with one node of two cores, all of it on 127.0.0.1."""
    found = os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin"
    programs = {name: shutil.which(name, path=found) for name in ("munged", "slurmctld", "slurmd")}
    if not all(programs.values()) or not shutil.which("sbatch"):
        pytest.skip("there is no Slurm to begin: apt-get install slurm-wlm munge, as root")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    (folder / "munge.key").write_bytes(os.urandom(64))
    (folder / "munge.key").chmod(0o400)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two)]
    host, user = socket.gethostname().partition(".")[0], asked("id", "-un")
    told = CONFIG.format(host=host, ports=ports, user=user, folder=folder)
    (folder / "slurm.conf").write_text(told)
    files = {name: f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")}
    munge = ["-F", "--force", f"--socket={folder}/munge.socket", *files.values()]
    begun = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            for name, words in (("munged", munge), ("slurmctld", ["-D"]), ("slurmd", ["-D"])):
                with (folder / f"{name}.log").open("wb") as log:
                    program = [str(programs[name]), *words]
                    begun.append(subprocess.Popen(program, stdout=log, stderr=log))
                if name == "munged":
                    until(lambda: (folder / "munge.socket").exists(), 20)
            until(lambda: asked("sinfo", "-h", "-o", "%t") == "idle", 30)
            yield
            asked("scancel", "--user", user)
            until(lambda: not asked("squeue", "-h"), 30)
        finally:
            for process in reversed(begun):
                process.terminate()
                process.wait(20)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squares: Callable[[], None]) -> Path:
    monkeypatch.chdir(tmp_path)
    squares()
    return tmp_path


@pytest.fixture
def at_home(finish) -> Callable[[Study], dict[str, object]]:
    """What a study finds where it is done in this process."""

    def found(study: Study) -> dict[str, object]:
        folder = Path("whole")
        open_folder(folder, study)
        finish(folder, study)
        return write(study, folder)

    return found


def jobs(folder: Path) -> dict[str, str]:
    return dict(json.loads((folder / "slurm.json").read_text())["jobs"])


def reached(folder: Path, arm: str) -> int:
    metrics = Run(folder / arm / "seed-0").metrics()
    return int(metrics[-1]["step"]) if metrics else 0


def test_submitted_it_returns_at_once_and_ends_in_the_numbers_of_home(
    slurm, here: Path, capsys, at_home, until
):
    Path("mine.toml").write_text(FILE + BROKEN)
    study, folder = load(Path("mine.toml")), Path("studies/mine")
    submit = ["study", "mine.toml", "--on", "slurm:main", "--time", "5", "--jobs", "2"]
    # The jobs begin elsewhere: mine.npy is still the one beside the study file.
    assert main([*submit, "--sbatch", "comment=mine", "chdir=/"]) == 0
    said = capsys.readouterr().out
    assert unfinished(study, folder) == list(study.cells())
    job = jobs(folder)["default/seed-0"].partition("_")[0]
    assert said.startswith(f"3 runs of 'mine' submitted to Slurm as job {job}\n")
    assert f"triptych study {here}/studies/mine --status\n" in said
    assert asked("squeue", "-h", "-j", job, "-o", "%k").split("\n")[0] == "mine"

    before = jobs(folder)
    assert main(submit) == 0
    assert f"3 runs in its queue already as job {job}\n" in capsys.readouterr().out
    assert jobs(folder) == before
    assert main(["study", str(folder), "--status"]) == 1
    assert "0 of 3 runs ended" in capsys.readouterr().out

    expected = at_home(study)
    until(lambda: not asked("squeue", "-h"))
    assert main(["study", "mine.toml", "--status"]) == 0
    assert "- broken, seed 0: failed: the term " in capsys.readouterr().out
    assert json.loads((folder / "study.json").read_text()) == expected
    for arm in ("default", "narrow"):
        assert Run(folder / arm / "seed-0").weights("last") == Run(
            Path("whole") / arm / "seed-0"
        ).weights("last")
    assert main(submit) == 0
    assert "numbers " in capsys.readouterr().out
    assert jobs(folder) == before, "nothing was left to submit"


def test_cut_off_in_every_way_it_goes_on_from_its_checkpoint(
    slurm, here: Path, capsys, at_home, until
):
    text = FILE.replace("200 steps", f"{STEPS} steps").replace(', "test/log_likelihood"', "")
    Path("long.toml").write_text(text.replace("[base]", "evaluate = false\n[base]"))
    study, folder = load(Path("long.toml")), Path("studies/long")
    arms = ("default", "narrow")
    handle = tt.study("long.toml", on="slurm", time=20, progress=False)
    assert set(handle.status().values()) <= {"training", "queued: None", "queued: Priority"}
    until(lambda: min(reached(folder, arm) for arm in arms) > 0)
    first = jobs(folder)

    subprocess.run(["scancel", *first.values()], check=True)
    until(lambda: not queue(first.values()))
    for arm in arms:
        job = first[f"{arm}/seed-0"]
        said = f"stuck: it ended without a word (job {job}, see studies/long/logs/slurm/{job}_0_log.err)"
        assert handle.status()[f"{arm}, seed 0"] == said
        assert "CANCELLED" in (folder / "logs" / "slurm" / f"{job}_0_log.err").read_text()
    assert main(["study", str(folder), "--status"]) == 1
    assert "narrow, seed 0 has no outcome" in capsys.readouterr().err
    cancelled = {arm: Run(folder / arm / "seed-0").about("last")["step"] for arm in arms}
    assert all(0 < step < STEPS for step in cancelled.values())

    tt.study("long.toml", on="slurm", time=20, progress=False)
    second = jobs(folder)
    assert not set(second.values()) & set(first.values())
    until(lambda: all(reached(folder, arm) > cancelled[arm] + 200 for arm in arms))
    # As Slurm sends it before the limit, and as it sends it where another job goes first.
    for arm, kind in (("default", "USR2"), ("narrow", "TERM")):
        subprocess.run(["scancel", f"--signal={kind}", second[f"{arm}/seed-0"]], check=True)
    until(lambda: all(job.waits for job in queue(second.values()).values()), 30)
    assert set(handle.status().values()) == {"queued: BeginTime"}
    saved = {arm: Run(folder / arm / "seed-0").about("last")["step"] for arm in arms}
    assert all(cancelled[arm] < saved[arm] < STEPS for arm in arms)

    expected = at_home(study)
    until(lambda: not asked("squeue", "-h"))
    assert handle.status() == {f"{arm}, seed 0": "done" for arm in arms}
    assert jobs(folder) == second
    assert json.loads((folder / "study.json").read_text()) == expected
    assert handle.metrics == expected["metrics"]


@pytest.fixture
def study(here: Path) -> Study:
    """Begun, and nothing of it done."""
    Path("mine.toml").write_text(FILE.replace("metrics", "evaluate = false\nmetrics"))
    found = load(Path("mine.toml"))
    open_folder(Path("studies/mine"), found)
    return found


def test_the_status_of_a_study_here_needs_no_slurm(study: Study, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "submitit", None)
    folder = Path("studies/mine")
    work(folder, Cell("default", 0))
    assert main(["study", "mine.toml", "--status"]) == 1
    said = capsys.readouterr().out.split("\n")
    assert [line.split()[-1] for line in said[1:3]] == ["done", "waiting"]
    narrow = Run(folder / "narrow" / "seed-0")
    narrow.path.mkdir(parents=True)
    with narrow.lock():
        assert [row.state for row in status(study, folder).rows] == ["done", "training"]
    work(folder, Cell("narrow", 0))
    assert main(["study", str(folder), "--status"]) == 0
    assert (folder / "study.json").exists()


def test_where_the_queue_cannot_be_asked_the_folder_still_says_most(
    study: Study, monkeypatch, capsys
):
    monkeypatch.setenv("PATH", "")
    folder = Path("studies/mine")
    (folder / "slurm.json").write_text('{"jobs": {"default/seed-0": "7_0"}}')
    assert main(["study", "mine.toml", "--status"]) == 1
    out, err = capsys.readouterr()
    assert "0 of 2 runs ended" in out
    assert "there is no Slurm on this machine (no squeue)" in err
    with pytest.raises(TriptychError, match="no Slurm on this machine"):
        execute(study, folder, on=Where("slurm"))
    (folder / "slurm.json").unlink()
    with pytest.raises(TriptychError, match="no Slurm on this machine"):
        execute(study, folder, on=Where("slurm"))


@pytest.mark.parametrize("jobs", ['{"default/seed-0": "7; rm"}', '{"default/seed-0": 7}', "[]"])
def test_a_record_of_jobs_that_is_none_of_ours_is_one_sentence(study: Study, capsys, jobs: str):
    (Path("studies/mine") / "slurm.json").write_text(f'{{"jobs": {jobs}}}')
    assert main(["study", "mine.toml", "--status"]) == 1
    assert "slurm.json' is damaged" in capsys.readouterr().err


def test_no_study_has_no_status(here: Path, capsys):
    Path("mine.toml").write_text(FILE)
    assert main(["study", "mine.toml", "--status"]) == 2
    assert "'studies/mine' holds no study" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--time", "5"], "--time and --sbatch are for jobs of Slurm"),
        (["--on", "slurm", "--time", "0"], "--time 0 is too small"),
        (["--on", "slurm", "--sbatch", "mem="], "--sbatch takes KEY=VALUE"),
        (["--on", "slurm", "--sbatch", "comment=a\nb"], "--sbatch takes KEY=VALUE"),
        (["--on", "slurm", "--sbatch", "signal=KILL@9"], "--sbatch does not take 'signal'"),
    ],
)
def test_a_wrong_option_is_one_sentence(here: Path, capsys, words: list[str], said: str):
    Path("mine.toml").write_text(FILE)
    assert main(["study", "mine.toml", *words]) == 2
    assert said in capsys.readouterr().err
    assert not Path("studies").exists()


def test_a_reproduction_is_one_job(here: Path, capsys):
    assert main(["reproduce", "--scale", "demo", "--on", "slurm"]) == 2
    assert "sbatch --wrap 'srun triptych reproduce" in capsys.readouterr().err
    assert not Path("reproductions").exists()


def test_a_folder_whose_name_slurm_would_read_is_refused(here: Path, capsys):
    Path("mine.toml").write_text(FILE)
    assert main(["study", "mine.toml", "--on", "slurm", "--out", "50%j"]) == 2
    assert "50%j': its name has a percent sign" in capsys.readouterr().err


def test_what_slurm_refuses_is_one_sentence(slurm, here: Path, capsys):
    Path("mine.toml").write_text(FILE)
    assert main(["study", "mine.toml", "--on", "slurm:nowhere"]) == 2
    assert capsys.readouterr().err.startswith("triptych: Slurm took no job: sbatch: error: ")


def test_options_of_sbatch_are_as_python_spells_them():
    found = where("slurm:gpu", 90, ["account=me", "--mem-per-cpu=2G", "exclusive"])
    options = (("account", "me"), ("mem_per_cpu", "2G"), ("exclusive", True))
    assert found == Where("slurm", "gpu", 90, options)


def test_a_card_is_asked_for_by_its_own_machine_alone(study: Study):
    from triptych.studies.execute import check, errand

    cuda = load(Path("mine.toml"), ["train.device=cuda"])
    check(cuda, list(cuda.cells()), on=Where("slurm"))
    told = errand(cuda, Path("studies/mine"), Cell("default", 0))
    assert (told.device, told.threads) == ("cuda", 0)


def test_a_job_that_gained_nothing_in_its_whole_time_does_not_come_again(study: Study):
    folder = Path("studies/mine").resolve()
    (folder / "logs").mkdir()
    log = Cell("default", 0).log
    # Not a worker: it ends at once, with an error.
    told = Errand(folder, "default/seed-0", log, module="json.tool", place="nothing")
    for elapsed, comes in ((1.0, True), (50.0, False)):
        job = Job(told, minutes=1)
        job.process = begin(told)
        job.code = job.process.wait()
        job.began, job.reached = time.monotonic() - elapsed, (0, False)
        assert job.code
        assert (job.checkpoint() is not None) == comes
    assert (folder / log).read_text().endswith("--time 1; give it more\n")


def test_what_every_job_imports_is_light():
    program = "import sys, triptych.studies.slurm_job; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_job_that_was_requeued_waits():
    assert Queued("PENDING", "BeginTime").waits
    assert not Queued("RUNNING", "None").waits
    assert not Queued("COMPLETING", "None").waits
