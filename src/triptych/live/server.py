"""The page's server: on this machine alone, for who knows the address, and it gives nothing but what the page shows."""

from __future__ import annotations

import hmac
import secrets
import select
import socket
import socketserver
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from markupsafe import Markup

from triptych.errors import DamagedError, MachineError, TriptychError, printable
from triptych.live.state import OVERLAID, State
from triptych.reporting.page.page import asset, environment, policy

__all__ = ["Server"]

HERE = "127.0.0.1"

NAMES = (HERE, "localhost")
"""What a browser may call this machine: by any other name the page of a stranger's site would ask, which had it point here."""

IDLE = 60.0
"""Seconds after which a connection on which nothing is asked is closed."""

AWAITED, HELD = 5.0, 240.0
"""Seconds for which a page that waits for the end is waited for until it has fetched what is told then, and for which its
question is kept open at most."""

HTTP = "80"
"""The port of an address that names none."""

LONG = 4096
"""Letters of an address that are looked at."""

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server(ThreadingHTTPServer):
    """Serves the page of a `State` until it is closed; where it cannot have the port, a `MachineError`.

    Example:
        >>> with Server(State([run.path])) as server:
        ...     server.address.startswith("http://127.0.0.1:")
        True
    """

    daemon_threads = True

    def __init__(self, state: State, port: int = 0) -> None:
        self.state = state
        self.token = secrets.token_urlsafe(18)
        self._ticket: str | None = secrets.token_urlsafe(18)
        self._admitting = threading.Lock()
        self.over = threading.Event()
        """Set when that is over for which it serves: pages that wait for it are told."""
        self.page = _page()
        self._waiting: set[str] = set()
        self._reporting = threading.Lock()
        try:
            super().__init__((HERE, port), Handler)
        except (OSError, OverflowError) as error:
            if isinstance(error, OverflowError):
                raise TriptychError(f"{port} is no port; give one from 1 to 65535") from None
            raise MachineError(
                f"port {port} cannot be had: {error.strerror}; give another --port, or none"
            ) from None
        self._thread = threading.Thread(target=self.serve_forever, args=(0.5,), daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        """Take the port, without asking a name server what this machine is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HERE, self.server_address[1]

    @property
    def address(self) -> str:
        """What to open in a browser; whoever knows it sees the page."""
        return f"http://{HERE}:{self.server_port}/{self.token}/"

    @property
    def entrance(self) -> str:
        """What leads one browser to the address, once: it may stand in a command line, which others on this machine see."""
        return f"http://{HERE}:{self.server_port}/{self._ticket}/"

    def admits(self, ticket: str) -> bool:
        """Whether this is the ticket of the entrance, which is used up by that."""
        with self._admitting:
            if self._ticket is None or not _same(ticket, self._ticket):
                return False
            self._ticket = None
            return True

    def finish(self) -> None:
        """Tell every page that waits for it that this is the end, and wait until it has fetched what is told then."""
        self.state.ended = True
        self.over.set()
        until = time.monotonic() + AWAITED
        while self._waiting and time.monotonic() < until:
            time.sleep(0.05)

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def waits(self, page: str) -> None:
        """A page wants to be told of the end."""
        self._waiting.add(page)

    def goes(self, page: str) -> None:
        """A page was told, or is closed."""
        self._waiting.discard(page)

    def report(self, number: int) -> str | None:
        """The report of a run; one is composed at a time, since each takes seconds."""
        with self._reporting:
            return self.state.report(number)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that hung up; anything else is a fault of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one browser: GET alone, of five kinds of address, all behind the token."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "triptych", ""
    timeout = IDLE

    def do_GET(self) -> None:
        """Give what was asked for, or nothing."""
        asked = urlsplit(self.path[:LONG])
        parts = asked.path.split("/")
        if not self._from_here() or len(parts) < 3:
            return self._refuse(HTTPStatus.FORBIDDEN)
        if not _same(parts[1], self.server.token):
            known = parts[2:] == [""] and self.server.admits(parts[1])
            return self._lead_in() if known else self._refuse(HTTPStatus.FORBIDDEN)
        query = {name: values[-1] for name, values in parse_qs(asked.query, True).items()}
        try:
            match parts[2:]:
                case [""]:
                    html, rules = self.server.page
                    self._give(html, "text/html; charset=utf-8", rules)
                case ["state"]:
                    self._state(query)
                case ["end"]:
                    self._end(query.get("page", ""))
                case ["moment", number, step] if number.isdecimal() and step.isdecimal():
                    self._found(self.server.state.moment(int(number), int(step)), "image/png")
                case ["report", number] if number.isdecimal():
                    found = self.server.report(int(number))
                    page = None if found is None else found.encode()
                    self._found(page, "text/html; charset=utf-8")
                case _:
                    self._refuse(HTTPStatus.NOT_FOUND)
        except (FileNotFoundError, DamagedError):
            self._refuse(HTTPStatus.NOT_FOUND)
        except TriptychError as error:
            # A sentence for who asked; nothing of a stranger's folder is taken for HTML.
            self._give(str(error).encode(), "text/plain; charset=utf-8", status=HTTPStatus.CONFLICT)
        except (ConnectionError, TimeoutError):
            # The browser hung up.
            raise
        except Exception as error:
            why = printable(str(error) or type(error).__name__)
            said = f"this could not be made: {why}; the runs are not harmed, and the page goes on"
            fault = HTTPStatus.INTERNAL_SERVER_ERROR
            self._give(said.encode(), "text/plain; charset=utf-8", status=fault)

    def _from_here(self) -> bool:
        host, _, port = self.headers.get("Host", "").partition(":")
        # A browser leaves out the port that HTTP has where none is named.
        return host in NAMES and (port or HTTP) == str(self.server.server_port)

    def _lead_in(self) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        for name, value in {
            **HEADERS,
            "Location": self.server.address,
            "Content-Length": "0",
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def _state(self, query: dict[str, str]) -> None:
        chosen = query.get("runs")
        numbers = [n for n in (chosen or "").split(",")[:OVERLAID] if n.isdecimal()]
        wanted = None if chosen is None else [int(n[:9]) for n in numbers]
        last = self.server.over.is_set()
        found = self.server.state.told(query.get("since", ""), wanted)
        if found is None:
            self._refuse(HTTPStatus.NO_CONTENT)
        else:
            self._give(found, "application/json")
        if last:
            self.server.goes(query.get("page", ""))

    def _end(self, page: str) -> None:
        """Answer when there is an end; a tab in the background, which asks for nothing else, is told so too."""
        self.server.waits(page)
        until = time.monotonic() + HELD
        while not self.server.over.wait(1.0):
            if self._hung_up() or time.monotonic() > until:
                self.server.goes(page)
                return self._refuse(HTTPStatus.NO_CONTENT)
        self._give(b"{}", "application/json")

    def _hung_up(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _found(self, data: bytes | None, kind: str) -> None:
        if data is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._give(data, kind)

    def _refuse(self, status: HTTPStatus) -> None:
        self._give(b"", "text/plain; charset=utf-8", status=status)

    def _give(
        self, data: bytes, kind: str, rules: str = "", status: HTTPStatus = HTTPStatus.OK
    ) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if rules:
            self.send_header("Content-Security-Policy", rules)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *words: Any) -> None:
        """Keep the terminal for what a person wants to know."""


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _page() -> tuple[bytes, str]:
    """The page and the rules for what it may do: the scripts of Triptych, and to ask this server."""
    scripts = [asset("page.js"), _asset("settings.js"), _asset("live.js")]
    html = (
        environment()
        .from_string(_asset("live.html.j2"))
        .render(
            style=Markup(asset("style.css") + _asset("live.css")),
            scripts=[Markup(script) for script in scripts],
        )
    )
    rules = f"{policy(scripts)}; connect-src 'self'; frame-ancestors 'none'"
    return html.encode(), rules


def _asset(name: str) -> str:
    return (files("triptych.live") / "assets" / name).read_text(encoding="utf-8")
