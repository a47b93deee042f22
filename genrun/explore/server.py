"""Serve a page and the answers to its requests to the browser of this machine's user, and to nobody else.

The server listens on 127.0.0.1. Other programs and web pages can reach that too, so a request must have

- the secret token that is in the printed address: in the address for the page, in a header for what the page asks. A cookie would be
  sent to every server on this machine, whatever its port;
- 127.0.0.1 or localhost with this port as its Host: a foreign name that leads here is a web page that tries to read the answers;
- no other page as its Origin.

Nothing can be changed here: there is only GET and HEAD, and no request has a body. No file of the disk is served.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from genrun.errors import GenrunError, Refused, one_line

HOST = "127.0.0.1"
LONGEST_TARGET = 2000  # characters of a request's path and query
MOST_PARAMETERS = 40
PATIENCE = 30  # seconds for which a connection may stay silent
TOKEN_HEADER = "X-Genrun-Token"
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# the page has a stricter policy in itself, but must not be shown in a frame of another page, which only a header can say
POLICY_OF_PAGE = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
POLICY_OF_JSON = "default-src 'none'; frame-ancestors 'none'"
Answer = Callable[[Mapping[str, str]], Any]  # the parameters of a request → what JSON can hold


class Server(ThreadingHTTPServer):
    """The server, ready to `serve_forever`; each request has a thread.

    Args:
        page: the HTML of the page at /.
        answers: path, such as `view/samples` → what answers it. A Refused that it raises becomes status 400, other errors 500.
        port: 0: any free port.

    Attributes:
        token: the secret of this server.

    Raises:
        Refused: the port is not free.
    """

    daemon_threads = True  # a picture that takes long must not hold up Ctrl-C
    request_queue_size = 64

    def __init__(self, page: str, answers: Mapping[str, Answer], port: int = 0) -> None:
        self.page, self.answers = page.encode(), dict(answers)
        self.token = secrets.token_urlsafe(32)
        try:
            super().__init__((HOST, port), Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Refused(f"--port {port}: {reason}; leave --port out for any free port") from error

    @property
    def url(self) -> str:
        """The address of the page, with the token."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    def names(self) -> tuple[str, str]:
        """Return the two names under which this server may be asked for."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line what went wrong; a browser that no longer waits for an answer is no error."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            print(f"genrun: {one_line(error)}", file=sys.stderr)


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    timeout = PATIENCE
    server_version, sys_version = "genrun", ""

    def do_GET(self) -> None:
        if (refusal := self.refusal()) is not None:
            self.send_error(*refusal)
            return
        target = urlsplit(self.path)
        path = target.path[1:]
        if not path:
            self.send(200, self.server.page, "text/html; charset=utf-8", POLICY_OF_PAGE)
            return
        if path not in self.server.answers:
            self.send_error(404, "there is nothing here")
            return
        try:
            asked = dict(parse_qsl(target.query, max_num_fields=MOST_PARAMETERS))
        except ValueError:
            self.send_error(400, f"expected at most {MOST_PARAMETERS} parameters")
            return
        try:
            answer = self.server.answers[path](asked)
        except Exception as error:
            if not isinstance(error, GenrunError):
                print(f"genrun: {path}: {type(error).__name__}: {one_line(error)}", file=sys.stderr)
            self.send_error(400 if isinstance(error, Refused) else 500, one_line(error))
            return
        self.send_json(200, answer)

    do_HEAD = do_GET

    def refusal(self) -> tuple[int, str] | None:
        """Return the status and the reason why this request is refused; None if it is not."""
        headers = self.headers
        if headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers:
            self.close_connection = True
            return 413, "expected a request without a body"
        if len(self.path) > LONGEST_TARGET:
            return 414, f"expected an address of at most {LONGEST_TARGET} characters"
        hosts = headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.names():
            return 403, f"expected the Host {' or '.join(self.server.names())}"
        if any(
            origin not in {f"http://{name}" for name in self.server.names()} for origin in headers.get_all("Origin", [])
        ):
            return 403, "expected no request of another page"
        if not self.path.startswith("/"):
            return 400, "expected an address that begins with /"
        target = urlsplit(self.path)
        given = dict(parse_qsl(target.query)).get("token", "") if target.path == "/" else headers.get(TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.server.token.encode()):
            return 403, "expected the token of this server: open the address that `genrun explore` printed"
        return None

    def send_json(self, status: int, content: Any) -> None:
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        self.send(status, body, "application/json; charset=utf-8", POLICY_OF_JSON)

    def send(self, status: int, body: bytes, kind: str, policy: str) -> None:
        """Send an answer; to HEAD without its body."""
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Content-Security-Policy": policy, **HEADERS}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send an error as one line of JSON; the standard library calls this too, for requests that it cannot read."""
        self.close_connection = True
        self.send_json(code, {"error": message or "this request cannot be answered"})

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of each request on the terminal."""
