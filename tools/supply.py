"""Build Triptych, install what was built into an empty environment, and work with it outside of the repository.

    python tools/supply.py FOLDER --constraints constraints-oldest.txt --tests      # make oldest
    python tools/supply.py FOLDER --constraints constraints.txt                     # make package

Held: the wheel has every file of src/triptych and no other; a wheel made from the source distribution is the same to the
bit; ``train``, ``evaluate`` and ``report`` run from an installation that knows no sources; and with ``--tests`` so does a
part of the tests, against what is installed. Any failure ends with exit code 1 and its output.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent

QUICK = (
    *("test_backbone", "test_checkpoint", "test_config", "test_experiment", "test_runs"),
    *("cli", "data", "methods", "evaluation/representation", "reporting/test_words"),
    *("studies/test_plan", "studies/test_compare", "training/test_resume"),
)
"""Tests that between them use every dependency, and take three minutes on two idle cores."""

SESSION = (
    ["train", "vae", "--steps", "20", "--out", "a"],
    ["train", "simsiam", "--preset", "demo", "--duration", "20 steps", "--out", "b"],
    ["evaluate", "a", "--samples", "10"],
    ["evaluate", "b"],
    ["report", "a", "b", "--out", "page.html"],
    ["export", "b", "--out", "b.safetensors"],
    ["runs", "."],
)
"""What is done with the installation."""


def say(words: str) -> None:
    """One line of what was found."""
    print(words, flush=True)


def made(place: Path, constraints: Path | None, *wanted: str | Path) -> Path:
    """An environment with these packages; its Python."""
    venv.create(place, with_pip=True, clear=True)
    python = place / "bin" / "python"
    limits = [] if constraints is None else ["-c", constraints]
    quiet = ["-q", "--disable-pip-version-check"]
    run([python, "-m", "pip", "install", *map(str, [*quiet, *limits, *wanted])], place)
    return python


def run(words: Sequence[str | Path], where: Path) -> None:
    """Run a command in a folder; nothing of this repository is on its path."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    subprocess.run(list(map(str, words)), cwd=where, env=environment, check=True)


def built(folder: Path) -> Path:
    """The wheel, whose files are those of the sources, and which the source distribution makes as well."""
    python = made(folder / "build", None, "build", "hatchling")
    build: list[str | Path] = [python, "-m", "build", "--no-isolation"]
    run([*build, "--wheel", "--sdist", "--outdir", folder / "dist", TREE], folder)
    (wheel,), (archive,) = (folder / "dist").glob("*.whl"), (folder / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder / "sources", filter="data")
    (sources,) = (folder / "sources").iterdir()
    run([*build, "--wheel", "--outdir", folder / "again", sources], folder)
    (again,) = (folder / "again").glob("*.whl")
    if digest(again) != digest(wheel):
        raise SystemExit("the wheel made from the source distribution is another")
    kept = subprocess.run(
        ["git", "ls-files", "src/triptych"], cwd=TREE, check=True, capture_output=True, text=True
    )
    due = {name.removeprefix("src/") for name in kept.stdout.split()}
    with zipfile.ZipFile(wheel) as packed_wheel:
        there = {name for name in packed_wheel.namelist() if ".dist-info/" not in name}
    if due != there:
        raise SystemExit(f"lacking: {sorted(due - there)}; too much: {sorted(there - due)}")
    say(f"{wheel.name}: {len(there)} files, those of the sources; the source distribution's is it")
    return wheel


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Build, install, use, and test if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where environments and what is built go")
    parser.add_argument("--constraints", type=Path, required=True)
    parser.add_argument("--tests", action="store_true", help="run a part of the tests as well")
    parser.add_argument("--demo", action="store_true", help="run triptych demo --quick as well")
    chosen = parser.parse_args()
    folder, constraints = chosen.folder.resolve(), chosen.constraints.resolve()
    folder.mkdir(parents=True)
    try:
        wheel = built(folder)
        python = made(folder / "empty", constraints, wheel)
        outside = folder / "outside"
        outside.mkdir()
        demo = [["demo", "--quick"]] if chosen.demo else []
        for words in [*SESSION, *demo]:
            run([python.with_name("triptych"), *words], outside)
        say(f"{len(SESSION) + len(demo)} commands ran outside of the repository")
        if chosen.tests:
            run([python, "-m", "pip", "install", "-q", "-c", constraints, "pytest>=8"], folder)
            paths = [TREE / "tests" / name for name in QUICK]
            files = [path if path.is_dir() else path.with_suffix(".py") for path in paths]
            # What old libraries warn of, with a newer one beside them, is not ours.
            pytest: list[str | Path] = [
                python,
                "-m",
                "pytest",
                "-q",
                "-W",
                "default",
                "--disable-warnings",
            ]
            run([*pytest, f"--rootdir={TREE}", "-c", TREE / "pyproject.toml", *files], TREE)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"exit code {error.returncode}: {' '.join(error.cmd)}") from None


if __name__ == "__main__":
    main()
