"""Each view shows what the method makes when it is called directly, and a view is offered by capability."""

from __future__ import annotations

import base64
import io
import json
import threading

import numpy as np
import pytest
import torch
from helpers.explore import CodedSampler, KeepingSampler, Sampler, Stepping, explorer
from PIL import Image

from genrun.errors import Failed, Refused
from genrun.inference import seeded


def pixels(shown: dict[str, str]) -> np.ndarray:
    """A picture as the browser gets it."""
    kind, _, content = shown["png"].partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def as_uint8(images: torch.Tensor) -> list[np.ndarray]:
    return list((images * 255).round().byte()[:, 0].numpy())


def shows(answer: dict, images: torch.Tensor) -> None:
    found = [pixels(one) for one in answer["pictures"]]
    assert len(found) == len(images)
    assert all(np.array_equal(*both) for both in zip(found, as_uint8(images), strict=True))
    json.dumps(answer)


# -------------------------------------------------------------------------------------------------------------- offered


def test_views_are_offered_by_capability():
    assert list(explorer(Sampler()).views) == ["samples"]
    assert list(explorer(Stepping()).views) == ["samples", "trajectory"]
    assert list(explorer(CodedSampler(10)).views) == ["samples", "codes", "interpolation"]
    assert list(explorer(KeepingSampler(0, 60)).views) == ["samples", "codes", "interpolation", "zoom"]
    with pytest.raises(Refused, match="no view 'zoom' of this method; expected samples, trajectory"):
        explorer(Stepping()).view("zoom", {})


def test_without_the_data_there_is_what_needs_none():
    coded, keeping = explorer(CodedSampler(10), data=False), explorer(KeepingSampler(0, 60), data=False)
    assert list(coded.views) == ["samples", "interpolation"] and coded.sources() == ["samples"]
    assert list(keeping.views) == ["samples", "codes", "interpolation", "zoom"] and keeping.sources() == ["samples"]
    shows(keeping.view("codes", {}), KeepingSampler(0, 60).decode_codes(keeping.method.codes.mean(0)[None]))
    with pytest.raises(Refused, match="the training images are not there"):
        coded.closest("samples", {})
    with pytest.raises(Refused, match="source: expected one of samples, got 'images'"):
        coded.view("interpolation", {"source": "images"})


# ---------------------------------------------------------------------------------------------------------------- views


def test_samples_of_a_class_or_one_of_each():
    method = Sampler(10)
    row = explorer(method).view("samples", {"class": "2", "seed": "5"})
    shows(row, method.sample(10, torch.full((10,), 2), generator=seeded(5)))
    assert [one["caption"] for one in row["pictures"]] == ["c"] * 10
    assert row["pictures"][3]["alt"] == "sample 4 of class c"
    each = explorer(method).view("samples", {})
    shows(each, method.sample(10, torch.arange(10), generator=seeded(0)))
    assert "".join(one["caption"] for one in each["pictures"]) == "abcdefghij"
    plain = explorer(Sampler()).view("samples", {"class": "2"})  # an unconditional method has no classes to choose
    shows(plain, Sampler().sample(10, generator=seeded(0)))


def test_the_sliders_decode_codes_of_a_class():
    made = explorer(CodedSampler(10))
    answer = made.view("codes", {"class": "3", "d1": "1.5", "d2": "-2"})
    code = made.codes.at(3, [1.5, -2.0], None)
    shows(answer, CodedSampler(10).decode_codes(code, torch.tensor([3])))
    assert answer["shares"] == made.codes.directions(3).shares.tolist() and len(answer["shares"]) == 2
    assert answer["pictures"][0]["caption"] == "d"
    code = made.codes.at(0, [], 9)  # a conditional method always has a class
    shows(made.view("codes", {"start": "random", "seed": "9"}), CodedSampler(10).decode_codes(code, torch.tensor([0])))
    assert [one.tolist() for one in made.method.decoded] == [[3], [0]]


def test_an_interpolation_goes_from_one_training_image_to_another():
    method = CodedSampler(10)
    made = explorer(method)
    answer = made.view("interpolation", {"class_a": "1", "number_a": "2", "class_b": "4", "number_b": "0"})
    index = torch.tensor([(made.train.labels == 1).nonzero()[2].item(), (made.train.labels == 4).nonzero()[0].item()])
    images = made.train.images(index)
    codes = CodedSampler(10).encode(images, torch.tensor([1, 4]))
    weights = torch.linspace(0, 1, 8)[:, None]
    labels = torch.tensor([1] * 4 + [4] * 4)  # of the nearer image
    decoded = CodedSampler(10).decode_codes((1 - weights) * codes[0] + weights * codes[1], labels)
    shows(answer, torch.cat([images[:1], decoded, images[1:]]))
    assert method.decoded[-1].tolist() == labels.tolist()
    assert [one["caption"] for one in answer["pictures"]] == [
        "b",
        "0%",
        "14%",
        "29%",
        "43%",
        "57%",
        "71%",
        "86%",
        "100%",
        "e",
    ]
    around = made.view("interpolation", {"number_a": "6", "number_b": "59", "way": "spherical"})
    assert np.array_equal(pixels(around["pictures"][0]), made.train.array[6, 0])
    assert np.array_equal(pixels(around["pictures"][-1]), made.train.array[59, 0])


def test_an_interpolation_goes_from_one_sample_to_another():
    answer = explorer(CodedSampler(10)).view(
        "interpolation", {"source": "samples", "class_a": "1", "class_b": "4", "seed": "3"}
    )
    labels = torch.tensor([1, 4])
    samples = CodedSampler(10).sample(2, labels, generator=seeded(3))
    decoded = CodedSampler(10).decode_codes(CodedSampler(10).encode(samples, labels), labels)
    ends = [pixels(answer["pictures"][k]) for k in (0, -1, 1, -2)]
    assert all(np.array_equal(*both) for both in zip(ends, as_uint8(torch.cat([samples, decoded])), strict=True))


def test_a_zoom_shows_one_sample_at_two_resolutions():
    method = KeepingSampler(0, 60)
    small, large = explorer(method).view("zoom", {"seed": "4", "resolution": "100"})["pictures"]
    assert np.array_equal(pixels(small), as_uint8(method.sample_at(1, 4, generator=seeded(4)))[0])
    assert np.array_equal(pixels(large), as_uint8(method.sample_at(1, 100, generator=seeded(4)))[0])
    assert small["caption"].startswith("4 × 4") and large["caption"].startswith("100 × 100")
    for wrong in ("3", "513", "1e2"):
        with pytest.raises(Refused, match="resolution: expected a whole number from 4 to 512"):
            explorer(method).view("zoom", {"resolution": wrong})


def test_a_trajectory_ends_at_the_sample():
    answer = explorer(Stepping(10)).view("trajectory", {"class": "6", "seed": "2"})
    shows(answer, Stepping(10).sample_trajectory(1, torch.tensor([6]), generator=seeded(2))[:, 0])
    assert [one["caption"] for one in answer["pictures"]] == [f"{k} of 5" for k in range(6)]


def test_the_closest_training_images_of_what_is_shown():
    made = explorer(CodedSampler(10))
    asked = {"number_a": "7", "number_b": "30"}
    closest = made.closest("interpolation", asked)["closest"]
    assert [len(one) for one in closest] == [3] * 10
    assert closest[0][0]["caption"] == f"{'abcdefghij'[int(made.train.labels[7])]}\n0.00"
    assert closest[0][0]["alt"].startswith("training image 7, class ")
    assert np.array_equal(pixels(closest[-1][0]), made.train.array[30, 0])
    unlabelled = explorer(Sampler(), classes=0).closest("samples", {})["closest"][0][0]
    assert unlabelled["caption"].startswith("0.") and ", class" not in unlabelled["alt"]


def test_equal_parameters_give_equal_pictures_in_any_order():
    asked = [
        ("samples", {"seed": "1"}),
        ("codes", {"d1": "1", "start": "random"}),
        ("interpolation", {"source": "samples"}),
    ]
    first, second = explorer(CodedSampler(10)), explorer(CodedSampler(10))
    before = torch.get_rng_state()
    one = [first.view(*each) for each in asked]
    two = [second.view(*each) for each in reversed(asked)][::-1]
    assert one == two
    assert first.view("samples", {"seed": "1"}) != first.view("samples", {"seed": "2"})
    assert torch.equal(before, torch.get_rng_state())


def test_what_is_shown_is_made_once_and_one_at_a_time():
    at_work, most = [0], [0]

    class Slow(Sampler):
        def sample(self, *arguments, **options):
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            drawn.append(1)
            images = super().sample(*arguments, **options)
            threading.Event().wait(0.02)
            at_work[0] -= 1
            return images

    drawn: list[int] = []
    made = explorer(Slow())
    threads = [threading.Thread(target=made.view, args=("samples", {"seed": str(k % 3)})) for k in range(9)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert most[0] == 1 and len(drawn) == 3
    made.closest("samples", {"seed": "1"})
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("view", "asked", "line"),
    [
        ("samples", {"class": "10"}, "class: expected a whole number from 0 to 9"),
        ("samples", {"seed": "-1"}, "seed: expected a whole number"),
        ("codes", {"d1": "4"}, "d1: expected a number from -3 to 3"),
        ("interpolation", {"class_a": "1", "number_a": "6"}, "number_a: expected a whole number from 0 to 5"),
        ("interpolation", {"number_b": "60"}, "number_b: expected a whole number from 0 to 59"),
    ],
)
def test_a_wrong_parameter_is_one_line(view, asked, line):
    with pytest.raises(Refused, match=line):
        explorer(CodedSampler(10)).view(view, asked)


def test_damaged_weights_are_said():
    class Damaged(Sampler):
        def sample(self, n, labels=None, *, generator=None):
            return torch.full((n, 1, 4, 4), torch.nan)

    with pytest.raises(Failed, match="NaN or infinite: its weights are damaged"):
        explorer(Damaged()).view("samples", {})
