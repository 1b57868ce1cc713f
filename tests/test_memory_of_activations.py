"""What the machine has no memory for ends in one sentence, and the run is no failure."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from triptych.runs import Run

LIMITED = """
import resource, sys
import triptych.cli.train, triptych.experiment
from triptych.cli.main import main
# As much as there is now, and 700 MB more.
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 700_000_000,) * 2)
sys.exit(main(sys.argv[1:]))
"""


def test_activations_that_do_not_fit_are_said_in_one_sentence(tmp_path: Path):
    draw = np.random.default_rng(0)
    np.save(tmp_path / "mine.npy", draw.integers(0, 256, (60, 64, 64)).astype(np.uint8))
    words = ["train", "simsiam", "--data", str(tmp_path / "mine.npy"), "--image-size", "256"]
    words += ["--batch-size", "40", "--steps", "1", "--threads", "1", "--method.depth", "10"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words, "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("triptych: there")]
    assert said.endswith("take a smaller --batch-size, --image-size or smaller networks")
    assert "Traceback" not in done.stderr
    assert Run.open(tmp_path / "run").status() == "interrupted"
