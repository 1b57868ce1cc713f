"""The page on adding a method does what it says, to the end: three files, trained, measured and drawn as themselves."""

import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
import torch

from triptych import methods
from triptych.cli.main import main
from triptych.data import DataConfig, load
from triptych.reporting.families import family
from triptych.reporting.parts.charts import charts
from triptych.runs import Run

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding-a-method.md").read_text(encoding="utf-8")

COMMON = {"vae", "wgan", "simsiam", "simclr", "byol", "elbo", "likelihood", "posterior"}
"""Words of methods that come with Triptych and of the report on them: of none of these three may one be said."""
VIEWS = {"predictor", "stop-gradient", "collapse", "views", "probe"}
GAME = {"critic", "lipschitz", "wasserstein", "penalty", "generator", "fréchet", "game"}


class Expected(NamedTuple):
    """What has to be so of a method's run and page."""

    title: str
    about: str
    terms: set[str]
    family: str | None
    measured: set[str]
    figures: set[str]
    foreign: set[str]
    """Words that are another's."""


EXPECTED = {
    "wae": Expected(
        "Wasserstein autoencoder",
        "An autoencoder whose codes are distributed like the prior.",
        {"reconstruction", "mmd"},
        None,
        {"test/knn_top1"},
        {"reconstructions", "samples", "interpolation"},
        COMMON | VIEWS | (GAME - {"wasserstein", "penalty"}),
    ),
    "uniform": Expected(
        "Alignment and uniformity",
        "A network that spreads images over a sphere and keeps two looks at one of them together.",
        {"loss", "cosine"},
        "agreement",
        {"verdict", "test/knn_top1", "test/linear_top1", "features/std"},
        {"representation-curves", "feature-map", "neighbours"},
        COMMON | GAME | {"predictor", "stop-gradient"},
    ),
    "hinge": Expected(
        "GAN with the hinge loss",
        "A generator against a critic that is to be right by a margin of 1.",
        {"critic_loss", "real_score", "generated_score"},
        "game",
        {"test/frechet", "test/coverage", "latent/coordinates"},
        {"samples", "filmstrip", "coordinates", "principal-spectrum"},
        COMMON | {"lipschitz", "wasserstein", "penalty"} | VIEWS - {"collapse"},
    ),
}


class Words(HTMLParser):
    """What a reader sees of a page: the text that is neither code nor style, and what pictures are called."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style"):
            self.inside.append(tag)
        self.said += [
            value for name, value in attrs if name in ("alt", "title", "aria-label") and value
        ]

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.said.append(data)


class Done(NamedTuple):
    """A method that went all the way."""

    run: Run
    said: str
    """What a reader sees of its page."""
    expected: Expected


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, digits) -> Mapping[str, Path]:
    """Few digits, ten pixels on a side: with their classes for a method that encodes, and without for a game."""
    folder, splits = tmp_path_factory.mktemp("images"), digits.splits
    few = {name: (splits[name].pixels[::step, 0, 4:24:2, 4:24:2], splits[name].labels[::step]) for name, step in (("train", 8), ("test", 10))}  # fmt: skip
    arrays = {f"x_{name}": pixels for name, (pixels, _) in few.items()}
    classes = {f"y_{name}": labels for name, (_, labels) in few.items()}
    np.savez(folder / "plain.npz", **arrays)
    np.savez(folder / "digits.npz", **arrays, **classes)
    return {"wae": folder / "digits.npz", "uniform": folder / "digits.npz", "hinge": folder / "plain.npz"}  # fmt: skip


@pytest.fixture(scope="module", params=EXPECTED)
def done(request, documented, images, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Every command of the page, on fewer and smaller images and for fewer steps."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    changed = {"train": f"--data {images[name]} --steps 12 --batch-size 32 --log-every 2 --threads 1 --epochs"}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path(f"{name}.py").write_text(documented[name].read_text())
        for line in re.findall(rf"^    triptych ([a-z]+ \S*\b{name}\b[^#\n]*)$", PAGE, re.M):
            words = shlex.split(line)
            if words[0] == "train":
                cut = words.index("--epochs")
                rest = [w for w in words[cut + 2 :] if w not in ("--batch-size", "256")]
                words = [*words[:cut], *shlex.split(changed["train"])[:-1], *rest]
            if name == "hinge" and words[0] == "train":
                words += ["--method.latent", "2"]
            assert main(words) == 0, line
        reader = Words()
        reader.feed(Path(f"{name}.html").read_text(encoding="utf-8"))
    said = " ".join(" ".join(reader.said).split())
    return Done(Run.open(folder / "runs" / name), said, EXPECTED[name])


def module_of(path: Path) -> ModuleType:
    return importlib.import_module(methods.find(path).__module__)


def test_every_file_of_the_page_is_tested(documented):
    assert documented.keys() == EXPECTED.keys()


def test_the_run_says_what_the_method_is(done: Done):
    facts = done.run.method()
    assert facts.name == done.run.path.name
    assert (facts.title, facts.about) == (done.expected.title, done.expected.about)


def test_every_term_is_logged(done: Done):
    logged = {key for line in done.run.metrics() for key in line}
    assert {f"train/{term}" for term in done.expected.terms} <= logged


@pytest.mark.parametrize("done", ["wae", "uniform"], indirect=True)
def test_what_is_minimised_falls(done: Done):
    """In a game nothing needs to."""
    name = {"wae": "train/reconstruction", "uniform": "train/loss"}[done.run.path.name]
    _, values = done.run.curve(name)
    assert values[-1] < values[0]


def test_it_is_measured_by_what_it_can_do(done: Done):
    results = done.run.results()
    assert done.expected.measured <= results.keys()
    drawn = {path.stem for path in (done.run.path / "figures").glob("*.png")}
    assert done.expected.figures <= drawn
    assert not [name for name in results if name.startswith("critic/")]
    assert all(r["protocol"]["method"] == done.run.path.name for r in results.values())


def test_a_verdict_is_there_for_compared_looks_alone(done: Done):
    said = [line["verdict"] for line in done.run.metrics() if "verdict" in line]
    assert bool(said) == (done.expected.family == "agreement")
    assert ("verdict" in done.run.results()) == bool(said)


def test_it_is_of_its_family(done: Done):
    found = family(done.run.method())
    assert (found.name if found else None) == done.expected.family


def test_the_page_calls_it_by_its_title(done: Done):
    assert done.expected.title in done.said


def test_the_page_draws_its_terms(done: Done):
    """As curves, whatever they are called."""
    drawn = {chart.name.replace("-", "_") for chart in charts(done.run)}
    assert {term for term in done.expected.terms if not drawn & {term, f"train_{term}"}} == set()


def test_the_page_says_no_word_of_another_method(done: Done):
    found = {word.lower() for word in re.findall(r"[\w-]+", done.said)}
    found |= {part for word in found for part in re.split("[-_]", word)}
    foreign = sorted(done.expected.foreign & found)
    assert foreign == []
    assert "reference report" not in done.said


def test_its_options_are_explained(documented, capsys):
    with pytest.raises(SystemExit):
        main(["train", str(documented["wae"]), "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "Weight of the distance between the codes and the prior." in said


def test_the_example_estimates_mmd(documented):
    mmd = module_of(documented["wae"]).mmd
    a, b = torch.randn(2, 400, 2, generator=torch.Generator().manual_seed(0))
    # The same distribution: zero within its noise; shifted far apart: near its largest value, 2.
    assert abs(mmd(a, b)) < 0.02
    assert 1.0 < mmd(a, b + 100) < 2.0


def test_the_example_spreads_as_written_down_pair_by_pair(documented):
    uniformity = module_of(documented["uniform"]).uniformity
    z = np.random.default_rng(0).normal(size=(5, 3))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    pairs = [np.exp(-2 * ((z[i] - z[j]) ** 2).sum()) for i in range(5) for j in range(i)]
    assert uniformity(torch.tensor(z)).item() == pytest.approx(np.log(np.mean(pairs)), rel=1e-12)


def test_the_example_is_right_by_a_margin(documented):
    """D(x) = 2 and D(G(z)) = −1.5 cost nothing; within the margin it costs what is missing."""
    from triptych.types import Batch, DataSpec

    kind = methods.find(documented["hinge"])
    method = kind(kind.Config(latent=2, hidden=(4,)), DataSpec((1, 4, 4), "grey"))
    scores = iter([torch.tensor([2.0, 0.5]), torch.tensor([-1.5, 0.25])])
    method._score = lambda x: next(scores)  # type: ignore[method-assign, assignment]
    batch = Batch((torch.zeros(2, 1, 4, 4),), torch.arange(2))
    found = method.losses("critic", batch, {"z": torch.zeros(2, 2)}, torch.tensor(0.0))
    assert found.minimise.tolist() == [0.0, 0.5 + 1.25]


def test_the_contract_holds_for_the_files_as_the_page_says(documented):
    (line,) = re.findall(r"^    TRIPTYCH_METHODS=(\S+) python (.+)$", PAGE, re.M)
    assert line[0].split(":") == [path.name for path in documented.values()]
    done = subprocess.run(
        [sys.executable, *shlex.split(line[1])],
        cwd=ROOT,
        env=os.environ | {"TRIPTYCH_METHODS": os.pathsep.join(map(str, documented.values()))},
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None and int(passed[1]) > 60


def test_a_clone_is_not_needed(documented):
    """Whatever the page says is done with files that lie elsewhere."""
    assert not [path for path in documented.values() if ROOT in path.parents]
    assert "src/triptych/methods/wae.py" not in PAGE


def test_the_embedded_digits_are_what_is_trained_on_where_nobody_says():
    assert load(DataConfig()).name == "mnist-5k"
