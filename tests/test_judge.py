"""The judge as a whole: what it says of controls, what it keeps, what it refuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from rich.console import Console
from test_cli import genrun

from genrun.config.compose import compose
from genrun.data.module import ImageData
from genrun.errors import Refused
from genrun.evaluation.controls import judged
from genrun.evaluation.judge import Judge
from genrun.evaluation.rows.row import Row
from genrun.parts import build_data, build_judge, read_facts, with_facts

SHORT = ("evaluation.classifier.steps=150", "evaluation.classifier.network.width=6", "evaluation.train_on_generated=60")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory) -> Path:
    """Three classes of 8×8 grey images: a soft spot in its class's row, anywhere along it, of any strength and width."""
    folder, generator = tmp_path_factory.mktemp("shapes"), np.random.default_rng(0)
    down, across = np.mgrid[:8, :8]
    for split, n in (("train", 2700), ("test", 700)):
        labels = np.arange(n) % 3
        place, width = generator.uniform(1, 6, (n, 1, 1)), generator.uniform(0.6, 1.6, (n, 1, 1))
        row = 1.5 + 2.3 * labels[:, None, None] + generator.normal(0, 0.3, (n, 1, 1))
        spots = np.exp(-((down - row) ** 2 + (across - place) ** 2) / 2 / width**2) * generator.uniform(
            0.5, 1, (n, 1, 1)
        )
        np.savez(folder / f"{split}.npz", images=(spots * 255).round().astype(np.uint8), labels=labels)
    return folder


def options(folder: Path, *overrides: str) -> list[str]:
    return ["data=npz", f"data.source.path={folder}", "data.validation=700", *SHORT, *overrides]


def make_judge(folder: Path, *overrides: str) -> Judge:
    cfg = compose(options(folder, *overrides))
    return judge_of_data(cfg, Console(quiet=True))


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


@pytest.fixture(scope="module")
def told(shapes) -> dict[str, dict[str, Row] | str]:
    """What the judge says of each control."""
    judge = make_judge(shapes)
    return {
        control.name.split(" (")[0]: by_name(rows) if isinstance(rows, list) else rows
        for control, rows in judged(judge)
    }


# ------------------------------------------------------------------------------------------------------------ controls


def test_held_out_real_images_pass(told):
    rows = told["held-out real images"]
    assert rows["label accuracy"].value > 0.95
    assert rows["class entropy"].value == pytest.approx(np.log(3), abs=0.01)
    assert rows["nearest-neighbour ratio"].value == pytest.approx(1, abs=0.1)
    assert rows["authenticity"].value == pytest.approx(rows["authenticity"].floor) and rows["authenticity"].value > 0.3
    assert abs(rows["copying statistic C_T"].value) < 3
    for space in ("classifier", "random"):
        assert rows[f"Fréchet distance ({space})"].value < 5 * rows[f"Fréchet distance ({space})"].floor
        assert abs(rows[f"kernel distance ({space})"].value) < 5 * rows[f"kernel distance ({space})"].spread
        for name in ("precision", "recall", "coverage"):
            assert rows[f"{name} ({space})"].value > 0.85
    assert rows["train on generated, test on real"].value > 0.9 and rows["train on real, test on generated"].value > 0.9


def test_copies_scream(told):
    rows = told["copies of training images"]
    assert rows["copying statistic C_T"].value < -10 < -3 < rows["copying statistic C_T"].floor
    assert rows["nearest-neighbour ratio"].value < 1e-3 and rows["authenticity"].value < 1e-3
    assert rows["precision (random)"].value > 0.9  # quality alone does not tell them from a good generator


def test_copies_with_slight_noise_scream(shapes):
    judge = make_judge(shapes, "evaluation.train_on_generated=0")
    images, _ = some_samples(shapes, 700, "train").values()
    noise = np.random.default_rng(0).integers(-2, 3, images.shape)  # of 255
    noisy = torch.from_numpy((images.astype(int) + noise).clip(0, 255).astype(np.uint8))[:, None]
    rows = by_name(judge.judge(noisy))
    assert rows["copying statistic C_T"].value < -3 and rows["nearest-neighbour ratio"].value < 0.6
    assert rows["authenticity"].value < 0.5 * rows["authenticity"].floor


def test_one_class_loses_recall_and_entropy(told):
    rows, real = told["one class only"], told["held-out real images"]
    assert rows["class entropy"].value < 0.1
    assert rows["label accuracy"].value > 0.95
    for space in ("classifier", "random"):
        assert rows[f"recall ({space})"].value < 0.6 * real[f"recall ({space})"].value
        assert rows[f"coverage ({space})"].value < 0.6
        assert rows[f"Fréchet distance ({space})"].value > 5 * rows[f"Fréchet distance ({space})"].floor


def test_blur_and_constant_images_are_far_off(told):
    for control in ("Gaussian blur of one pixel", "constant images"):
        rows = told[control]
        for space in ("classifier", "random"):
            assert rows[f"Fréchet distance ({space})"].value > 5 * rows[f"Fréchet distance ({space})"].floor
        assert rows["kernel distance (random)"].value > 5 * rows["kernel distance (random)"].spread
    constant = told["constant images"]
    assert constant["precision (random)"].value < 0.3 and constant["label accuracy"].value < 0.6
    assert constant["copying statistic C_T"].value > 3


def test_fewer_samples_than_features_are_refused_in_words(told):
    assert "20 samples are too few, the judge compares 128 features and needs at least 129" in told["20 images"]


# ------------------------------------------------------------------------------------------------- what a table carries


def test_every_figure_carries_count_protocol_seed_and_floor(shapes, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "samples.npz", **some_samples(shapes, 400))
    words = [str(tmp_path / "samples.npz"), *options(shapes), "seed=3", "--out", str(tmp_path / "table.json")]
    assert genrun("evaluate", *words, monkeypatch=monkeypatch) == 0
    results = json.loads((tmp_path / "table.json").read_text())
    assert len(results["features"]["classifier"]) == 64 and results["seed"] == 3 and results["data"]
    known, *others = results["rows"]
    assert known["name"] == "reference classifier, accuracy" and known["value"] > 0.9
    valued = [row for row in others if row["value"] is not None]
    assert len(valued) >= 20
    for row in valued:
        assert row["count"] == 400 and row["seed"] == 3 and row["floor"] is not None, row
        assert row.get("protocol") or row["note"], row
        assert np.isfinite([row["value"], row["floor"], row.get("spread", 0)]).all()
    shown = capsys.readouterr().out
    assert "Fréchet distance (random)" in shown and "400 against 700 test images" in shown
    assert "needs more than 2048 samples, got 400" in " ".join(shown.split())


def test_inception_is_named_where_its_weights_are_missing_and_used_where_they_are_not(shapes, tmp_path, monkeypatch):
    images = torch.from_numpy(some_samples(shapes, 2100, "train")["images"])[:, None]
    missing = make_judge(shapes, f"paths.cache={tmp_path}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (row,) = missing.by_inception(images)
    assert row.value is None and "evaluation.inception=fetch downloads them" in row.note

    class Stand(torch.nn.Module):
        num_features = 5

        def __init__(self, weights):
            super().__init__()
            self.register_buffer("weight", torch.randn(64, 5, generator=torch.Generator().manual_seed(0)))

        def forward(self, images):
            return images.flatten(1) @ self.weight

    monkeypatch.setattr("genrun.evaluation.judge.Inception", Stand)
    monkeypatch.setattr("genrun.evaluation.judge.find_weights", lambda *_, **__: tmp_path)
    rows = by_name(make_judge(shapes).by_inception(images))
    assert {"Fréchet distance (Inception)", "recall (Inception)"} <= rows.keys()
    assert 0 < rows["Fréchet distance (Inception)"].value < 1


def some_samples(folder: Path, n: int, name: str = "test") -> dict[str, np.ndarray]:
    with np.load(folder / f"{name}.npz") as arrays:
        return {key: arrays[key][:n] for key in ("images", "labels")}


def test_a_classifier_that_knows_nothing_says_so(shapes):
    judge = make_judge(
        shapes, "evaluation=quick", "evaluation.classifier.steps=8", "evaluation.classifier.optimizer.lr=1e-9"
    )
    rows = judge.judge(torch.from_numpy(some_samples(shapes, 300)["images"])[:, None])
    assert "near chance: rows of the classifier say nothing" in rows[0].note


def test_controls_are_refused_at_once_where_too_few_images_were_held_out(shapes, tmp_path, monkeypatch, capsys):
    words = ["--controls", *options(shapes), "data.validation=100", "--out", str(tmp_path / "table.md")]
    assert genrun("evaluate", *words, monkeypatch=monkeypatch) == 2
    assert "need more than 128 held-out images, there are 100; set data.validation=129" in capsys.readouterr().err
    assert not (tmp_path / "table.md").exists()


def test_the_order_of_samples_does_not_matter_where_they_are_sorted_by_class(shapes):
    judge, arrays = make_judge(shapes, "evaluation=quick"), some_samples(shapes, 700)
    order = np.argsort(arrays["labels"], kind="stable")
    both = [
        by_name(judge.judge(torch.from_numpy(arrays["images"][i])[:, None], torch.from_numpy(arrays["labels"][i])))
        for i in (np.arange(700), order)
    ]
    score = "inception score"
    assert both[1][score].value == pytest.approx(both[0][score].value, rel=0.02)
    assert both[0][score].value > 2.5  # sorted parts of one class each would give 1


def test_binary_samples_are_compared_with_binarised_images_as_well(shapes):
    images = torch.from_numpy(some_samples(shapes, 300)["images"])[:, None]
    binary = (images > 127).to(torch.uint8) * 255
    rows = by_name(make_judge(shapes, "evaluation=quick").judge(binary))
    grey, against_binary = (rows[f"Fréchet distance (classifier{which})"] for which in ("", ", binarised"))
    assert against_binary.value < 0.2 * grey.value


def test_unlabelled_data_is_judged_without_a_classifier(tmp_path):
    np.savez(tmp_path / "images.npz", images=np.random.default_rng(0).integers(0, 256, (2000, 8, 8, 3), dtype=np.uint8))
    cfg = compose(["data=npz", f"data.source.path={tmp_path / 'images.npz'}", "data.validation=300"])
    judge = judge_of_data(cfg, Console(quiet=True))
    rows = by_name(judge.judge(torch.randint(0, 256, (250, 3, 8, 8), dtype=torch.uint8)))
    assert rows["label accuracy"].note == "this data has no classes" and "Fréchet distance (classifier)" not in rows
    assert rows["recall (random)"].value > 0.8 and abs(rows["copying statistic C_T"].value) < 4


def test_real_images_that_are_too_few_are_named_and_give_no_number(shapes, tmp_path):
    for split, n in (("train", 1000), ("test", 100)):
        np.savez(tmp_path / f"{split}.npz", **some_samples(shapes, n, split))
    cfg = compose(options(tmp_path, "data.validation=200", "evaluation.train_on_generated=0"))
    judge = judge_of_data(cfg, Console(quiet=True))
    rows = by_name(judge.judge(torch.from_numpy(some_samples(shapes, 300)["images"])[:, None]))
    row = rows["Fréchet distance (random)"]
    assert row.value is None and row.note == "too few: 300 samples, 100 test and 800 training images"
    assert rows["Fréchet distance to training (random)"].value > 0


# ------------------------------------------------------------------------------------------------------------ the cache


def test_a_second_evaluation_does_not_touch_the_training_images(shapes, monkeypatch):
    images, labels = (torch.from_numpy(array) for array in some_samples(shapes, 300).values())
    first = make_judge(shapes).judge(images[:, None], labels)
    seen = []
    for split in ("train", "validation"):
        monkeypatch.setattr(ImageData, split, property(lambda self, split=split: seen.append(split)))
    assert make_judge(shapes).judge(images[:, None], labels) == first
    assert seen == []
    # and where no classifier is tested on test images, nothing at all
    monkeypatch.setattr(ImageData, "prepare", lambda self: seen.append("anything"))
    assert len(make_judge(shapes, "evaluation.train_on_generated=0").judge(images[:, None], labels)) == len(first) - 2
    assert seen == []


def test_the_same_files_read_in_another_way_are_other_images(shapes):
    keys = {
        build_judge(cfg, None, Console(quiet=True)).real.folder
        for crop in (140, 100)
        for size in (100, 50)
        for cfg in [compose(["data=celeba", f"data.source.crop={crop}", f"data.batch_size={size}"])]
        if not cfg.data.update({"facts": FACTS})
    }
    assert len(keys) == 2  # the crop decides, the batch size does not


FACTS = {"image_shape": [3, 64, 64], "num_classes": 0, "class_names": [], "train_size": 9, "checksum": "c"}


@pytest.mark.parametrize("left", [0, 0.5])
def test_cut_short_files_of_the_cache_are_made_again(shapes, tmp_path, left):
    images, labels = (torch.from_numpy(array) for array in some_samples(shapes, 300).values())
    fast = ("evaluation.train_on_generated=0", f"paths.cache={tmp_path}", "evaluation.classifier.steps=10")
    first = make_judge(shapes, *fast).judge(images[:, None], labels)
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) >= 9
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: int(left * len(content))])
    assert make_judge(shapes, *fast).judge(images[:, None], labels) == first
    assert not list(tmp_path.rglob(".*.tmp")) and all(file.stat().st_size > 8 for file in files)


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(shapes, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    judge = make_judge(shapes, f"paths.cache={tmp_path / 'file'}", "evaluation=quick", "evaluation.classifier.steps=10")
    assert judge.judge(torch.from_numpy(some_samples(shapes, 300)["images"])[:, None])


def test_another_choice_of_data_or_recipe_has_its_own_classifier(shapes):
    hashes = {
        make_judge(shapes, "evaluation=quick", *change).classifier.hash
        for change in ([], ["data.limit=600"], ["data.classes=[0,1]"], ["evaluation.classifier.steps=20"])
    }
    assert len(hashes) == 4


def test_the_classifier_repeats_bit_for_bit_and_leaves_the_global_stream_alone(shapes, tmp_path):
    hashes = set()
    for number in range(2):
        torch.manual_seed(number)
        before = torch.get_rng_state()
        judge = make_judge(shapes, "evaluation=quick", f"paths.cache={tmp_path / str(number)}")
        hashes.add(judge.classifier.hash)
        assert torch.equal(torch.get_rng_state(), before)
    assert len(hashes) == 1


# --------------------------------------------------------------------------------------------------------- bad input


def npz(**arrays: np.ndarray) -> str:
    np.savez("bad.npz", **arrays)
    return "bad.npz"


def cut_short() -> str:
    content = Path(npz(images=np.zeros((300, 8, 8), np.uint8))).read_bytes()
    Path("bad.npz").write_bytes(content[: len(content) // 2])
    return "bad.npz"


GREY = np.zeros((300, 8, 8))
BAD = {
    "empty": (lambda: npz(images=GREY[:0]), r"there are no images in `images`"),
    "flat": (lambda: npz(images=GREY.reshape(300, 64)), r"got \(300, 64\); reshape them"),
    "0 to 255": (lambda: npz(images=GREY + 255), r"got 255 to 255; divide them by 255"),
    "NaN": (lambda: npz(images=np.where(np.arange(8) == 3, np.nan, GREY)), r"got NaN or Inf in 2,400 of 19,200"),
    "out of range": (lambda: npz(images=GREY - 0.5), r"must lie in \[0, 1\], got -0.5 to -0.5"),
    "integers": (
        lambda: npz(images=GREY.astype(np.int32)),
        r"must be uint8 \(0 to 255\) or floats in \[0, 1\], got int32",
    ),
    "size": (lambda: npz(images=np.zeros((300, 9, 8))), r"has images of 1×9×8 \(C×H×W\), the data has 1×8×8"),
    "channels": (lambda: npz(images=np.zeros((300, 8, 8, 3))), r"has images of 3×8×8 \(C×H×W\), the data has 1×8×8"),
    "too few": (lambda: npz(images=GREY[:128]), r"128 samples are too few, the judge compares 128 features"),
    "labels": (lambda: npz(images=GREY, labels=np.arange(300)), r"label 299, expected 0 to 2 as in the data"),
    "mixed labels": (lambda: npz(images=GREY, labels=np.arange(300) - 1), r"`labels` must be 0 or more, got -1"),
    "number of labels": (lambda: npz(images=GREY, labels=np.zeros(3, int)), r"300 images but 3 labels"),
    "no images": (lambda: npz(pictures=GREY), r"has no array `images`, only pictures"),
    "cut short": (cut_short, r"cannot be read as .npz"),
    "missing": (lambda: "nowhere.npz", r"nowhere.npz: there is no such run folder or .npz file"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_samples_are_refused_in_one_line_and_nothing_is_written(what, shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make, line = BAD[what]
    asked = [make(), *options(shapes), "--out", "table.md"]
    assert genrun("evaluate", *asked, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(said)
    assert not Path("table.md").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evaluate"], r"expected runs or .npz files, or --controls"),
        (["evaluate", "x.npz", "--controls"], r"expected runs or .npz files, or --controls"),
        (["evaluate", "x.npz", "--output=3"], r"unrecognized arguments: --output=3"),
        (["evaluate", "x.npz", "evaluation=fast"], r"evaluation=fast: no such choice.*full, none, quick"),
        (["evaluate", "x.npz", "--out", "table.txt"], r"expected a name that ends in .md or .json"),
        (["evaluate", "."], r"expected a run folder \(with config.yaml\)"),
        (["sample.n=100"], r"sample.n=100: 100 samples are too few, .* needs at least 129"),
        (["evaluation.neighbours=0"], r"evaluation.neighbours: expected at least 1, got 0"),
        (["evaluation.kernel_draws=2"], r"evaluation.kernel_draws: expected at least 3, got 2"),
        (["evaluation.kernel_drwas=2"], r"evaluation.kernel_drwas: no such option.*kernel_draws"),
        (["evaluation.memorisation=maybe"], r"evaluation.memorisation: expected true or false, got 'maybe'"),
        (["evaluation.epoch_samples=100"], r"evaluation.epoch_samples: expected more than the 128 features, got 100"),
        (["evaluation/classifier=resnet57"], r"evaluation/classifier=resnet57: no such choice.*resnet56"),
        (["evaluation.classifier.steps=0"], r"evaluation.classifier.steps: expected at least 8, got 0"),
        (["evaluation.classifier.optimizer.lr=-1"], r"evaluation.classifier: Invalid learning rate: -1"),
        (["evaluation/classifier=resnet56", "evaluation.classifier.network.depth=57"], r"evaluation.classifier: .*57"),
        (["evaluation.train_on_generated=3"], r"evaluation.train_on_generated: expected 0 or at least 8, got 3"),
        (
            ["evaluation.inception=nowhere.pth"],
            r"evaluation.inception: expected disk, fetch, null or a file, .*nowhere",
        ),
        (["evaluate", "--controls", "evaluation=none"], r"--controls need something to judge by"),
        (["evaluate", "--controls", "--out", "nowhere/table.md"], r"there is no folder nowhere"),
    ],
)
def test_wrong_words_are_refused_in_one_line(arguments, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", images=np.zeros((300, 8, 8), np.uint8))
    assert genrun(*arguments, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npz"]


# ------------------------------------------------------------------------------------------------------- a run is judged


QUICK = ("data.limit=null", "sample.n=200", *SHORT, "evaluation.epoch_samples=150")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A finished tiny run that was judged in full."""
    from genrun.run import run

    every = [*TINY, "evaluation=full", *QUICK, f"paths.outputs={tmp_path_factory.mktemp('run')}"]
    return run(compose(every), every, Console(quiet=True))


def test_each_epoch_adds_a_cheap_look_and_it_does_not_move_the_result(run_folder, tiny):
    rows = run_folder.metrics()
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert {"judge/label_accuracy", "judge/class_entropy", "judge/frechet", "judge/kernel"} <= row.keys()
    plain = tiny(*(word for word in QUICK if "evaluation." not in word))
    assert plain.weights.read_bytes() == run_folder.weights.read_bytes()
    assert "judge/frechet" not in plain.metrics()[0]


def test_epochs_that_are_passed_over_have_no_look(tiny):
    few = ("evaluation=quick", *QUICK[:2], *SHORT[:2], "evaluation.epoch_samples=150")
    folder = tiny(*few, "trainer.max_epochs=4", "evaluation.epoch_every=3")
    assert [("judge/frechet" in row) for row in folder.metrics()] == [True, False, True, True]


def test_without_held_out_images_there_is_a_table_and_a_look_but_no_distance_to_them(tiny):
    folder = tiny("data.validation=0", "evaluation=full", *QUICK, "trainer.max_epochs=1")
    (row,) = folder.metrics()
    assert "judge/label_accuracy" in row and "judge/frechet" not in row
    rows = {row["name"]: row for row in json.loads((folder.path / "results.json").read_text())["rows"]}
    assert "floor" not in rows["authenticity"] and "floor" in rows["label accuracy"]


def test_images_of_64_pixels_in_colour_that_stream_are_judged_in_full(tmp_path, monkeypatch, capsys):
    generator = np.random.default_rng(0)
    for split, n in (("train", 400), ("test", 200)):
        tint = generator.uniform(0, 1, (n, 1, 1, 3)) * (np.arange(n) % 2 + 1)[:, None, None, None] / 2
        noisy = (tint + generator.normal(0, 0.05, (n, 64, 64, 3))).clip(0, 1)
        np.savez(tmp_path / f"{split}.npz", images=(noisy * 255).astype(np.uint8), labels=np.arange(n) % 2)
    words = [*options(tmp_path), "data.validation=150", "data.memory_limit=0", "evaluation.at_infinity=true"]
    asked = ["evaluate", str(tmp_path / "test.npz"), *words, "--out", str(tmp_path / "table.json")]
    assert genrun(*asked, monkeypatch=monkeypatch) == 0
    rows = {row["name"]: row for row in json.loads((tmp_path / "table.json").read_text())["rows"]}
    assert rows["precision (random)"]["value"] > 0.8 and rows["train on generated, test on real"]["value"] is not None
    assert "too few: 200 samples" in rows["Fréchet distance at infinity (random)"]["note"]


def test_the_distance_at_infinity_is_a_row_where_there_are_enough_samples(shapes):
    judge = make_judge(shapes, "evaluation=quick", "evaluation.at_infinity=true")
    rows = by_name(judge.judge(torch.from_numpy(some_samples(shapes, 700)["images"])[:, None]))
    plain, infinite = (rows[f"Fréchet distance{which} (classifier)"] for which in ("", " at infinity"))
    assert infinite.value < plain.value


def test_the_neutral_classifier_is_built_and_trained_from_its_yaml(shapes):
    judge = make_judge(shapes, "evaluation=quick", "evaluation.epoch_samples=0")
    neutral = compose(
        [
            "data=npz",
            "evaluation=quick",
            "evaluation/classifier=resnet56",
            "evaluation.classifier.steps=8",
            "evaluation.classifier.batch_size=16",
            f"data.source.path={shapes}",
        ]
    )
    other = build_judge(neutral_facts(neutral), build_data(neutral), Console(quiet=True))
    assert other.classifier.num_features == 64 and other.classifier.hash != judge.classifier.hash
    assert "inception score" in by_name(other.judge(torch.from_numpy(some_samples(shapes, 100)["images"])[:, None]))


def neutral_facts(cfg):
    return with_facts(cfg, read_facts(cfg)[0])


def test_brackets_in_a_name_are_shown_as_they_are():
    from genrun.report.tables import HEADINGS, lines, markdown, table

    rows = [{"name": "a [red] | name", "value": 1, "note": "pip install 'genrun[inception]'"}]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table("outputs/[b]x", HEADINGS, lines(rows)))
    shown = console.export_text()
    assert "a [red] | name" in shown and "genrun[inception]" in shown and "outputs/[b]x" in shown
    assert markdown("x", HEADINGS, lines(rows)).splitlines()[-1].count("|") == 5


def test_a_runs_table_holds_quality_memorisation_reconstruction_and_cost(run_folder):
    results = json.loads((run_folder.path / "results.json").read_text())
    names = [row["name"] for row in results["rows"]]
    for name in (
        "label accuracy",
        "variety within a class",
        "Fréchet distance (classifier)",
        "coverage (random)",
        "train on generated, test on real",
        "copying statistic C_T",
        "reconstruction, SSIM",
        "d on stored codes",
        "training, s",
    ):
        assert name in names
    assert results["evaluation"]["kernel_size"] == 1000
    assert "| Fréchet distance (random) ↓ |" in (run_folder.path / "results.md").read_text()


def test_evaluate_judges_a_finished_run_again_and_keeps_everything_else(run_folder, monkeypatch, capsys):
    kept = {
        path: path.read_bytes()
        for path in run_folder.path.rglob("*")
        if path.is_file() and path.name not in ("results.json", "results.md", "status.json", ".lock")
    }
    assert genrun("evaluate", str(run_folder.path), "evaluation=quick", *SHORT, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "Fréchet distance (classifier)" in shown and "C_T" not in shown
    assert {path: path.read_bytes() for path in kept} == kept
    assert run_folder.status()["state"] == "done"
    assert json.loads((run_folder.path / "results.json").read_text())["evaluation"]["random"] is False
    assert json.loads((run_folder.path / "results.old-1.json").read_text())["evaluation"]["random"] is True


def test_a_run_that_cannot_be_judged_says_why(run_folder, tmp_path, monkeypatch, capsys):
    import shutil

    from omegaconf import OmegaConf

    copy = tmp_path / "copy"
    shutil.copytree(run_folder.path, copy)
    assert genrun("evaluate", str(copy), "data=mnist", monkeypatch=monkeypatch) == 2
    assert "data=mnist: a run is judged on its own data" in capsys.readouterr().err
    config = OmegaConf.load(copy / "config.yaml")
    for target in ("os.system", "genrun.runs.write_atomic", "genrun.data.folders.Path.unlink"):
        config.data.source._target_ = target
        OmegaConf.save(config, copy / "config.yaml")
        assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
        assert "--trust" in capsys.readouterr().err
    status = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
    assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
    assert "is not finished (interrupted)" in capsys.readouterr().err
    (copy / "config.yaml").write_text("model: [1\n")
    assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
    assert "config.yaml cannot be read" in capsys.readouterr().err
    (copy / "config.yaml").write_text("model: 1\n")
    assert genrun("evaluate", str(copy), monkeypatch=monkeypatch) == 2
    assert "is not the configuration of a run: data.source, data.facts" in capsys.readouterr().err


def test_a_lock_that_is_a_link_to_somewhere_is_not_followed(run_folder, tmp_path, monkeypatch, capsys):
    import shutil

    shutil.copytree(run_folder.path, tmp_path / "copy")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "copy" / ".lock").unlink(missing_ok=True)
    (tmp_path / "copy" / ".lock").symlink_to(tmp_path / "precious")
    assert genrun("evaluate", str(tmp_path / "copy"), "evaluation=none", monkeypatch=monkeypatch) == 2
    assert "copy: Too many levels of symbolic links" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "mine"


# ------------------------------------------------------------------------------------------------------------- on MNIST


@pytest.mark.slow
def test_the_reference_classifier_and_the_controls_on_mnist(tmp_path):
    cfg = compose(["data=mnist", "evaluation.train_on_generated=0"])
    data = build_data(cfg)
    try:
        data.prepare()
    except Refused as error:
        pytest.skip(f"MNIST is not here: {error}")
    cfg.data.facts = data.facts().plain()
    judge = build_judge(cfg, data, Console(quiet=True))
    said = {control.name: by_name(rows) for control, rows in judged(judge) if isinstance(rows, list)}
    held_out, copies = said["held-out real images"], said["copies of training images"]
    assert held_out["label accuracy"].floor >= 0.993  # of the test images
    assert abs(held_out["copying statistic C_T"].value) < 3 and held_out["authenticity"].value > 0.4
    assert copies["copying statistic C_T"].value < -10 and copies["authenticity"].value < 0.001
    assert said["copies with noise of 0.05"]["copying statistic C_T"].value < -5
    one = next(rows for name, rows in said.items() if name.startswith("one class"))
    assert one["class entropy"].value < 0.2 and one["recall (random)"].value < 0.3
    blurred, constant = said["Gaussian blur of one pixel"], said["constant images"]
    for space in ("classifier", "random"):
        real = held_out[f"Fréchet distance ({space})"].value
        assert (
            min(blurred[f"Fréchet distance ({space})"].value, constant[f"Fréchet distance ({space})"].value) > 5 * real
        )
