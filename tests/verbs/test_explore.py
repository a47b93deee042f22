"""`genrun explore`: a real server for a real run, and one line for whatever is wrong."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import webbrowser

import pytest
from conftest import genrun
from helpers.runs import change_config, change_json, unpack

from genrun.explore.server import Server

serve_forever = Server.serve_forever


@pytest.fixture
def folder(tmp_path):
    return unpack(tmp_path / "outputs")


def explored(visit, *arguments, monkeypatch) -> None:
    """Run the verb, `visit` its server while it serves, and end it as Ctrl-C does."""

    def serve(server: Server) -> None:
        thread = threading.Thread(target=serve_forever, args=(server, 0.01))
        thread.start()
        try:
            visit(server)
        finally:
            server.shutdown()
            thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", serve)
    assert genrun("explore", *arguments, monkeypatch=monkeypatch) == 130


def fetch(server: Server, path: str):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.server_port}/{path}", headers={"X-Genrun-Token": server.token}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_a_run_is_served_with_all_its_pictures_and_left_alone(folder, monkeypatch, capsys):
    evil = folder.path.with_name("<script>alert(1)<")
    folder.path.rename(evil)
    before = {path: path.read_bytes() for path in evil.rglob("*") if path.is_file()}
    seen, opened = [], []
    monkeypatch.setattr(webbrowser, "open", opened.append)

    def visit(server: Server) -> None:
        with urllib.request.urlopen(server.url, timeout=60) as answer:
            html = answer.read().decode()
        assert "alert(1)<" not in html.replace("&lt;", "") and "&lt;script&gt;alert(1)&lt;" in html
        assert set(server.answers) == {
            f"{kind}/{view}" for kind in ("view", "closest") for view in ("samples", "codes", "interpolation")
        }
        for view in ("samples?seed=1", "codes?class=2&d1=1.5", "interpolation?class_a=1&class_b=4&way=spherical"):
            pictures = fetch(server, f"view/{view}")["pictures"]
            closest = fetch(server, f"closest/{view}")["closest"]
            assert pictures and [len(one) for one in closest] == [3] * len(pictures)
            seen.append(view)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            fetch(server, "view/codes?d1=9")
        assert opened == [server.url]

    explored(visit, str(evil), "--open", monkeypatch=monkeypatch)
    assert len(seen) == 3
    out = capsys.readouterr()
    assert "http://127.0.0.1:" in out.out and "samples, codes, interpolation" in out.out and not out.err
    assert before == {path: path.read_bytes() for path in evil.rglob("*") if path.is_file()}


def test_without_its_data_a_run_shows_its_samples_and_says_so(folder, monkeypatch, capsys):
    change_config(folder, "data.facts.checksum", "0" * 64)

    def visit(server: Server) -> None:
        with urllib.request.urlopen(server.url, timeout=60) as answer:
            assert "was trained on other data" in answer.read().decode()
        assert fetch(server, "view/samples")["pictures"]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(server, "view/codes")

    explored(visit, str(folder.path), monkeypatch=monkeypatch)
    assert "Without the training data there are no closest images" in capsys.readouterr().out


def test_data_that_is_not_trusted_is_not_read(folder, tmp_path, monkeypatch, capsys):
    change_config(folder, "data.source", {"_target_": "os.mkdir", "_partial_": True, "path": str(tmp_path / "made")})
    explored(lambda server: None, str(folder.path), monkeypatch=monkeypatch)
    assert not (tmp_path / "made").exists() and "os.mkdir" in capsys.readouterr().out


def test_what_is_wrong_is_one_line(folder, here, monkeypatch, capsys):
    outputs = f"paths.outputs={folder.path.parents[1]}"

    def refused(*arguments: str) -> str:
        assert genrun("explore", *arguments, monkeypatch=monkeypatch) == 2
        said = capsys.readouterr()
        assert said.err.count("\n") == 1 and not said.out
        return said.err

    assert "nowhere/at/all: expected a run folder" in refused("nowhere/at/all")
    assert "there are no runs in" in refused("last", "paths.outputs=empty_folder")
    assert "no run of this id or name" in refused("nothing", outputs)
    assert "expected one run, got 2" in refused(str(folder.path), "again", outputs)
    assert "--port: expected 1024 to 65535, got 80" in refused(str(folder.path), "--port", "80")
    assert "no such option" in refused(str(folder.path), "model.nothing.at=1")
    change_json(folder, "status.json", lambda status: status["stages"].pop("fit"))
    assert "its training is not finished" in refused(str(folder.path))


def test_points_are_no_pictures(folder, monkeypatch, capsys):
    change_config(folder, "data.facts.image_shape", [3, 1, 1])
    assert genrun("explore", str(folder.path), monkeypatch=monkeypatch) == 2
    assert "its data are points" in capsys.readouterr().err
