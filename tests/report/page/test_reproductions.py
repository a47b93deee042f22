"""The page's part about reproductions."""

from __future__ import annotations

import json

from PIL import Image

from genrun.report.page.reproductions import reproductions

ROW = {
    **dict.fromkeys(("text", "source", "published", "expected", "got", "note"), "x"),
    **{"verdict": "held", "unexpected": False, "values": [1.0]},
}
FIGURE = {
    "source": "figure 1",
    "shows": "digits",
    "file": "mine/01-small-final.png",
    "origin": "vae on digits",
    "beside": "",
}
RECORD = {
    **{"format": 1, "target": "mine", "document": "A document", "changed": False, "summary": "1 held"},
    **{"runs": ["../vae-digits/abc"], "rows": [ROW], "figures": [FIGURE]},
}


def test_reproductions_of_the_runs_of_a_page(tmp_path):
    folder, run = tmp_path / "reproductions", tmp_path / "vae-digits" / "abc"
    (folder / "mine").mkdir(parents=True)
    run.mkdir(parents=True)
    Image.new("L", (4, 4)).save(folder / "mine/01-small-final.png")
    (folder / "mine.json").write_text(json.dumps(RECORD))
    (folder / "other.json").write_text(json.dumps({**RECORD, "target": "other", "runs": ["../vae-digits/another"]}))
    (folder / "bare.json").write_text(json.dumps({**RECORD, "figures": [{**FIGURE, "file": "mine/lost.png"}]}))
    (folder / "damaged.json").write_text("{")
    (folder / "lost.json").symlink_to(tmp_path / "nowhere.json")
    found, left_out = reproductions(folder, [str(run.resolve())])
    assert next(one["figures"] for one in found if one["figures"])[0]["picture"].width == 4
    assert len(found) == 2  # without the other one, whose runs are not on the page
    assert len(left_out) == 3
    assert reproductions(folder, ["/elsewhere"])[0] == []
    assert reproductions(tmp_path / "none", [str(run.resolve())]) == ([], [])
