"""Only the browser of this machine's user is answered: with the token, by this server's own name, without another page's Origin."""

from __future__ import annotations

import ast
import http.client
import json
import socket
import threading
from contextlib import contextmanager

import pytest

from genrun.errors import Failed, Refused
from genrun.explore import server as module
from genrun.explore.server import Server


def refuse(asked):
    raise Refused("class: expected\na whole number")


def fail(asked):
    raise Failed("its weights are damaged")


def crash(asked):
    raise ZeroDivisionError("by\x1b[31m zero")


@contextmanager
def running(port: int = 0):
    answers = {"view/samples": dict, "view/refuse": refuse, "view/fail": fail, "view/crash": crash}
    with Server("<!doctype html>ünder", answers, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server():
    with running() as one:
        yield one


def ask(server, target, *, method="GET", token=True, body=None, **headers):
    """Status, headers and body of an answer. A header that is None is not sent."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    sent = {"Host": f"127.0.0.1:{server.server_port}"} | ({"X-Genrun-Token": server.token} if token else {})
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in sent.items():
        for one in [value] if isinstance(value, str) else value or []:
            connection.putheader(name, one)
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def error_of(answer) -> tuple[int, str]:
    status, headers, content = answer
    assert headers["Content-Type"] == "application/json; charset=utf-8" and content.count(b"\n") == 1
    return status, json.loads(content)["error"]


# ------------------------------------------------------------------------------------------------------------- answered


def test_the_page_and_its_requests_are_answered(server):
    target = server.url.partition(str(server.server_port))[2]
    status, headers, content = ask(server, target, token=False)
    assert (status, content.decode()) == (200, "<!doctype html>ünder")
    assert (
        headers["Content-Type"] == "text/html; charset=utf-8"
        and "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    )
    assert headers["Cache-Control"] == "no-store" and headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff" and "Python" not in headers["Server"]
    status, headers, content = ask(server, "/view/samples?seed=3&class=a%26b&seed=4")
    assert status == 200 and json.loads(content) == {"seed": "4", "class": "a&b"}
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert ask(server, "/view/samples", Host=f"LOCALHOST:{server.server_port}")[0] == 200
    assert ask(server, "/view/samples", Origin=f"http://localhost:{server.server_port}")[0] == 200
    assert "Access-Control-Allow-Origin" not in headers


def test_it_listens_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1" and server.url.startswith("http://127.0.0.1:")


def test_head_has_no_body(server):
    for target, token in ((f"/?token={server.token}", False), ("/view/samples?a=b", True), ("/view/nothing", True)):
        status, headers, content = ask(server, target, token=token, method="HEAD")
        whole = ask(server, target, token=token)
        assert (status, content) == (whole[0], b"") and headers["Content-Length"] == str(len(whole[2]))


def test_each_server_has_a_token_of_its_own(server):
    with running() as other:
        assert other.token != server.token and len(other.token) >= 43  # 256 bits
        assert ask(other, "/view/samples", X_Genrun_Token=server.token)[0] == 403


# -------------------------------------------------------------------------------------------------------------- refused


def test_a_wrong_token_is_refused(server):
    for given in (None, "", "wrong", server.token[:-1], server.token + "x", server.token.swapcase(), "\xff"):
        assert error_of(ask(server, "/view/samples", X_Genrun_Token=given))[0] == 403
    for target in (
        "/",
        "/?token=",
        "/?token=wrong",
        f"/?Token={server.token}",
        f"/?token={server.token}%20",
        "/?token=%ff%00",
    ):
        assert error_of(ask(server, target)) == (
            403,
            "expected the token of this server: open the address that `genrun explore` printed",
        )
    # in the address it opens the page and nothing else; and nobody without it learns what there is
    assert ask(server, f"/view/samples?token={server.token}", token=False)[0] == 403
    assert ask(server, "/view/nothing", token=False)[0] == 403


def test_another_host_is_refused(server):
    port = server.server_port
    own = f"127.0.0.1:{port}"
    for host in (
        None,
        "",
        "127.0.0.1",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        "127.0.0.1:1",
        [own, own],
    ):
        assert error_of(ask(server, "/view/samples", Host=host)) == (
            403,
            f"expected the Host {own} or localhost:{port}",
        )


def test_another_origin_is_refused(server):
    port = server.server_port
    for origin in (
        "null",
        "http://evil.example",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
        f"http://127.0.0.1:{port}.x",
    ):
        assert error_of(ask(server, "/view/samples", Origin=origin)) == (403, "expected no request of another page")


def test_no_file_is_served(server):
    for target in (
        "/../../etc/passwd",
        "/view/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/view/",
        "/view",
        "/explore.js",
    ):
        assert error_of(ask(server, target)) == (404, "there is nothing here")
    for target in ("//etc/passwd", "/view/samples/", "/view/samples%00"):
        assert error_of(ask(server, target))[0] == 404
    for target in ("http://evil.example/view/samples", "*", "view/samples"):
        assert error_of(ask(server, target)) == (400, "expected an address that begins with /")


def test_a_body_and_a_long_address_are_refused(server):
    assert error_of(ask(server, "/view/samples", Content_Length="10000000000"))[0] == 413
    assert error_of(ask(server, "/view/samples", Transfer_Encoding="chunked"))[0] == 413
    assert error_of(ask(server, "/view/samples", Content_Length="x"))[0] == 413
    assert error_of(ask(server, "/view/samples?a=" + "b" * 2000))[0] == 414
    assert error_of(ask(server, "/view/samples?a=" + "b" * 70000))[0] == 414
    assert error_of(ask(server, "/view/samples?" + "a=1&" * 41)) == (400, "expected at most 40 parameters")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "<script>"])
def test_only_get_and_head_are_there(server, method):
    status, _ = error_of(ask(server, "/view/samples", method=method, Content_Length="0"))
    assert status == 501


def test_what_is_no_http_is_answered_in_one_line(server):
    for sent in (
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / / / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\r\n\r\n",
    ):
        with socket.create_connection(server.server_address, timeout=10) as connection:
            connection.sendall(sent)
            received = b"".join(iter(lambda: connection.recv(4096), b""))
        assert b'{"error": ' in received and b"<" not in received.rpartition(b"\r\n\r\n")[2]
    assert ask(server, "/view/samples")[0] == 200


# --------------------------------------------------------------------------------------------------------------- errors


def test_errors_are_one_line(server, capsys):
    assert error_of(ask(server, "/view/refuse")) == (400, "class: expected a whole number")
    assert error_of(ask(server, "/view/fail")) == (500, "its weights are damaged")
    assert capsys.readouterr().err == ""
    assert error_of(ask(server, "/view/crash")) == (500, r"by\x1b[31m zero")
    assert capsys.readouterr().err == "genrun: view/crash: ZeroDivisionError: by\\x1b[31m zero\n"


def test_a_browser_that_leaves_is_no_error(server, capsys):
    for _ in range(3):
        connection = socket.create_connection(server.server_address)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of an end
        connection.sendall(f"GET /view/samples HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n".encode())
        connection.close()
    assert ask(server, "/view/samples")[0] == 200
    assert capsys.readouterr().err == ""


def test_a_port_in_use_is_refused_in_one_line(server):
    with pytest.raises(Refused, match=f"--port {server.server_port}: Address already in use; leave --port out"):
        Server("", {}, server.server_port)


def test_the_server_knows_no_torch():
    with open(module.__file__) as file:
        tree = ast.parse(file.read())
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} - {"__future__"}
    assert {name for name in found if name.startswith("genrun")} == {"genrun.errors"}
