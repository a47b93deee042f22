"""The bench's file, its comparison and its command line. Nothing is timed here."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from scripts.bench import __main__ as command
from scripts.bench import measuring, record
from scripts.bench.comparing import Comparison, compare
from scripts.bench.effort import QUICK, TINY, WHOLE, Effort
from scripts.bench.measuring import Failed
from scripts.bench.record import Measured, Record
from scripts.bench.rows import Row, cost, growth, rate
from scripts.bench.subjects import limit
from scripts.bench.synthetic import blots

ROOT = Path(__file__).parents[1]
MACHINE = {"processor": "a processor", "cores": 2, "torch": "2.15.0", "threads": 2}
ROWS = [
    Row("an epoch", 300.0, 100.0, "images/s", 3.0, 2.5, subject="training"),
    Row("a distance", 0.5, 1.0, "s", 2.0, subject="judge"),
    Row("a command", 0.3, subject="commands", goal=0.35),
]


def measured(share: float = 1.0) -> Measured:
    return Measured("2026-01-01", "abc", share)


def saved(path: Path, rows: list[Row], machine: dict = MACHINE, share: float = 1.0) -> Path:
    record.write(Record(machine, {"training": measured(share), "judge": measured(share)}, rows), path)
    return path


def with_ratio(ratio: float) -> list[Row]:
    return [dataclasses.replace(ROWS[0], ratio=ratio), *ROWS[1:]]


def against(*rows: Row, before: list[Row] = ROWS) -> Comparison:
    return compare(Record(MACHINE, {}, before), Record(MACHINE, {}, list(rows)))


def bench(*words: object) -> subprocess.CompletedProcess:
    arguments = [sys.executable, "-m", "scripts.bench", *map(str, words)]
    # a sweep of an earlier test in this process sets it for its jobs; with it, Python does not look in the current folder
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, env=environment)


def test_a_ratio_that_is_a_third_worse_is_named_and_ends_with_1(tmp_path):
    before, now = saved(tmp_path / "a.json", ROWS), saved(tmp_path / "b.json", with_ratio(0.7 * 3.0))
    done = bench("--compare", before, "--measured", now)
    assert done.returncode == 1
    assert "worse: training: an epoch: 2.10, was 3.00 (-30%)" in done.stdout
    assert "a distance:" not in done.stdout.partition("worse:")[2]


def test_equal_files_end_with_0(tmp_path):
    file = saved(tmp_path / "a.json", ROWS)
    done = bench("--compare", file, "--measured", file)
    assert done.returncode == 0, done.stderr
    assert "3 ratios and goals compared: no ratio is more than 20% worse" in done.stdout
    assert "another machine" not in done.stdout


@pytest.mark.parametrize(("ratio", "is_worse"), [(2.39, True), (2.41, False), (9.0, False), (math.nan, True)])
def test_a_fifth_is_the_limit_and_nan_is_worse(ratio, is_worse):
    assert against(*with_ratio(ratio)).worse is is_worse


@pytest.mark.parametrize(("ours", "is_worse"), [(0.36, True), (0.34, False), (math.nan, True)])
def test_a_goal_of_a_row_without_a_ratio_must_stay_met(ours, is_worse):
    found = against(*ROWS[:2], dataclasses.replace(ROWS[2], ours=ours))
    assert found.worse is is_worse
    assert [line for line in found.lines if line.startswith("goal missed: commands: a command")] == found.lines[
        :is_worse
    ]


def test_a_goal_that_was_missed_before_may_stay_missed():
    row = dataclasses.replace(ROWS[2], ours=0.4)
    assert against(row, before=[row]) == ([], False, 1)


def test_what_is_compared_is_counted():
    assert against(*ROWS).compared == 3
    assert against(*ROWS[1:]).compared == 2
    assert against(*with_ratio(None)).compared == 2
    assert against(Row("new", 1.0, ratio=2.0, subject="nota")).compared == 0


def test_nothing_in_common_ends_with_1(tmp_path):
    one, other = saved(tmp_path / "a.json", ROWS[:1]), saved(tmp_path / "b.json", ROWS[1:])
    done = bench("--compare", one, "--measured", other)
    assert done.returncode == 1
    assert "no ratio or goal is in both files" in done.stderr and "compared" not in done.stdout


def test_only_the_named_subjects_of_both_files_are_compared(tmp_path):
    before, now = saved(tmp_path / "a.json", ROWS), saved(tmp_path / "b.json", with_ratio(1.0))
    done = bench("--compare", before, "--measured", now, "--only", "judge")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 ratios and goals compared" in done.stdout


def test_another_share_is_refused(tmp_path):
    """A quick measurement says nothing about a whole one."""
    whole, quick = saved(tmp_path / "a.json", ROWS), saved(tmp_path / "b.json", ROWS, share=QUICK.share)
    done = bench("--compare", whole, "--measured", quick)
    assert done.returncode == 2
    assert "training: measured with share 0.25, the file has 1; measure with the same effort" in done.stderr
    assert bench("--compare", quick, "--measured", quick).returncode == 0


@pytest.mark.parametrize("option", ["--json", "--compare"])
def test_another_share_is_refused_before_anything_is_measured(tmp_path, monkeypatch, capsys, option):
    file = saved(tmp_path / "bench.json", ROWS, record.this_machine())
    assert run_main(monkeypatch, ["--only", "judge", "--tiny", option, str(file)], None) == 2
    assert "judge: measured with share 0.005, the file has 1" in capsys.readouterr().err
    assert record.read(file).rows == ROWS


def test_rows_of_one_file_only_are_named():
    lines, worse, _ = against(ROWS[0], Row("new", 1.0, subject="nota"))
    assert not worse
    assert lines == [
        "only in the file, not measured now: judge: a distance",
        "only in the file, not measured now: commands: a command",
        "measured now, not in the file: nota: new",
    ]


def test_a_ratio_that_is_gone_is_named():
    """The row is there, but what it was compared with is not installed any more."""
    lines, worse, _ = against(*with_ratio(None))
    assert (lines, worse) == (["only in the file, not measured now: training: an epoch"], False)


def test_another_machine_is_said():
    (line,), worse, _ = compare(Record(MACHINE, {}, ROWS), Record(MACHINE | {"cores": 8}, {}, ROWS))
    assert "another machine" in line and "cores 2, here 8" in line and not worse


def test_a_record_is_read_as_it_was_written(tmp_path):
    file = saved(tmp_path / "bench.json", ROWS)
    found = record.read(file)
    assert (found.machine, found.rows) == (MACHINE, ROWS)
    assert found.measured == {"training": measured(), "judge": measured()}
    assert [line for line in file.read_text().splitlines() if "a distance" in line]  # a row is one line
    assert list(tmp_path.iterdir()) == [file]


def test_measuring_a_subject_again_keeps_the_others(tmp_path, monkeypatch):
    file = saved(tmp_path / "bench.json", ROWS, record.this_machine())
    again = dataclasses.replace(ROWS[1], ratio=4.0)
    run_main(monkeypatch, ["--only", "judge", "--json", str(file)], [again])
    found = record.read(file)
    assert found.rows == [ROWS[0], ROWS[2], again]
    assert found.measured.keys() == {"training", "judge"} and found.measured["judge"] != measured()


def test_a_subject_that_fails_leaves_the_rows_that_it_had(tmp_path, monkeypatch):
    had = [*ROWS, dataclasses.replace(ROWS[1], name="another distance")]
    file = saved(tmp_path / "bench.json", had, record.this_machine())
    again = dataclasses.replace(ROWS[1], ratio=4.0)
    assert run_main(monkeypatch, ["--only", "judge", "--json", str(file)], [again], failed=True) == 1
    found = record.read(file)
    assert found.rows == [ROWS[0], ROWS[2], had[3], again]
    assert found.measured["judge"] == measured()


def test_the_whole_bench_keeps_the_rows_of_what_fails(tmp_path, monkeypatch):
    """Each subject is a process of its own; here each ends with 1 before it has a row."""
    file = saved(tmp_path / "bench.json", ROWS, record.this_machine())
    monkeypatch.setattr(command, "SUBJECTS", ("training", "judge"))
    monkeypatch.setattr(command.subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 1))
    assert run_main(monkeypatch, ["--json", str(file)], None) == 1
    assert record.read(file).rows == ROWS


def test_a_file_of_another_machine_is_not_mixed(tmp_path, monkeypatch, capsys):
    file = saved(tmp_path / "bench.json", ROWS)
    assert run_main(monkeypatch, ["--only", "judge", "--json", str(file)], [ROWS[1]]) == 2
    assert "another machine" in capsys.readouterr().err
    assert record.read(file).rows == ROWS


def test_only_what_is_asked_for_is_compared(tmp_path, monkeypatch, capsys):
    file = saved(tmp_path / "bench.json", ROWS, record.this_machine())
    assert run_main(monkeypatch, ["--only", "judge", "--compare", str(file)], [ROWS[1]]) == 0
    assert "not measured now" not in capsys.readouterr().out
    assert run_main(monkeypatch, ["--only", "judge", "--compare", str(file)], []) == 1
    assert "only in the file, not measured now: judge: a distance" in capsys.readouterr().out


def run_main(monkeypatch, words: list[str], rows: list[Row] | None, *, failed: bool = False) -> int:
    """Run the command line in this process, with given rows in place of measured ones; None: nothing may be measured here."""

    def rows_of(subject: str, effort: Effort) -> tuple[list[Row], bool]:
        assert rows is not None
        return rows, failed

    monkeypatch.setattr(command, "rows_of", rows_of)
    monkeypatch.setattr(command, "check_data", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    return command.main()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--measured", "b.json"], "--measured needs --compare"),
        (["--pairs", "0"], "--pairs must be at least 1, got 0"),
        (["--pairs", "-1"], "--pairs must be at least 1, got -1"),
        (["--quick", "--tiny"], "not allowed with"),
    ],
)
def test_words_that_mean_nothing_are_refused(monkeypatch, capsys, words, message):
    with pytest.raises(SystemExit, match="2"):
        run_main(monkeypatch, words, None)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["{}", "no json", json.dumps({"format": 99}), '{"format": 1, "machine": {}, "measured": {}, "rows": [1]}']
)
def test_another_file_is_refused_in_one_line(tmp_path, text):
    file = tmp_path / "bench.json"
    file.write_text(text)
    done = bench("--compare", file, "--measured", file)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and str(file) in done.stderr


def test_a_missing_file_is_refused_before_anything_is_measured(tmp_path):
    done = bench("--compare", tmp_path / "none.json")
    assert done.returncode == 2 and "none.json" in done.stderr


def test_a_ratio_says_how_many_times_better():
    assert rate("", 300, 100).ratio == 3 and cost("", 1, 3).ratio == 3


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("", 1.0, ratio=1.5, goal=1.5), True),
        (Row("", 1.0, ratio=1.4, goal=1.5), False),
        (Row("", 0.3, goal=0.35), True),
        (Row("", 0.4, goal=0.35), False),
        (Row("", 9.0), True),
    ],
)
def test_a_goal_is_the_least_ratio_or_the_largest_value(row, met):
    assert row.met is met


def test_growth_is_the_exponent_at_the_largest_sizes():
    sizes = [1, 10, 100, 1000, 10_000]
    row = growth("", sizes, [1, 1, 7 * 100**2, 7 * 1000**2, 7 * 10_000**2], "s")
    assert row.ours == pytest.approx(2) and not row.met
    assert growth("", sizes, [5 + 3 * size for size in sizes], "s").met


def test_pairs_are_measured_in_turn_and_the_median_ratio_is_taken():
    ours, other, order = iter([99, 1, 6, 4]), iter([99, 1, 2, 2]), []

    def side(name, values):
        def measured() -> float:
            order.append(name)
            return next(values)

        return measured

    assert measuring.in_turn(side("ours", ours), side("other", other), 3) == (4, 2)
    assert order == ["ours", "other"] * 4


def test_efforts():
    assert WHOLE.count(20000) == 20000 and TINY.count(20000, 256) == 256 and TINY.count(100, 256) == 100
    assert WHOLE.sizes(1, 2, 3) == (1, 2, 3) and TINY.sizes(1, 2, 3) == (1, 2)


@pytest.mark.parametrize("subject", command.SUBJECTS)
def test_every_subject_is_a_module(subject):
    assert callable(importlib.import_module(f"scripts.bench.subjects.{subject}").rows)


def test_every_module_is_a_subject():
    modules = {file.stem for file in (ROOT / "scripts/bench/subjects").glob("*.py")} - {"__init__"}
    assert modules == set(command.SUBJECTS) and set(command.IMPORTANT) <= modules


def test_operations_are_counted_where_an_epoch_has_one_batch():
    """The first step, in which the arithmetic is checked, is not counted."""
    linear, counting = nn.Linear(3, 5), limit.Operations("outline")
    batch = SimpleNamespace(image=torch.ones(4, 3))
    counted = []
    for phase, epoch in (("classifier", 1), ("outline", 0), ("outline", 1)):
        trainer, method = SimpleNamespace(current_epoch=epoch), SimpleNamespace(phase=phase)
        counting.on_train_batch_start(trainer, method, batch, 0)
        linear(batch.image)
        counting.on_train_batch_end(trainer, method, None, batch, 0)
        counted.append(counting.of_image)
    assert counted == [None, None, 2 * 3 * 5]


def test_a_training_of_one_step_cannot_be_counted(monkeypatch):
    monkeypatch.setattr(limit, "train", lambda words, counting: None)
    with pytest.raises(Failed, match="no step of model=rbm could be counted"):
        limit.operations_of(["model=rbm"], "")


def test_few_blots_are_repeated_in_the_test_split():
    source = blots(12, 8)
    assert source.train.array.shape == (12, 1, 8, 8) and source.test.array.shape == (100, 1, 8, 8)
    assert source.test.array[13].equal(source.train.array[1]) and source.test.labels[13] == source.train.labels[1]
