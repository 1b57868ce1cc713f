"""Downloads from a real server on this machine: whole, resumed, broken off, wrong, and none at all."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from triptych.data import DataConfig, get, load
from triptych.data.catalog import CATALOG, RemoteFile
from triptych.errors import MachineError, TriptychError


@dataclass
class Server:
    """What is served by path, how many bytes a first answer gives before it breaks off, and a log."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    breaks_after: int | None = None
    knows_ranges: bool = True
    etag: str | None = None
    log: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            data = state.files.get(self.path)
            if data is None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            begin = 0
            asked = self.headers.get("Range")
            if asked and state.knows_ranges:
                begin = int(asked.removeprefix("bytes=").split("-")[0])
            if body:
                state.log.append(f"{self.path} from {begin}")
            if begin and begin >= len(data):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(data) - begin))
            etag = state.etag or hashlib.sha256(data).hexdigest()
            self.send_header("ETag", f'"{etag}"')
            self.send_header("X-Repo-Commit", "0" * 40)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if body and state.breaks_after is not None:
                self.wfile.write(data[begin : begin + state.breaks_after])
                state.breaks_after = None
                self.close_connection = True
            elif body:
                self.wfile.write(data[begin:])

        def log_message(self, *args):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{http.server_port}")
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def published(server, amat, tmp_path, random_images, monkeypatch) -> dict[str, bytes]:
    """binarized-mnist as the server's files, with their checksums in the catalog."""
    contents, remote = {}, []
    for split, count in (("train", 400), ("valid", 40), ("test", 40)):
        path = tmp_path / "published" / f"binarized_mnist_{split}.amat"
        amat(path, random_images(count, 28, 28) & 1)
        contents[split] = path.read_bytes()
        server.files[f"/{path.name}"] = contents[split]
        remote.append(
            RemoteFile(
                f"binarized_mnist/{path.name}",
                f"{server.address}/{path.name}",
                hashlib.sha256(contents[split]).hexdigest(),
            )
        )
    counts = {"train": 400, "valid": 40, "test": 40}
    entry = replace(CATALOG["binarized-mnist"], counts=counts, remote=tuple(remote))
    monkeypatch.setitem(CATALOG, "binarized-mnist", entry)
    return contents


def test_load_downloads_once_and_says_how_far(server, published, cache):
    said = []
    config = DataConfig("binarized-mnist")
    data = load(config, progress=lambda what, done, total: said.append((what, done, total)))
    size = len(published["train"])
    assert ("downloading binarized_mnist_train.amat (bytes)", size, size) in said
    assert len(data.splits["train"]) == 400
    assert len(server.log) == 3
    load(config)
    assert len(server.log) == 3
    assert sorted(path.name for path in (cache / "downloads" / "binarized_mnist").iterdir()) == [
        f"binarized_mnist_{split}.amat" for split in ("test", "train", "valid")
    ]


def test_get_makes_a_mirror(server, published, tmp_path):
    where = get("binarized-mnist", tmp_path / "mirror")
    assert where == tmp_path / "mirror" / "binarized_mnist"
    assert (where / "binarized_mnist_train.amat").read_bytes() == published["train"]
    data = load(DataConfig("binarized-mnist", dir=str(tmp_path / "mirror")))
    assert len(data.splits["test"]) == 40


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(server, published, tmp_path, knows_ranges):
    server.breaks_after = 5000
    server.knows_ranges = knows_ranges
    with pytest.raises(TriptychError, match=r"stopped after 5,000 bytes .*; run the command again"):
        get("binarized-mnist", tmp_path)
    assert not (tmp_path / "binarized_mnist" / "binarized_mnist_train.amat").exists()
    where = get("binarized-mnist", tmp_path)
    assert server.log[1].endswith("train.amat from 5000" if knows_ranges else "train.amat from 0")
    assert (where / "binarized_mnist_train.amat").read_bytes() == published["train"]
    assert list(where.glob("*.part")) == []


def test_no_room_for_a_download(server, published, tmp_path):
    """The part that found room stays, whole up to its end, and is gone on with."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(MachineError, match=r"'.*train\.amat\.part': .*make room there"):
            get("binarized-mnist", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    where = get("binarized-mnist", tmp_path)
    assert server.log[1].endswith("train.amat from 5000")
    assert (where / "binarized_mnist_train.amat").read_bytes() == published["train"]


def test_no_room_for_what_comes_from_the_hub(hub, tmp_path, monkeypatch):
    import huggingface_hub

    def full(*_, **__):
        raise OSError(28, "No space left on device", str(tmp_path / "mnist.incomplete"))

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(MachineError, match=r"cannot write '.*mnist\.incomplete': No space left"):
        get("mnist", tmp_path)


def test_a_part_that_was_complete(server, published, tmp_path):
    part = tmp_path / "binarized_mnist" / "binarized_mnist_train.amat.part"
    part.parent.mkdir()
    part.write_bytes(published["train"])
    where = get("binarized-mnist", tmp_path)
    assert (where / "binarized_mnist_train.amat").read_bytes() == published["train"]


def test_another_file_than_the_published_one_is_deleted(server, published, tmp_path):
    server.files["/binarized_mnist_train.amat"] = b"0 1\n" * 100
    with pytest.raises(TriptychError, match=r"is not the file meant .* and was deleted"):
        get("binarized-mnist", tmp_path)
    assert list((tmp_path / "binarized_mnist").iterdir()) == []


def test_gone_from_the_server(server, published, refusal):
    del server.files["/binarized_mnist_valid.amat"]
    assert "answered 404 Not Found); name a local mirror with --data-dir" in refusal(
        "binarized-mnist"
    )


def test_no_network(monkeypatch, refusal):
    """A port nobody listens on; the sentence names the three ways out, and comes soon."""
    entry = CATALOG["binarized-mnist"]
    remote = tuple(replace(file, url="http://127.0.0.1:9/x") for file in entry.remote)
    monkeypatch.setitem(CATALOG, "binarized-mnist", replace(entry, remote=remote))
    begin = time.perf_counter()
    assert refusal("binarized-mnist") == (
        "cannot download binarized-mnist (http://127.0.0.1:9/x: Connection refused); name a "
        "local mirror with --data-dir or TRIPTYCH_DATA, give your own data as --data PATH, or "
        "use --data mnist-5k, which needs no network"
    )
    assert time.perf_counter() - begin < 3


@pytest.fixture
def hub(server, parquet, tmp_path, random_images, monkeypatch) -> Server:
    """The hub's way of serving a small MNIST."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    entry = replace(CATALOG["mnist"], counts={"train": 30, "test": 10}, holdout=5)
    monkeypatch.setitem(CATALOG, "mnist", entry)
    for split, count in entry.counts.items():
        path = tmp_path / f"{split}.parquet"
        parquet(path, random_images(count, 28, 28), np.arange(count) % 10)
        address = f"/datasets/ylecun/mnist/resolve/main/mnist/{split}-00000-of-00001.parquet"
        server.files[address] = path.read_bytes()
    return server


def test_from_the_hub(hub, cache, random_images):
    data = load(DataConfig("mnist"))
    np.testing.assert_array_equal(data.splits["train"].pixels[:, 0], random_images(30, 28, 28)[:25])
    assert (cache / "downloads/ylecun/mnist/mnist/test-00000-of-00001.parquet").is_file()
    asked = len(hub.log)
    load(DataConfig("mnist"))
    assert len(hub.log) == asked


def test_the_hub_has_no_such_file(hub, refusal):
    hub.files.clear()
    message = refusal("mnist")
    assert message.startswith("cannot download mnist (the hub answered: ")
    assert "404" in message
    assert "or use --data mnist-5k, which needs no network" in message


def test_the_hub_is_out_of_reach(hub, monkeypatch, refusal):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    begin = time.perf_counter()
    assert "Connection refused); name a local mirror" in refusal("mnist")
    assert time.perf_counter() - begin < 3
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "(HF_HUB_OFFLINE is set); name a local mirror" in refusal("mnist")


def test_a_file_that_is_not_what_the_hub_announced(hub, cache, refusal):
    hub.etag = "f" * 64
    assert "is not the file meant (SHA-256 " in refusal("mnist")
    assert list((cache / "downloads" / "ylecun" / "mnist" / "mnist").iterdir()) == []


def test_folders_are_made_only_for_what_arrives(hub, tmp_path: Path):
    hub.files.clear()
    with pytest.raises(TriptychError):
        get("mnist", tmp_path / "mirror")
    assert not (tmp_path / "mirror").exists()
