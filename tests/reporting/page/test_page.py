"""The page: what a folder holds, what it must not be able to do, and what is said of a run that is broken."""

import json
import re
import struct
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from triptych.errors import TriptychError
from triptych.reporting.families import FAMILIES, family
from triptych.reporting.page.page import (
    HEAVIEST,
    SCRIPTS,
    Page,
    compose,
    write_page,
)
from triptych.reporting.page.sections import of_run
from triptych.runs import Result, Run

EVIL = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


def reference_config():
    from triptych import experiment

    return experiment.default_config("vae", "reference").tables()


def likelihood(value):
    return {"test/log_likelihood": Result(value, 0.25, 10_000, {"K": 200})}


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        (None, "A likelihood: iwae"),
        ({"can": ["Decodes", "HasLikelihood"]}, "A likelihood: importance-weighted autoencoder"),
        ({"can": ["Samples", "HasCritic"]}, "A game: importance-weighted autoencoder"),
        ({"can": ["Encodes", "Projects"]}, "An agreement: importance-weighted autoencoder"),
        ({"can": ["Samples"]}, "importance-weighted autoencoder"),
        ({"can": [], "title": ""}, "iwae"),
    ],
)
def test_a_run_is_called_by_what_its_method_can_do(planted, tmp_path, facts, title):
    config = {"seed": 0, "method": {"name": "iwae", "latent": 2}, "data": {"name": "photos"}}
    run = planted(tmp_path / "r", config, likelihood(-95.6))
    if facts is not None:
        named = {"name": "iwae", "title": "importance-weighted autoencoder", "about": ""}
        told_of = {**named, "cosine": None, "source": None, **facts}
        run.write("environment.json", json.dumps({"method": told_of}))
    section = of_run(run, "p")
    assert section.title == title
    said = " ".join(f.title + f.sentence for f in section.findings)
    assert "variational" not in said and "reference" not in said
    assert section.hero.label == "test log-likelihood, nats an image, higher is better"


def test_a_method_whose_terms_have_other_names_gets_curves_and_a_number(tmp_path):
    """A Wasserstein autoencoder: no family, and no term that anybody here declared."""
    config = {"seed": 0, "method": {"name": "wae"}, "data": {"name": "photos"}}
    run = Run.create(tmp_path / "r", config)
    for epoch in (1.0, 2.0, 3.0):
        line = {"step": int(epoch), "epoch": epoch}
        run.log(line | {"train/squared_error": 9.0 - epoch, "train/mmd": 0.5 / epoch})
        run.log(line | {"valid/squared_error": 9.5 - epoch, "alarm": "none"})
    section = of_run(run, "p")
    assert [(c.name, c.title, [s.name for s in c.series]) for c in section.charts] == [
        ("squared-error", "squared error", ["training", "validation"]),
        ("mmd", "mmd", ["training"]),
    ]
    assert section.charts[0].series[1].values == [8.5, 7.5, 6.5]
    assert [picture.name for picture in section.figures] == ["training-curves"]
    assert (section.title, section.hero.value) == ("wae", "6.50")
    assert section.hero.label == "validation squared error, in training at step 3"


def test_what_a_stranger_wrote_cannot_become_script(planted, tmp_path):
    config = {"seed": 0, "method": {"name": EVIL}, "data": {"name": EVIL}}
    results = {EVIL: Result(1.5, None, 3, {EVIL: EVIL}, EVIL)}
    run = planted(tmp_path / "r", config, results)
    run.log({"step": 200, "epoch": 20.0, "alarm": EVIL})
    run.finish("FAILED", EVIL)
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "<img src=x" not in page
    assert "<script>document.title" not in page
    # Scripts are the page's own, each named by its hash in the policy, and data.
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    executable = re.findall(r"<script>", page)
    assert len(executable) == policy.count("sha256-") == len(SCRIPTS)
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_the_policy_allows_the_very_bytes_of_the_scripts(planted, tmp_path):
    import base64
    import hashlib

    page = write_page([planted(tmp_path / "r").path], tmp_path / "out.html").read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert digest.replace("+", "&#43;") in page or digest in page


def test_a_link_out_of_the_folder_is_refused(planted, tmp_path):
    run = planted(tmp_path / "r")
    (tmp_path / "private").write_text("secret")
    (run.path / "samples" / "x.npz").symlink_to(tmp_path / "private")
    with pytest.raises(TriptychError, match="leads out of"):
        write_page([run.path], tmp_path / "out.html")


def test_a_failed_run_says_so_first(planted, tmp_path):
    run = planted(tmp_path / "r")
    run.finish("FAILED", "the loss was not finite at step 7")
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "This run failed:" in page
    assert "not finite at step 7" in page


def test_an_unfinished_run_says_so(planted, tmp_path):
    run = planted(tmp_path / "r")
    (run.path / "DONE").unlink()
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "Not finished (interrupted)." in page


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(TriptychError, match="neither a run"):
        write_page([tmp_path], tmp_path / "out.html")


def test_the_page_asks_for_nothing(planted, tmp_path):
    page = write_page([planted(tmp_path / "r").path], tmp_path / "out.html").read_text()
    fetched = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(url.startswith(("data:", "#")) for url in fetched)
    # Within a figure a part of itself may be named.
    assert not re.search(r"url\((?!%23)", page)


def test_a_run_can_be_repeated_from_its_config(planted, tmp_path):
    from triptych import experiment

    run = planted(tmp_path / "r", reference_config())
    again = experiment.default_config("vae", str(run.path / "config.toml"))
    assert again == experiment.default_config("vae", "reference")
    with pytest.raises(TriptychError, match="triptych train vae --preset"):
        experiment.default_config("wgan", str(run.path / "config.toml"))


def repeated(planted, path, protocol, name="test/x"):
    run = planted(path, results={name: Result(1.0, None, 1, protocol)})
    return of_run(run, "p").commands[1]


@pytest.mark.parametrize(
    ("protocol", "name", "options"),
    [
        ({"split": "test", "checkpoint": "best"}, "test/x", ""),
        ({"split": "test", "checkpoint": "last"}, "test/x", " --checkpoint last"),
        ({"split": "valid", "checkpoint": "best"}, "valid/x", " --split valid"),
    ],
)
def test_how_to_repeat_it_has_the_options_of_the_results(
    planted, tmp_path, protocol, name, options
):
    assert repeated(planted, tmp_path / "r", protocol, name) == f"triptych evaluate r{options}"


@pytest.mark.parametrize(
    ("shown", "options"),
    [([7, 2, 5], ""), ([6, 25, 58], " --coordinates 6 25 58"), ([7, 2], " --coordinates 7 2")],
)
def test_how_to_repeat_it_has_the_coordinates_that_were_asked_for(
    planted, tmp_path, shown, options
):
    table = {"order": [7, 2, 5, 1]}
    run = planted(tmp_path / "r", results={"latent/coordinates": Result(table, None, 1, {})})
    run.save_arrays("coordinates", coordinates=np.array(shown))
    assert of_run(run, "p").commands[1] == f"triptych evaluate r{options}"


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_a_finding_is_followed_by_its_own_picture(planted, tmp_path):
    run = planted(tmp_path / "r", reference_config(), likelihood(-95.6))
    run.save_arrays("samples", images=images(64, 1, 6, 6))
    page = write_page([run.path], tmp_path / "out.html", reference=True).read_text()
    marks = (
        *(
            'id="part-1-finding-1"',
            "<figcaption>ELBO",
            'id="part-1-finding-2"',
            ">Log-likelihood</h3>",
        ),
        *(">Curves and figures", 'id="part-1-samples"', ">How to repeat it"),
    )
    places = [page.index(mark) for mark in marks]
    assert places == sorted(places)
    assert page.count("<figcaption>ELBO") == 1


def parts(page):
    """What is seen of a page before anything is unfolded, and the texts of the folds by their headings."""
    tree = Folds()
    tree.feed(page)
    return " ".join(tree.seen), tree.folds


class Folds(HTMLParser):
    """Texts outside of folded parts, and the headings of these."""

    def __init__(self):
        super().__init__()
        self.seen, self.folds, self.depth, self.heads, self.silent = [], [], 0, False, False

    def handle_starttag(self, tag, attrs):
        self.depth += tag == "details"
        self.heads = self.heads or tag == "summary"
        self.silent = self.silent or tag in ("script", "style")

    def handle_endtag(self, tag):
        self.depth -= tag == "details"
        self.heads = self.heads and tag != "summary"
        self.silent = self.silent and tag not in ("script", "style")

    def handle_data(self, data):
        if self.silent or not data.strip():
            return
        if self.heads:
            self.folds.append(data.strip())
        if not self.depth:
            self.seen.append(data.strip())


def told(run, **facts):
    """Have a run say what its method is."""
    known = {"name": "mine", "title": "", "about": "", "can": [], "cosine": None, "source": None}
    run.write("environment.json", json.dumps({"method": {**known, **facts}}))


def test_a_panel_opens_with_idea_formula_and_one_finding_and_folds_the_rest(planted, tmp_path):
    run = planted(tmp_path / "r", reference_config(), likelihood(-95.6))
    told(run, title="VAE", about="An encoder and a decoder.", can=["HasLikelihood"], formula="x^2")
    page = write_page([run.path], tmp_path / "out.html").read_text()
    seen, folds = parts(page)
    assert family(run.method()).idea in seen and "An encoder and a decoder." in seen
    assert '<math display="block" alttext="x^2">' in page
    assert "The validation ELBO" in seen and "log-likelihood of" not in seen
    assert folds == [
        *("What else was found", "1"),
        *("Numbers, and how they were measured", "How to repeat it"),
    ]


def test_a_method_of_no_family_opens_with_its_own_words(planted, tmp_path):
    run = planted(tmp_path / "r")
    told(run, title="Mine", about="It sorts socks.", formula=r"\frac{a}{b}")
    seen, _ = parts(write_page([run.path], tmp_path / "out.html").read_text())
    assert "It sorts socks." in seen
    assert not any(known.idea in seen for known in FAMILIES)


def test_a_formula_that_is_none_is_left_out_and_named(planted, tmp_path):
    run = planted(tmp_path / "r")
    told(run, formula=r"\text{<script>alert(1)</script>}")
    page = write_page([run.path], tmp_path / "out.html").read_text()
    assert "<math" not in page and "<script>alert" not in page
    assert "the formula" in parts(page)[0]


def test_two_of_one_kind_are_called_by_their_folders_in_the_bar(planted, tmp_path):
    first, second = planted(tmp_path / "one"), planted(tmp_path / "two")
    page = write_page([first.path, second.path], tmp_path / "out.html").read_text()
    bar = page[page.index('<nav class="bar"') : page.index("</nav>")]
    assert re.findall(r'href="#(part-\d)">(\w+)', bar) == [("part-1", "one"), ("part-2", "two")]


def test_the_page_states_its_size(planted, tmp_path):
    page = compose([planted(tmp_path / "r").path])
    assert f"It has {page.size / 1e6:.1f} MB" in page.html
    assert page.warning == ""


def test_a_page_that_is_too_heavy_says_what_takes_the_room():
    page = Page("x" * (HEAVIEST + 1), {"sliders": 2_000_000, "models that play": 5_000_000}, [])
    assert "(models that play 5.0 MB, sliders 2.0 MB)" in page.warning


def bomb(width, height):
    """A PNG of a few bytes that claims to be enormous."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5_000, 10_000, 100_000])
def test_a_picture_that_would_fill_the_memory_is_refused(planted, tmp_path, side):
    run = planted(tmp_path / "r")
    (run.path / "samples" / "moments").mkdir()
    (run.path / "samples" / "moments" / "00000001.png").write_bytes(bomb(side, side))
    with pytest.raises(TriptychError, match=r"00000001.png' has .* pixels, far more"):
        compose([run.path])


def test_arrays_that_would_fill_the_memory_are_refused(planted, tmp_path):
    run = planted(tmp_path / "r")
    np.savez_compressed(
        run.path / "samples" / "samples.npz", images=np.zeros(300_000_000, np.uint8)
    )
    with pytest.raises(TriptychError, match="300,000,128 bytes unpacked, far more"):
        compose([run.path])


BROKEN = {
    "samples/samples.npz": b"no zip",
    "samples/moments/00000001.png": b"no png",
    "results.json": b'{"test/elbo": 3, "verdict": {"value": []}, "latent/coordinates": {"value": 1}}',
    "metrics.jsonl": b'{"step": 1}\n[]\n{"step": "a", "epoch": null, "valid/elbo": "b"}\n',
    "environment.json": b"[]",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_left_out_and_named(planted, tmp_path, name):
    run = planted(tmp_path / "r", reference_config(), likelihood(-95.6))
    (run.path / "samples" / "moments").mkdir()
    (run.path / name).write_bytes(BROKEN[name])
    assert "Left out, since it could not be read" in compose([run.path]).html


@pytest.mark.parametrize("shape", [(), (0,), (3,), (64, 1, 6), (64, 7, 6, 6), (0, 1, 6, 6)])
@pytest.mark.parametrize("name", ["samples", "coordinates", "sample_interpolation", "traversal"])
def test_arrays_of_another_shape_do_not_stop_the_page(planted, tmp_path, name, shape):
    run = planted(tmp_path / "r")
    keys = ("images", "coordinates", "shifts", "linear", "pixel", "alpha", "values", "kl")
    run.save_arrays(name, **{key: images(*shape) for key in keys})
    assert "Left out" in compose([run.path]).html


@pytest.mark.parametrize("config", ["method = 3", '[method]\nname = "vae"\n[data]\nname = 1'])
def test_a_config_of_another_shape_gives_one_sentence_or_what_is_sound(planted, tmp_path, config):
    run = planted(tmp_path / "r", results=likelihood(-95.6))
    (run.path / "config.toml").write_text(config)
    if config.startswith("method"):
        with pytest.raises(TriptychError, match="is damaged, so that nothing can be said of it"):
            compose([run.path])
    else:
        assert "−95.60 ± 0.25" in compose([run.path]).html
