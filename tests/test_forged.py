"""Checkpoints whose checksum is right, since whoever changed them wrote that too: refused in a sentence, or taken as they are."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from triptych import checkpoint
from triptych.cli.main import main

Change = Callable[[dict[str, Tensor], dict[str, Any]], object]

SMALL = [
    "--steps",
    "4",
    "--batch-size",
    "8",
    "--method.hidden",
    "4",
    "--method.latent",
    "2",
    "--threads",
    "1",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    folder = tmp_path_factory.mktemp("forged")
    draw = np.random.default_rng(0)
    np.save(folder / "mine.npy", draw.integers(0, 256, (60, 8, 8)).astype(np.uint8))
    run = folder / "run"
    assert (
        main(["train", "vae", "--data", str(folder / "mine.npy"), "--out", str(run), *SMALL]) == 0
    )
    return run


def filled(part: str, value: float) -> Change:
    return lambda tensors, about: [t.fill_(value) for name, t in tensors.items() if part in name]


def doubled(part: str) -> Change:
    return lambda tensors, about: tensors.update(
        {name: t.double() for name, t in tensors.items() if name.startswith(part)}
    )


def told(**fields: Any) -> Change:
    return lambda tensors, about: about.update(fields)


def untold(name: str) -> Change:
    return lambda tensors, about: about.pop(name)


SPEC = {"values": "grey", "mirrors": True}

EVERYWHERE: dict[str, tuple[Change, str]] = {
    "weights that are no numbers": (filled("weights.", math.nan), "that are not finite"),
    "weights without end": (filled("weights.", math.inf), "that are not finite"),
    "weights of another type": (doubled("weights."), "of float64 there and"),
    "a step below 0": (told(step=-1), "step is missing or of another kind"),
    "a step of words": (told(step="x"), "step is missing or of another kind"),
    "no devices": (told(devices=0), "devices is missing or of another kind"),
}

MEASURED: dict[str, tuple[Change, str]] = {
    "images of no size": (
        told(spec={**SPEC, "shape": [-1, 8, 8]}),
        "there are no images of [-1, 8, 8]",
    ),
    "images that nothing holds": (
        told(spec={**SPEC, "shape": [1, 10**6, 10**6]}),
        "there are no images of [1, 1000000, 1000000]",
    ),
    "no data": (untold("data"), "does not say what it was trained on"),
}

TRAINED: dict[str, tuple[Change, str]] = {
    "a step beyond the end": (told(step=2**62), "and this training ends with step 4"),
    "moments that are no numbers": (filled("exp_avg", math.nan), "or that of another one"),
    "moments of another type": (doubled("optimizer."), "or that of another one"),
    "an optimizer's step below 0": (filled(".step", -5), "or that of another one"),
    "terms of another method": (
        told(terms={"critic": ["gap", "error"]}),
        "has logged does not fit",
    ),
    "a count below 0": (filled(".count", -3), "has logged does not fit"),
}

RESUME, EVALUATE = ["train", "--resume", "run"], ["evaluate", "run", "--samples", "5"]
EXPLORE = ["explore", "run", "--open", "false"]

CASES = [
    (words, name)
    for names, verbs in (
        (EVERYWHERE, (RESUME, EVALUATE, EXPLORE)),
        (MEASURED, (EVALUATE, EXPLORE)),
        (TRAINED, (RESUME,)),
    )
    for name in names
    for words in verbs
]


@pytest.mark.parametrize(
    ("words", "name"), CASES, ids=lambda value: value if isinstance(value, str) else value[0]
)
def test_what_is_forged_is_refused_in_a_sentence(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
    words: list[str],
    name: str,
):
    monkeypatch.chdir(tmp_path)
    change, said = {**EVERYWHERE, **MEASURED, **TRAINED}[name]
    shutil.copytree(trained, "run")
    Path("run/DONE").unlink()
    paths = sorted(Path("run/checkpoints").glob("*.safetensors"))
    for path in paths:
        tensors, about = checkpoint.load(path)
        change(tensors, about)
        checkpoint.save(path, tensors, about)
    capsys.readouterr()
    assert main(words) == 2
    error = capsys.readouterr().err
    (sentence,) = [line for line in error.splitlines() if line.startswith("triptych: ")]
    assert said in sentence
    assert "safetensors'" in sentence
