"""`genrun reproduce`: runs, verdicts, exit statuses."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml
from conftest import GENRUN, SHORT, TINY_AUTOENCODER, genrun

from genrun.config.compose import compose
from genrun.config.container import to_container
from genrun.config.schema import check
from genrun.parts import with_facts
from genrun.report.expectation_file import read_expectations, targets
from genrun.runs.identity import digest, identity
from genrun.sweeps.reproduction import jobs_of
from genrun.types import Facts

DISTANCE = "Fréchet distance (observer)"


def expectations(values: list[float], expected: str) -> str:
    small = [*TINY_AUTOENCODER, "evaluation=quick", "data.limit=null", "sample.n=200", *SHORT]
    return yaml.safe_dump(
        {
            "document": "A document (Author, 2020)",
            "runs": {
                "small": {"words": small, "seeds": [0], "minutes": 0.1},
                "one": {"words": ["model/prior=gaussian"], "refits": "small", "seeds": [0], "minutes": 0.1},
                "paper": {"words": ["model=vae_paper"], "seeds": [0], "minutes": 90, "on_request": "too long"},
            },
            "rows": [
                {"number": "distance", "source": "table 1", "run": "small", "metric": DISTANCE, "values": values},
                {
                    **{"claim": "One is better.", "source": "section 2", "left": {"run": "one", "metric": DISTANCE}},
                    **{"relation": "below", "right": 1e9, "expected": expected},
                },
                {"number": "paper", "source": "table 2", "run": "paper", "metric": DISTANCE, "values": []},
            ],
            "figures": [{"source": "figure 1", "shows": "digits", "run": "small", "file": "samples/final.png"}],
            "miniature": [],
        }
    )


def test_a_wrong_expectation_makes_the_target_fail(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "mine.yaml"
    file.write_text(expectations([], "held"))
    assert genrun("reproduce", "mine.yaml", "--check", monkeypatch=monkeypatch) == 1
    assert "nothing to judge: outputs has no run of mine" in capsys.readouterr().err
    assert genrun("reproduce", "mine.yaml", monkeypatch=monkeypatch) == 0
    record = json.loads((tmp_path / "outputs/reproductions/mine.json").read_text())
    assert [row["verdict"] for row in record["rows"]] == ["not measured before", "held", "not run"]
    assert (tmp_path / "outputs/reproductions/mine/01-small-final.png").is_file()
    (value,) = record["rows"][0]["values"]
    check = ("reproduce", "mine.yaml", "--check")

    file.write_text(expectations([value], "held"))
    capsys.readouterr()
    assert genrun(*check, monkeypatch=monkeypatch) == 0
    assert "nothing otherwise than expected: 1 as expected, 1 held, 1 not run" in capsys.readouterr().out
    assert genrun(*check, "sample.n=150", monkeypatch=monkeypatch) == 1  # other settings: no run has them
    assert "nothing to judge" in capsys.readouterr().err
    assert (tmp_path / "outputs/reproductions/other settings/mine.json").is_file()
    assert genrun(*check, "hardware.threads=1", monkeypatch=monkeypatch) == 0
    assert "1 as expected" in capsys.readouterr().out
    monkeypatch.setenv("GENRUN_CACHE", str(tmp_path / "empty"))  # the facts of the data are read again
    assert genrun(*check, monkeypatch=monkeypatch) == 0
    assert "1 as expected" in capsys.readouterr().out

    file.write_text(expectations([value], "did not hold"))
    assert genrun(*check, monkeypatch=monkeypatch) == 1
    assert "mine: One is better: " in capsys.readouterr().err

    several = yaml.safe_load(
        expectations([value], "held")
    )  # a second seed, of which there is no run: the spread is known
    several["runs"]["small"]["seeds"] = [0, 1]
    several["rows"][0]["values"] = [value * 3, value * 3.01]
    file.write_text(yaml.safe_dump(several))
    assert genrun(*check, monkeypatch=monkeypatch) == 1
    assert "mine: distance: " in capsys.readouterr().err


def test_the_targets_are_listed(monkeypatch, capsys):
    assert genrun("reproduce", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in targets())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vea"], "did you mean 'vae'"),
        (["vae", "sweep.name=../x"], "sweep.name: expected a folder's name"),
        (["vae", "./vae.yaml"], "two targets have the name vae"),
        (["mine"], "no such target"),
        (["vae", "--check", "--on-request"], "--on-request adds runs; --check does none"),
        (["--check", "vae", "model.x=1", "paths.outputs=there"], "no such option"),
    ],
)
def test_a_wrong_command_is_refused(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vae.yaml").write_text(expectations([], "held"))
    assert genrun("reproduce", *words, monkeypatch=monkeypatch) == 2
    assert message in capsys.readouterr().err


def test_every_target_in_miniature(tmp_path):
    """The same code path as the real thing, with tiny runs."""
    words = ["paths.outputs=outputs", *SHORT]
    done = subprocess.run(
        [*GENRUN, "reproduce", "all", "--miniature", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    for name in targets():
        record = json.loads((tmp_path / f"outputs/reproductions/other settings/{name}.json").read_text())
        assert record["runs"]
        assert {row["verdict"] for row in record["rows"]} - {"not run", "cannot be tested here"}


def test_the_words_of_every_run_are_right():
    """Each composes, and a run that two targets name is sampled and judged alike in both: it has one table."""
    facts = Facts((1, 28, 28), 10, tuple("0123456789"), 1000, "checksum")
    found = {}
    for name in targets():
        seen = set()  # a target composes a run once for all its seeds
        for job in jobs_of(read_expectations(name), [], on_request=True):
            if job.run.name in seen:
                continue
            seen.add(job.run.name)
            cfg = compose(job.overrides)
            check(cfg)
            judged = [to_container(cfg.evaluation), cfg.sample.n]
            key = digest(identity(with_facts(cfg, facts)))
            other, earlier = found.setdefault(key, (f"{name}: {job.run.name}", judged))
            assert judged == earlier, f"{name}: {job.run.name} and {other} are one run with two tables"
