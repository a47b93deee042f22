"""`genrun explain`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import genrun


def test_it_is_readable_at_80_columns_and_imports_no_torch(tmp_path):
    script = "import sys; from genrun.verbs.explain import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script, "model=vae", "data=mnist"],
        capture_output=True,
        text=True,
        env={"COLUMNS": "80", "PATH": "", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80 and lines[0] == "model=vae  genrun.methods.vae.VAE"
    assert any(line.startswith("model.code_size = 32") and line.endswith("int") for line in lines)
    assert "    # 32-true | auto (bf16-mixed if the device supports it) | bf16-mixed |" in lines


def test_a_program_reads_json(monkeypatch, capsys):
    assert genrun("explain", "model=gan", "trainer.max_epochs", "--json", monkeypatch=monkeypatch) == 0
    (option,) = json.loads(capsys.readouterr().out)
    assert option["key"] == "trainer.max_epochs" and option["type"] == "int | null" and option["section"] == "trainer"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=vea"], "model=vea: no such choice (did you mean 'vae'?)"),
        (["max_epohcs"], "max_epohcs: there is no such option (did you mean 'trainer.max_epochs'?)"),
        (["--config-dir", "gone"], "--config-dir gone: no such folder"),
        (["--jsn"], "unrecognized arguments: --jsn"),
    ],
)
def test_what_is_wrong_ends_in_one_line(words, line, monkeypatch, capsys):
    assert genrun("explain", *words, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert line in error and error.count("\n") == 1


def test_values_cannot_command_the_terminal(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "evil.yaml").write_text('name: "\\e[31m[red]evil"  # [bold]markup\nlimit: 1\n')
    genrun("explain", "--config-dir", str(tmp_path), "data=evil", "data.name", monkeypatch=monkeypatch)
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\\x1b[31m[red]evil" in out and "# [bold]markup" in out
