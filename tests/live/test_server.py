"""The page's server: who gets an answer, and to what."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from triptych.errors import MachineError, TriptychError
from triptych.live.server import Server
from triptych.live.state import State
from triptych.runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "run", {"method": {"name": "mine"}})
    run.log({"step": 1, "epoch": 1.0, "train/loss": 2.0})
    run.save_moment(1, np.zeros((64, 1, 4, 4), np.uint8))
    return run


@pytest.fixture
def server(run: Run) -> Iterator[Server]:
    with Server(State([run.path])) as server:
        yield server


def ask(
    server: Server, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; ``path`` begins behind the token unless it begins with a slash."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    where = path if path.startswith("/") else f"/{server.token}/{path}"
    connection.putrequest(method, where, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    connection.close()
    return found


def test_the_page_is_whole_and_may_only_ask_this_server(server: Server):
    status, headers, html = ask(server, "")
    assert status == 200 and b"<h1>" in html
    rules = headers["Content-Security-Policy"]
    assert "default-src 'none'" in rules and "connect-src 'self'" in rules
    assert "unsafe-eval" not in rules and "script-src 'sha256-" in rules
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in headers


def test_it_listens_on_this_machine_alone(server: Server):
    assert server.server_address[0] == "127.0.0.1"


def test_who_does_not_know_the_token_gets_nothing(server: Server):
    token = server.token
    for wrong in ("x", token[:-1], f"{token}x", token.swapcase(), "%00", "%C3%A9"):
        status, _, body = ask(server, f"/{wrong}/state")
        assert (status, body) == (403, b"")
    for path in ("/", "/state", "//", f"/{token}"):
        assert ask(server, path)[0] == 403
    assert ask(server, "state")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", ""]
)
def test_a_name_that_was_made_to_point_here_gets_nothing(server: Server, host: str):
    """DNS rebinding: the page of a stranger's site asks its own name, which now leads to this machine."""
    status, _, body = ask(server, "state", Host=host.format(port=server.server_port))
    assert (status, body) == (403, b"")


def test_the_port_that_http_has_is_not_named(server: Server):
    """Of an address with ``:80`` a browser sends the host alone."""
    path, port = f"/{server.token}/state", server.server_port
    server.server_port = 80
    browser = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    browser.request("GET", path, headers={"Host": "127.0.0.1"})
    assert browser.getresponse().status == 200
    browser.close()


def test_the_entrance_leads_in_once(server: Server):
    ticket = server.entrance.split("/")[3]
    assert server.token not in server.entrance
    assert ask(server, f"/{ticket}/state")[0] == 403
    assert ask(server, f"/{ticket}/", Host="evil.example")[0] == 403
    status, headers, body = ask(server, f"/{ticket}/")
    assert (status, headers["Location"], body) == (303, server.address, b"")
    assert ask(server, f"/{ticket}/")[0] == 403
    assert ask(server, "/None/")[0] == 403


@pytest.mark.parametrize("error", [PermissionError(13, "no permission"), ValueError("no number")])
def test_a_fault_is_a_sentence(server: Server, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def broken(number: int) -> str:
        raise error

    monkeypatch.setattr(server.state, "report", broken)
    status, headers, body = ask(server, "report/1")
    assert (status, headers["Content-Type"]) == (500, "text/plain; charset=utf-8")
    assert body.decode().startswith("this could not be made: ")
    assert b"no permission" in body or b"no number" in body


def test_localhost_is_this_machine(server: Server):
    assert ask(server, "state", Host=f"localhost:{server.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
def test_nothing_can_be_changed(server: Server, method: str):
    assert ask(server, "state", method)[0] == 501


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "moment/1/../../config.toml",
        "moment/../../../../etc/passwd/1",
        "moment/1/00000001.png",
        "moment/1/2",
        "moment/%C2%B2/1",
        "moment/1/1/",
        "report/9",
        "report/x",
        "config.toml",
        "assets/live.js",
    ],
)
def test_no_path_leads_to_a_file(server: Server, path: str):
    ask(server, "state")
    status, _, body = ask(server, path)
    assert (status, body) == (404, b"")


def test_a_moment_is_a_picture(server: Server, run: Run):
    ask(server, "state")
    status, headers, body = ask(server, "moment/1/1")
    assert (status, headers["Content-Type"]) == (200, "image/png")
    assert body == (run.path / "samples" / "moments" / "00000001.png").read_bytes()


def test_what_leads_out_of_the_folder_is_said_and_not_given(server: Server, run: Run):
    ask(server, "state")
    (run.path / "samples" / "moments" / "00000002.png").symlink_to("/etc/passwd")
    status, headers, body = ask(server, "moment/1/2")
    assert (status, headers["Content-Type"]) == (409, "text/plain; charset=utf-8")
    assert b"leads out of" in body


def test_what_did_not_change_is_not_sent_again(server: Server):
    told = json.loads(ask(server, "state")[2])
    assert told["rows"][0]["name"] == "run"
    assert ask(server, f"state?since={told['version']}")[0::2] == (204, b"")
    assert ask(server, f"state?since={told['version']}&runs=")[0] == 200


@pytest.mark.parametrize("runs", ["1", "7,,x,-1,%C2%B2", "9" * 400, "1," * 3000])
def test_any_choice_of_runs_is_answered(server: Server, runs: str):
    assert ask(server, f"state?runs={runs}")[0] == 200


def test_the_report_is_at_the_same_address(server: Server):
    ask(server, "state")
    status, headers, html = ask(server, "report/1")
    assert status == 200 and b"Report of run" in html
    assert headers["Content-Type"] == "text/html; charset=utf-8"


def test_a_page_that_waits_is_told_of_the_end_and_fetches_the_last(server: Server, run: Run):
    found: list[int] = []

    def page() -> None:
        found.append(ask(server, "end?page=a")[0])
        told = json.loads(ask(server, "state?page=a")[2])
        found.extend([told["ended"], told["rows"][0]["step"]])

    waiting = threading.Thread(target=page)
    waiting.start()
    while not server._waiting:
        time.sleep(0.01)
    assert found == []
    run.log({"step": 9, "epoch": 9.0, "train/loss": 1.0})
    server.finish()
    waiting.join(10)
    assert found == [200, True, 9]


def test_a_page_that_was_closed_is_not_waited_for(server: Server):
    with socket.create_connection(("127.0.0.1", server.server_port)) as browser:
        browser.sendall(
            f"GET /{server.token}/end?page=b HTTP/1.1\r\nHost: localhost:{server.server_port}\r\n\r\n".encode()
        )
        while not server._waiting:
            time.sleep(0.01)
    until = time.monotonic() + 10
    while server._waiting and time.monotonic() < until:
        time.sleep(0.05)
    assert not server._waiting


def test_a_port_that_is_taken_is_said(server: Server, run: Run):
    with pytest.raises(MachineError, match=f"port {server.server_port} cannot be had"):
        Server(State([run.path]), server.server_port)
    with pytest.raises(TriptychError, match="is no port"):
        Server(State([run.path]), 70_000)


def test_every_server_has_a_token_of_its_own(server: Server, run: Run):
    with Server(State([run.path])) as other:
        assert other.token != server.token and len(other.token) >= 24
