"""Write what finished runs gave into the expectations of a target: the values of each number, and where they come from.

    genrun reproduce vae --check
    python scripts/expect.py vae "two cores of an AMD EPYC"

Reads outputs/reproductions/TARGET.json and changes conf/expected/TARGET.yaml, and writes docs/reproductions/TARGET.md. TARGET may also be a
.yaml file of your own, which has no page in docs. Only numbers whose runs have all their seeds are written.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from genrun.errors import GenrunError
from genrun.report.expectation_file import read_expectations
from genrun.report.expectations import Number
from genrun.report.reproduction import RECORD, JudgedRow
from genrun.report.reproduction_table import markdown_of
from genrun.runs.records import read_json
from genrun.runs.summary import read_summary

ROOT = Path(__file__).parents[1]


def main(name: str, hardware: str, outputs: str = "outputs") -> None:
    """Change the file of one target."""
    target = read_expectations(name)
    own = name.endswith(".yaml")
    file = Path(name) if own else ROOT / "conf" / "expected" / f"{name}.yaml"
    folder = Path(outputs) / "reproductions"
    record = read_json(folder / f"{target.name}.json", RECORD, f"genrun reproduce {name} --check makes it")
    texts = [(row["text"], row["source"]) for row in record["rows"]]
    if record["changed"] or texts != [(row.text, row.source) for row in target.rows]:
        sys.exit(f"{folder}: not a record of this {file}: genrun reproduce {name} --check makes it again")
    rows = zip(record["rows"], target.rows, strict=True)
    numbers = [(of, row["values"]) for row, of in rows if isinstance(of, Number)]
    whole = [len(values) == len(target.runs[row.quantity.run].seeds) for row, values in numbers]
    measured = {row.quantity.run for (row, _), complete in zip(numbers, whole, strict=True) if complete}
    commit = commit_of([folder / run for run in record["runs"]])
    lines, number, run = [], -1, ""
    for line in file.read_text().splitlines():
        if (found := re.match(r"  ([\w-]+):", line)) and number < 0:
            run = found[1]
        if re.match(r"    (hardware|commit): ", line) and run in measured:
            continue  # written again below
        if re.match(r"    values: ", line):
            number += 1
            if whole[number]:
                line = f"    values: [{', '.join(map(as_yaml, numbers[number][1]))}]"
        lines.append(line)
        if re.match(r"    minutes: ", line) and run in measured:
            lines += [f"    hardware: {json.dumps(hardware)}", f"    commit: '{commit}'"]
    origins = sum(line.startswith("    hardware: ") for line in lines)
    if number + 1 != len(numbers) or origins < len(measured):
        sys.exit(f"{file}: expected each key of a row and of a run in a line of its own, such as values: and minutes:")
    file.write_text("\n".join(lines) + "\n")
    if not own:
        judged = [JudgedRow(**row) for row in record["rows"]]
        page = ROOT / "docs" / "reproductions" / f"{name}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(markdown_of(read_expectations(name), judged))
    print(f"{file}: {sum(whole)} numbers written, {len(whole) - sum(whole)} left out, whose runs or seeds are missing")


def as_yaml(value: float) -> str:
    """Return a number with nine digits as YAML reads it: a float with an exponent needs a point."""
    text = f"{value:.9g}"
    return re.sub(r"^(-?\d+)e", r"\1.0e", text)


def commit_of(runs: list[Path]) -> str:
    """Return the commits of the code that made runs."""
    git = [read_summary(run).folder.provenance().get("git") or {} for run in runs]
    return ", ".join(dict.fromkeys(str(one["commit"])[:7] for one in git if "commit" in one)) or "unknown"


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (GenrunError, FileNotFoundError) as error:
        sys.exit(str(error))
