"""`triptych data info`: everything that was decided about the data can be read there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.cli.main import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two splits of two classes, images of two levels, and one more file that is no image."""
    for split, count in (("training", 10), ("test", 4)):
        for level, name in ((0, "a"), (100, "b")):
            (tmp_path / "d" / split / name).mkdir(parents=True)
            for place in range(count):
                image = np.full((4, 4), level, np.uint8)
                Image.fromarray(image).save(tmp_path / "d" / split / name / f"{level}_{place}.png")
    (tmp_path / "d" / "training" / "notes.txt").write_text("")
    return tmp_path / "d"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["data", "info", *words]) == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines())
    return printed


def test_what_it_shows(folder: Path, capsys: pytest.CaptureFixture[str]):
    printed = said(capsys, str(folder), "--holdout", "0")
    for line in (
        "title        d",
        "images       20 train, 8 test",
        "files        train 20 files; test 8 files",
        "shape        1×4×4 (channels×height×width)",
        "values       grey; levels 0 (50.0%) to 100 (50.0%) in train",
        "mean ± std   50.0 ± 50.0, a channel, of 255, in train",
        "classes      2; images in train / test",
        "             a: 10 / 4",
        "             b: 10 / 4",
        "note         splits were told by the names of folders: 'test' is test,",
        "note         left out training/notes.txt that are no images",
    ):
        assert line in printed.splitlines()
    assert "(valid taken out of train)" in said(capsys, str(folder))


def test_moments_are_those_of_numpy(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    images = np.random.default_rng(0).integers(7, 200, (5000, 4, 4, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x_train=images, x_test=images[:9])
    told = said(capsys, str(tmp_path / "d.npz"), "--holdout", "0")
    mean, deviation = images.mean((0, 1, 2)), images.std((0, 1, 2))
    line = ", ".join(f"{m:.1f} ± {s:.1f}" for m, s in zip(mean, deviation, strict=True))
    assert f"mean ± std   {line}, a channel" in told
    assert f"levels 7 ({(images == 7).mean():.1%}) to 199" in told


def test_many_classes_are_shortened(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    labels = np.repeat(np.arange(1000), 2)
    np.savez(tmp_path / "d.npz", images=np.zeros((2000, 2, 2), np.uint8), labels=labels)
    printed = said(capsys, str(tmp_path / "d.npz"))
    assert "classes      1,000; images in train / valid / test" in printed
    assert "and 990 more; 0 to 2 images each in train" in printed
    assert len(printed.splitlines()) < 30


def test_every_broken_image_is_listed(folder: Path, capsys: pytest.CaptureFixture[str]):
    for place in range(6):
        (folder / "training" / "a" / f"0_{place}.png").write_bytes(b"")
    (folder / "training" / "b" / "100_0.png").rename(folder / "training" / "b" / "\x1b[1m.png")
    (folder / "training" / "b" / "\x1b[1m.png").write_bytes(b"no image")
    printed = said(capsys, str(folder), "--broken").splitlines()
    assert printed == [
        *[f"training/a/0_{place}.png: empty" for place in range(6)],
        "training/b/\\x1b[1m.png: not an image",
        "7 of 28 images do not decode",
    ]
    assert main(["data", "info", str(folder)]) == 2
    assert "--skip-broken true" in capsys.readouterr().err
    printed = said(capsys, str(folder), "--skip-broken", "true", "--holdout", "0")
    assert "images       13 train, 8 test" in printed
    assert "they were left out" in " ".join(printed.split())


def test_names_are_shown_and_not_obeyed(folder: Path, capsys: pytest.CaptureFixture[str]):
    for split in ("training", "test"):
        (folder / split / "a").rename(folder / split / "a\x1b[31m\n[bold]<b>")
    printed = said(capsys, str(folder))
    assert "\x1b" not in printed
    assert "a\\x1b[31m\\n[bold]<b>: " in printed


def test_a_refusal_is_one_line_whatever_the_folder_is_called(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "test" / "a" / "0_0.png").write_bytes(b"")
    named = folder.rename(folder.with_name("d\n\x1b[31m"))
    assert main(["data", "info", str(named)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "d\\n\\x1b[31m do not decode (test/a/0_0.png: empty)" in told


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--image-size", "-3"], "--image-size '-3' is not a size; give pixels on a side"),
        (["--holdout", "x"], "--holdout takes a number, not 'x'"),
        (["--skip-broken", "yes"], "--skip-broken takes true or false, not 'yes'"),
        (["--colour", "red"], "there is no colour 'red'"),
        (["--what"], "takes one name"),
    ],
)
def test_options(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]):
    assert main(["data", "info", "mnist-5k", *words]) == 2
    assert complaint in capsys.readouterr().err
