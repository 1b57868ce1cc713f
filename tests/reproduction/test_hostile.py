"""Folders changed as disks, editors and strangers change them: whoever reads them succeeds or says one sentence.

Each change follows from a number. A few of every kind are tried here; ``TRIPTYCH_CHANGES=100`` tries a hundred
times as many, and prints how each ended.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from triptych import checkpoint
from triptych.cli.main import main
from triptych.config import read_toml
from triptych.errors import TriptychError
from triptych.reporting.study.folder import read_study
from triptych.reproduction.record import read_record
from triptych.reproduction.reproduce import Outcome
from triptych.runs import Run

FEWER = (("pullback", "LATENTS", 8), ("pullback", "TANGENTS", 8), ("scorecard", "PAIRS", 16))
"""As few as the reproduction was measured with."""

STUDY = "simsiam-ablation"

TIMES = int(os.environ.get("TRIPTYCH_CHANGES", "1"))

ODD: list[Any] = [
    *(None, True, 0, -1, 3, 10**30, -(10**18), 2**63, 1e308, -1e-320, 0.5),
    *(float("nan"), float("inf"), float("-inf")),
    *(
        "",
        "text",
        "3",
        "nan",
        "\x1b[2J\x1b[31m",
        "[/x] [red]",
        "\ud800",
        "../../x",
        "a" * 5000,
        "١٢",
    ),
    *([], {}, [1, "a", None], [[]], {"a": {"a": {"a": []}}}, list(range(3000))),
]
"""What no reader expects in the place of another thing."""

TOKENS = [
    *(b"", b"\0", b"\xff\xfe", b"{}", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000),
    *(
        b"NaN",
        b"1e999",
        b"9" * 5000,
        b"\n",
        b'"',
        b"}",
        b",",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"\x1b[31m",
    ),
]
"""Pieces that break a text, or a parser."""

TOML = [
    *(b"a = [", b"[x]\n", b"[[x]]\n", b"seed = 0x" + b"f" * 9000, b"seed = nan", b"seed = -1"),
    *(b"name = 3", b"a." * 3000 + b"b = 1", b"a = " + b"[" * 3000 + b"]" * 3000),
    *(b"seed = 1979-05-27", b'name = "\\u001b[31m"', b"method = 3", b'method_name = "wgan"'),
]


def parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where everything is in a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        for key in list(value) if isinstance(value, dict) else range(min(len(value), 20)):
            yield from parts(value[key], (*path, key))


def changed_value(value: Any, draw: random.Random) -> Any:
    """A copy in which one part is another, missing, or called differently."""
    value = json.loads(json.dumps(value))
    path = draw.choice(list(parts(value)))
    if not path:
        return draw.choice(ODD)
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    kind = draw.random()
    if kind < 0.7:
        inner[path[-1]] = draw.choice(ODD)
    elif kind < 0.9 or not isinstance(inner, dict):
        del inner[path[-1]]
    else:
        inner[str(draw.choice(ODD))[:300]] = inner.pop(path[-1])
    return value


def changed_bytes(data: bytes, draw: random.Random) -> bytes:
    """Bits turned, a piece put in or cut out, the end lost, or nothing left."""
    place = draw.randrange(len(data) + 1)
    kind = draw.randrange(5)
    if kind == 0 and data:
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 1, 8))):
            changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        return bytes(changed)
    if kind == 1:
        return data[:place] + draw.choice(TOKENS) + data[place:]
    if kind == 2:
        return data[:place] + data[min(len(data), place + draw.choice((1, 2, 40, 5000))) :]
    return data[:place] if kind == 3 else draw.choice(TOKENS)


def changed_json(data: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.3:
        return changed_bytes(data, draw)
    return json.dumps(changed_value(json.loads(data), draw)).encode()


def changed_lines(data: bytes, draw: random.Random) -> bytes:
    """A log of which one line is another."""
    if draw.random() < 0.3:
        return changed_bytes(data, draw)
    lines = data.splitlines()
    number = draw.randrange(len(lines))
    lines[number] = json.dumps(changed_value(json.loads(lines[number]), draw)).encode()
    return b"\n".join(lines) + b"\n"


def changed_toml(data: bytes, draw: random.Random) -> bytes:
    """A config of which one value is another."""
    kind = draw.random()
    if kind < 0.3:
        return changed_bytes(data, draw)
    lines = data.splitlines()
    number = draw.randrange(len(lines))
    if kind < 0.5:
        lines[number] = draw.choice(TOML)
    else:
        odd = draw.choice([v for v in ODD if not isinstance(v, dict) and v != "\ud800"])
        name = lines[number].partition(b"=")[0]
        said = b"nan" if odd is None or odd != odd else json.dumps(odd).encode()
        lines[number] = name + b"= " + said.replace(b"Infinity", b"inf")
    return b"\n".join(lines) + b"\n"


def changed_checkpoint(data: bytes, draw: random.Random) -> bytes:
    """Bytes, or a description that is another and has a sum that is right."""
    if draw.random() < 0.4:
        return changed_bytes(data, draw)
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header["__metadata__"]["about"])
    text = json.dumps(changed_value(about, draw))
    header["__metadata__"]["about"] = text
    header["__metadata__"]["sha256"] = _digest(header, text, data[8 + size :])
    again = json.dumps(header).encode()
    return struct.pack("<Q", len(again)) + again + data[8 + size :]


def _digest(header: dict[str, Any], text: str, body: bytes) -> str:
    """As `triptych.checkpoint` computes it."""
    names = {"F32": "torch.float32", "I64": "torch.int64", "F64": "torch.float64"}
    digest = sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(set(header) - {"__metadata__"}):
        of = header[name]
        digest.update(f"{name} {names[of['dtype']]} {tuple(of['shape'])}".encode())
        begin, end = of["data_offsets"]
        digest.update(body[begin:end])
    return digest.hexdigest()


Change = Callable[[bytes, random.Random], bytes]

CHANGES: dict[str, Change] = {
    "results.json": changed_json,
    "environment.json": changed_json,
    "playable.json": changed_json,
    "study.json": changed_json,
    "reproduce.json": changed_json,
    "metrics.jsonl": changed_lines,
    "config.toml": changed_toml,
    "study.toml": changed_toml,
    "DONE": changed_bytes,
    "checkpoints/last.safetensors": changed_checkpoint,
    "checkpoints/best.safetensors": changed_checkpoint,
    "samples": changed_bytes,
}
"""How each file is changed; those in ``samples`` all alike."""


def read(folder: Path, name: str) -> None:
    """The file as its readers have it."""
    run = Run(folder)
    if name.startswith("samples/"):
        run.arrays(Path(name).stem)
    elif name.startswith("checkpoints/"):
        checkpoint.load(folder / name)
    else:
        readers: dict[str, Callable[[], Any]] = {
            "results.json": lambda: (run.results(), run.left_out()),
            "metrics.jsonl": lambda: (run.metrics(), run.alarms(), run.curve("train/elbo")),
            "config.toml": lambda: run.config,
            "DONE": run.reason,
            "study.json": lambda: read_study(folder / name),
            "study.toml": lambda: read_toml(folder / name),
            "reproduce.json": lambda: read_record(folder),
        }
        readers.get(name, lambda: None)()


FILES = [
    *(("vae", name) for name in ("results.json", "metrics.jsonl", "config.toml", "DONE")),
    *(("vae", f"checkpoints/{name}.safetensors") for name in ("last", "best")),
    *(("vae", f"samples/{name}.npz") for name in ("samples", "traversal")),
    *(("wgan", name) for name in ("results.json", "metrics.jsonl", "samples/coordinates.npz")),
    *((f"{STUDY}/default/seed-0", n) for n in ("results.json", "samples/feature-map.npz")),
    *((STUDY, "study.json"), (STUDY, "study.toml"), (".", "reproduce.json")),
]


@pytest.fixture(scope="module")
def folder(whole: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reproduction of one's own, to be spoiled."""
    return Path(shutil.copytree(whole.folder, tmp_path_factory.mktemp("spoiled") / "all"))


class Spoiled:
    """A file that is another for a while."""

    def __init__(self, path: Path, name: str, number: int) -> None:
        self.path, self.before = path, path.read_bytes()
        change = CHANGES["samples" if name.startswith("samples/") else name]
        self.after = change(self.before, random.Random(f"{name} {number}"))

    def __enter__(self) -> None:
        self.path.write_bytes(self.after)

    def __exit__(self, *_: object) -> None:
        self.path.write_bytes(self.before)


@pytest.mark.parametrize(("part", "name"), FILES)
def test_a_file_of_any_content_is_read_or_refused_in_a_sentence(folder: Path, part: str, name: str):
    path, kinds = folder / part / name, Counter()
    for number in range(60 * TIMES):
        with Spoiled(path, name, number):
            try:
                read(folder / part, name)
                kinds["read"] += 1
            except TriptychError as error:
                said = str(error)
                named = str(path) in said and said.isprintable() and len(said) < 1000
                kinds["refused" if named else f"{said} ({number})"] += 1
            except Exception as error:
                kinds[f"{type(error).__name__}: {str(error)[:60]} ({number})"] += 1
    print(part, name, dict(kinds))
    assert set(kinds) <= {"read", "refused"}
    assert kinds["refused"] or name == "DONE"


SIMSIAM = f"{STUDY}/default/seed-0"

COMMANDS: dict[str, tuple[list[str], list[tuple[str, str]], int]] = {
    "runs": (
        ["runs", "--root", "."],
        [("vae", n) for n in ("results.json", "metrics.jsonl", "config.toml", "DONE")],
        60,
    ),
    "report": (
        ["report", "PART", "--out", "out/page.html"],
        [file for file in FILES if "checkpoints" not in file[1] and file[0] not in (STUDY, ".")],
        4,
    ),
    "report of a study": (
        ["report", STUDY, "--out", "out/page.html"],
        [(STUDY, "study.json"), (STUDY, "study.toml"), (SIMSIAM, "metrics.jsonl")],
        2,
    ),
    "compare": (
        ["report", "--compare", "vae", "other", "--out", "out/page.html"],
        [("vae", "results.json"), ("vae", "metrics.jsonl")],
        1,
    ),
    "evaluate": (
        ["evaluate", "vae", "--samples", "5"],
        [file for file in FILES if file[0] == "vae"],
        3,
    ),
    "explore": (
        ["explore", "wgan", "--open", "false"],
        [file for file in FILES if file[0] == "wgan"],
        1,
    ),
    "export": (
        ["export", SIMSIAM, "--out", "backbone.safetensors"],
        [(SIMSIAM, n) for n in ("config.toml", "checkpoints/last.safetensors")],
        4,
    ),
    "resume": (
        ["train", "--resume", "vae"],
        [("vae", n) for n in ("config.toml", "metrics.jsonl", "checkpoints/last.safetensors")],
        24,
    ),
}
"""What is called, what of it is spoiled in turn, and how often."""


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_succeeds_or_says_one_sentence(
    whole: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, verb: str
):
    words, spoiled, times = COMMANDS[verb]
    for part in ("vae", "wgan", STUDY):
        shutil.copytree(whole.folder / part, tmp_path / part)
    shutil.copytree(whole.folder / "vae", tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    for module, name, few in FEWER:
        monkeypatch.setattr(f"triptych.evaluation.latent_space.{module}.{name}", few)
    kinds: Counter[str] = Counter()
    for number in range(times * TIMES):
        part, name = spoiled[number % len(spoiled)]
        if verb == "resume":
            Path("vae/DONE").unlink(missing_ok=True)
        with Spoiled(Path(part, name), name, number):
            said = [word.replace("PART", part) for word in words]
            kinds[outcome(said, capsys, f"{part}/{name} {number}")] += 1
    if TIMES > 1:
        with capsys.disabled():
            print(verb, dict(kinds))
    assert set(kinds) <= {"done", "one sentence"}, kinds


def outcome(words: list[str], capsys: pytest.CaptureFixture[str], what: str) -> str:
    """How a command ended: done, with one sentence, or what else there was."""
    try:
        code = main(words)
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:80]} ({what})"
    said = capsys.readouterr()
    if not (said.out + said.err).replace("\n", "").isprintable():
        return f"something that a terminal obeys ({what})"
    if code == 0:
        return "done"
    sentences = [line for line in said.err.splitlines() if line.startswith("triptych: ")]
    return "one sentence" if code == 2 and len(sentences) == 1 else f"{code}: {said.err} ({what})"
