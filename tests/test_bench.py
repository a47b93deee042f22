"""The bench's file, its comparison and its command line. Nothing is timed here."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench import __main__ as command
from scripts.bench import measuring, record
from scripts.bench.comparing import compare
from scripts.bench.effort import TINY, WHOLE
from scripts.bench.record import Record
from scripts.bench.rows import Row, cost, growth, rate

ROOT = Path(__file__).parents[1]
MACHINE = {"processor": "a processor", "cores": 2, "torch": "2.15.0", "threads": 2}
ROWS = [
    Row("an epoch", 300.0, 100.0, "images/s", 3.0, 2.5, section="training"),
    Row("a distance", 0.5, 1.0, "s", 2.0, section="judge"),
    Row("a command", 0.3, section="commands", goal=0.35),
]


def saved(path: Path, rows: list[Row], machine: dict = MACHINE) -> Path:
    record.write(Record(machine, {"training": {"date": "2026-01-01", "commit": "abc"}}, rows), path)
    return path


def with_ratio(ratio: float) -> list[Row]:
    return [dataclasses.replace(ROWS[0], ratio=ratio), *ROWS[1:]]


def bench(*words: object) -> subprocess.CompletedProcess:
    arguments = [sys.executable, "-m", "scripts.bench", *map(str, words)]
    return subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT)


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
    assert "no ratio is more than 20% worse" in done.stdout
    assert "another machine" not in done.stdout


@pytest.mark.parametrize(("ratio", "is_worse"), [(2.39, True), (2.41, False), (9.0, False)])
def test_a_fifth_is_the_limit(ratio, is_worse):
    assert compare(Record(MACHINE, {}, ROWS), Record(MACHINE, {}, with_ratio(ratio)))[1] is is_worse


def test_rows_of_one_file_only_are_named():
    lines, worse = compare(Record(MACHINE, {}, ROWS), Record(MACHINE, {}, [ROWS[0], Row("new", 1.0, section="nota")]))
    assert not worse
    assert lines == [
        "only in the file, not measured now: judge: a distance",
        "only in the file, not measured now: commands: a command",
        "measured now, not in the file: nota: new",
    ]


def test_a_ratio_that_is_gone_is_named():
    """The row is there, but what it was compared with is not installed any more."""
    lines, worse = compare(Record(MACHINE, {}, ROWS), Record(MACHINE, {}, with_ratio(None)))
    assert (lines, worse) == (["only in the file, not measured now: training: an epoch"], False)


def test_another_machine_is_said():
    (line,), worse = compare(Record(MACHINE, {}, ROWS), Record(MACHINE | {"cores": 8}, {}, ROWS))
    assert "another machine" in line and "cores 2, here 8" in line and not worse


def test_a_record_is_read_as_it_was_written(tmp_path):
    file = saved(tmp_path / "bench.json", ROWS)
    found = record.read(file)
    assert (found.machine, found.rows) == (MACHINE, ROWS)
    assert found.measured == {"training": {"date": "2026-01-01", "commit": "abc"}}
    assert [line for line in file.read_text().splitlines() if "a distance" in line]  # a row is one line
    assert list(tmp_path.iterdir()) == [file]


def test_measuring_a_subject_again_keeps_the_others(tmp_path, monkeypatch):
    file = saved(tmp_path / "bench.json", ROWS, record.this_machine())
    again = dataclasses.replace(ROWS[1], ratio=4.0)
    run_main(monkeypatch, ["--only", "judge", "--json", str(file)], [again])
    found = record.read(file)
    assert found.rows == [ROWS[0], ROWS[2], again]
    assert found.measured.keys() == {"training", "judge"}


def test_a_file_of_another_machine_is_not_mixed(tmp_path, monkeypatch, capsys):
    file = saved(tmp_path / "bench.json", ROWS)
    assert run_main(monkeypatch, ["--only", "judge", "--json", str(file)], [ROWS[1]]) == 2
    assert "another machine" in capsys.readouterr().err
    assert record.read(file).rows == ROWS


def test_only_what_is_asked_for_is_compared(tmp_path, monkeypatch, capsys):
    file = saved(tmp_path / "bench.json", ROWS, record.this_machine())
    assert run_main(monkeypatch, ["--only", "judge", "--compare", str(file)], [ROWS[1]]) == 0
    assert "not measured now" not in capsys.readouterr().out
    assert run_main(monkeypatch, ["--only", "judge", "--compare", str(file)], []) == 0
    assert "only in the file, not measured now: judge: a distance" in capsys.readouterr().out


def run_main(monkeypatch, words: list[str], rows: list[Row]) -> int:
    """Run the command line in this process, with given rows in place of measured ones."""
    monkeypatch.setattr(command, "rows_of", lambda subject, effort: (rows, False))
    monkeypatch.setattr(command, "check_data", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    return command.main()


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
    assert (ROOT / "scripts" / "bench" / "subjects" / f"{subject}.py").is_file()


def test_every_module_is_a_subject():
    modules = {file.stem for file in (ROOT / "scripts/bench/subjects").glob("*.py")} - {"__init__"}
    assert modules == set(command.SUBJECTS) and set(command.IMPORTANT) <= modules
