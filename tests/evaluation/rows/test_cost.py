"""The costs of a run, also where its record lacks some."""

from __future__ import annotations

import pytest
from helpers.runs import change_json, unpack

from genrun.evaluation.rows.cost import cost_rows
from genrun.runs.open import open_run


@pytest.mark.parametrize("key", [None, "training_seconds", "training_images", "epoch", "peak_memory_gib"])
def test_a_cost_that_is_not_recorded_has_no_value_and_says_so(key, tmp_path):
    folder = unpack(tmp_path)
    if key:
        change_json(folder, "status.json", lambda status: status.pop(key))
    run = open_run(folder.path)
    rows = {row.name: row for row in cost_rows(folder, run.config, run.method())}
    unknown = [name for name, row in rows.items() if row.note == "status.json does not say"]
    assert unknown == {None: [], "peak_memory_gib": ["peak memory, GiB"]}.get(key, ["training, s"])
    assert rows["parameters"].value > 0
    assert (rows["training, s"].value is None) == (key == "training_seconds")
