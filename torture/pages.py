"""Pages of strangers' folders in a real browser: every text in them tries to be markup, script, style or a way to a file.

A blow is one page of one run, or of a study, opened from its file. It must ask for nothing, run nothing but its own scripts,
make no element of anybody's text, and say nothing of the files around it.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from attack import Blow

SECRET = "sparrow-4417"
"""What a file outside holds, and no page may."""

WORDS = (
    "<script>window.obeyed=1</script>",
    "</script><script>window.obeyed=1</script>",
    "</style><script>window.obeyed=1</script><style>",
    "</title><b data-obeyed>x</b>",
    "<img src=x onerror=window.obeyed=1 data-obeyed>",
    '"><svg onload=window.obeyed=1 data-obeyed>',
    "' onmouseover='window.obeyed=1' data-obeyed='",
    '" autofocus onfocus="window.obeyed=1" data-obeyed="',
    "<a href='javascript:window.obeyed=1' data-obeyed>x</a>",
    "javascript:window.obeyed=1",
    "file:///etc/hostname",
    "../secret.json",
    "<iframe src='file:///etc/hostname' data-obeyed></iframe>",
    "<link rel=stylesheet href='http://203.0.113.1/a.css' data-obeyed>",
    "<base href='http://203.0.113.1/' data-obeyed>",
    "<meta http-equiv=refresh content='0;url=http://203.0.113.1/' data-obeyed>",
    "@import url(http://203.0.113.1/b.css);*{background:url(http://203.0.113.1/c)}",
    "red;background:url(http://203.0.113.1/d)",
    "{{ 7 * 7 }}{% include '/etc/hostname' %}",
    "${window.obeyed=1}`;window.obeyed=1//",
    "<!--<script>",
    "-->",
    "]]>",
    "<![CDATA[",
    "&lt;script&gt;",
    "&#x3c;b data-obeyed&#x3e;",
    "[/x] [red]",
    "\x1b[2J\x1b[31m",
    "\u202edesrever\u2066",
    "\u2028\u2029",
    "\x00\x01",
    "\ud800",
    "$\\frac{$",
    "\\input{/etc/hostname}",
)
"""In all but the first a ``data-obeyed`` stays where it became an element, and ``obeyed`` is set where it ran."""

LOOK = """() => ({
    ran: window.obeyed !== undefined,
    made: document.querySelectorAll("[data-obeyed], iframe, base, object, embed, link[rel=stylesheet]").length,
    ways: [...document.querySelectorAll("[href], [src], [action], [data]")].flatMap(e =>
        ["href", "src", "action", "data"].map(n => e.getAttribute(n)).filter(v => v && !/^(#|data:image\\/|blob:)/.test(v))),
    handlers: [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => /^on/i.test(a.name))).length,
})"""

OPEN = """() => {
    document.querySelectorAll("details").forEach(d => { d.open = true; });
    document.querySelectorAll("input[type=range]").forEach(i => { i.value = i.max; i.dispatchEvent(new Event("input", {bubbles: true})); });
    document.querySelectorAll("*").forEach(e => e.dispatchEvent(new MouseEvent("mouseover", {bubbles: false})));
}"""


class Stranger:
    """Whose every word is chance's."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw

    def word(self, most: int = 3) -> str:
        """A few of `WORDS`, one after the other."""
        return "".join(self.draw.choice(WORDS) for _ in range(self.draw.randint(1, most)))

    def run(self, path: Path) -> Path:
        """A run whose texts are all hostile, and whose shapes are Triptych's."""
        from triptych.experiment import default_config
        from triptych.runs import Result, Run

        kind = self.draw.choice(("vae", "wgan", "simsiam"))
        config: dict[str, Any] = default_config(kind, "demo").tables()
        plain = self.word().encode("utf-8", "replace").decode()
        config["data"]["name"] = plain.replace("\x00", "")
        if self.draw.random() < 0.3:
            config["method"]["name"] = plain
        config["data"]["dir"] = plain
        run = Run.create(path, config)
        names = [
            "train/elbo",
            "train/critic_gap",
            "test/knn_top1",
            "features/std",
            f"train/{self.word(1)}",
        ]
        for step in (0, 1, 2):
            run.log({"step": step, "epoch": float(step), **dict.fromkeys(names, 1.0 * step)})
        run.log(
            {
                "step": 2,
                "epoch": 2.0,
                "alarm": self.word(),
                "note": self.word(),
                self.word(1).replace("/", "."): self.word(),
            }
        )
        protocol = {"split": self.word(1), self.word(1): self.word(1), "fingerprint": "x"}
        results = {
            name: Result(1.5, 0.5, 10, protocol, self.word())
            for name in ("test/elbo", "test/frechet", "test/knn_top1", self.word(1))
        }
        results["latent/coordinates"] = Result(
            {"sentences": [self.word(), self.word()]}, None, 3, protocol, self.word()
        )
        results["test/recall"] = Result.left_out(self.word(), protocol)
        run.record(results)
        told = {
            "method": {
                "name": self.word(),
                "title": self.word(),
                "about": self.word(),
                "can": [self.word(), "Samples"],
                "cosine": self.word(),
                "source": {"file": self.word(), "digest": self.word()},
            },
            "data": {"title": self.word(), "fingerprint": self.word(), "images": {self.word(): 3}},
            **{
                name: self.word()
                for name in ("triptych", "torch", "python", "platform", "device", "commit")
            },
            "command": ["triptych", self.word(), self.word()],
        }
        run.write("environment.json", json.dumps(told))
        images = np.zeros((16, 1, 8, 8), np.uint8)
        run.save_arrays("samples", images=images)
        run.save_arrays(
            "feature-map",
            points=np.zeros((16, 2), np.float32),
            labels=np.arange(16) % 2,
            images=images,
            names=np.array([self.word(1).replace("\ud800", "?"), "b"]),
        )
        run.save_moment(1, np.zeros((64, 1, 8, 8), np.uint8))
        run.write(
            "playable.json",
            json.dumps(
                {"version": 1, "name": self.word(), "made_with": {}, self.word(): [self.word()]}
            ),
        )
        run.finish(self.draw.choice(("DONE", "FAILED")), self.word())
        return path

    def study(self, path: Path) -> Path:
        """A study of two arms of one seed each."""
        from triptych.studies.compare import Number, compare_metric

        arms = [
            "default",
            self.word(1).replace("/", "∕").replace("\x00", "").replace("\ud800", "")[:80] or "x",
        ]
        for arm in arms:
            self.run(path / arm / "seed-0")
        values = {arm: {0: Number(0.5 * i, {})} for i, arm in enumerate(arms)}
        metric = compare_metric("test/knn_top1", values, "default")
        metric["findings"] = [self.word()]
        ended = {
            "state": "done",
            "evidence": self.word(),
            "verdict": self.word(1),
            "reason": self.word(),
        }
        found = {
            "study": self.word(),
            "control": "default",
            "seeds": [0],
            "curves": ["test/knn_top1"],
            "arms": {
                arm: {
                    "runs": {"0": {**ended, "alarms": [{"alarm": self.word()}]}},
                    "verdicts": {self.word(1): 1},
                }
                for arm in arms
            },
            "metrics": {"test/knn_top1": metric},
        }
        (path / "study.json").write_text(json.dumps(found))
        return path


def attack(folder: Path, draw: random.Random) -> Iterator[Blow]:
    """One hostile page after the other."""
    from playwright.sync_api import sync_playwright

    (folder / "secret.json").write_text(json.dumps({"x": SECRET}))
    own = next(
        (
            path
            for name in ("chromium", "chromium-browser", "google-chrome")
            if (path := shutil.which(name))
        ),
        None,
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=own)
        number = 0
        while True:
            number += 1
            at = folder / str(number)
            at.mkdir()
            kind = draw.choices(("run", "explore", "study", "compare"), (5, 2, 3, 1))[0]
            written, refused = _written(Stranger(draw), kind, at)
            lost = refused if written is None else seen(written, browser)
            if written is None and refused.isprintable():
                kind, lost = f"{kind} refused", ""
            yield Blow(kind, f"{at}: {lost!r}" if lost else "")
            if not lost:
                shutil.rmtree(at)


def _written(stranger: Stranger, kind: str, at: Path) -> tuple[Path | None, str]:
    """A page, or none and the sentence that refuses it."""
    from triptych.errors import TriptychError
    from triptych.reporting.page.compare import compare
    from triptych.reporting.page.page import compose, write_whole

    name = stranger.word(1).replace("/", "∕").replace("\x00", "").replace("\ud800", "")[:60] or "x"
    paths = [stranger.study(at / f"s{name}") if kind == "study" else stranger.run(at / f"r{name}")]
    comparison = None
    try:
        if kind == "compare":
            paths.append(shutil.copytree(paths[0], at / "again"))
            comparison = compare(*paths)
        page = compose(
            paths,
            stranger.word(),
            comparison,
            explore=kind == "explore",
            reference=stranger.draw.random() < 0.5,
        )
        # Tables and figures for papers take most of the time, and a browser never sees them.
        whole = stranger.draw.random() < 0.1
        return write_whole(page, paths, at / "out.html").page if whole else page.write(
            at / "out.html"
        ), ""
    except TriptychError as error:
        return None, str(error)


def seen(written: Path, browser: Any) -> str:
    """What a page did that it may not; empty where it shows words as words."""
    asked, said = [], []
    context = browser.new_context(offline=True)
    try:
        page = context.new_page()
        url = written.resolve().as_uri()
        page.on("pageerror", lambda error: said.append(f"script: {error}"))
        page.on("console", lambda word: said.append(word.text) if word.type == "error" else None)
        page.on("dialog", lambda dialog: said.append("a dialog"))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.evaluate(OPEN)
        found = page.evaluate(LOOK)
        moved = page.url != url
    finally:
        context.close()
    outside = [a for a in asked if a != url and not a.startswith(("data:", "blob:"))]
    passes = {
        "a script ran": found["ran"],
        f"{found['made']} elements were made": found["made"],
        f"handlers: {found['handlers']}": found["handlers"],
        f"ways out: {found['ways'][:3]}": found["ways"],
        f"asked for {outside[:3]}": outside,
        f"the browser complains: {said[:2]}": said,
        "it went elsewhere": moved,
        "a file outside is in it": SECRET in written.read_text(encoding="utf-8"),
    }
    return "; ".join(words for words, so in passes.items() if so)
