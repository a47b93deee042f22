"""Write what finished runs gave into the expectations of targets: the values of each number, and where they come from.

    genrun reproduce vae --check
    python scripts/expect.py vae "two cores of an AMD EPYC"

Reads outputs/reproductions/TARGET.json, changes conf/expected/TARGET.yaml; TARGET may also be a .yaml file of your own. Only numbers
whose runs have all their seeds are written.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from genrun.report.expectations import Number, read_expectations

ROOT = Path(__file__).parents[1]


def main(name: str, hardware: str, outputs: str = "outputs") -> None:
    """Change the file of one target."""
    target = read_expectations(name)
    file = Path(name) if name.endswith(".yaml") else ROOT / "conf" / "expected" / f"{name}.yaml"
    rows = json.loads((Path(outputs) / "reproductions" / f"{target.name}.json").read_text())["rows"]
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    found = [row["values"] for row, of in zip(rows, target.rows, strict=True) if isinstance(of, Number)]
    numbers = [row for row in target.rows if isinstance(row, Number)]
    complete = [
        len(values) == len(target.runs[row.quantity.run].seeds) for values, row in zip(found, numbers, strict=True)
    ]
    measured = {row.quantity.run for row, whole in zip(numbers, complete, strict=True) if whole}
    lines, number, run = [], -1, ""
    for line in file.read_text().splitlines():
        if re.fullmatch(r"  \w+:.*", line) and number < 0:
            run = line.strip().rstrip(":")
        if re.match(r"\s+(hardware|commit): ", line) and run in measured:
            continue  # written again below
        if re.match(r"\s+values: ", line):
            number += 1
            if complete[number]:
                values = ", ".join(f"{value:.6g}" for value in found[number])
                line = f"{line.partition('values:')[0]}values: [{values}]"
        lines.append(line)
        if re.match(r"\s+minutes: ", line) and run in measured:
            lines += [f"    hardware: {hardware}", f"    commit: '{commit.stdout.strip()}'"]
    if number + 1 != len(numbers):
        sys.exit(f"{file}: expected {len(numbers)} lines of values, found {number + 1}")
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
