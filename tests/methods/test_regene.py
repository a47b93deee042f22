"""ReGene against its document: phases, losses, thresholds, the checks and their tries."""

from __future__ import annotations

from functools import partial
from itertools import repeat

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrun.errors import Failed, Refused
from genrun.maths.classification import CrossEntropy
from genrun.maths.convex import ConvexCombinations
from genrun.maths.mixtures import ClassMixture
from genrun.maths.ssim import structural_similarity
from genrun.methods.regene import ReGene
from genrun.types import Batch

SHAPE, CLASSES, SIZE = (1, 4, 4), 3, 5
PHASES = {
    "classifier": {"max_epochs": 2, "lr": 0.1},
    "outline": {"max_epochs": 2, "lr": 0.2, "mae": 1.0, "ssim": 0.5},
    "pixels": {"max_epochs": 1, "lr": 0.02, "mae": 2.0, "classes": [0, 2]},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class LinearEncoder(nn.Module):
    num_features = SIZE

    def __init__(self, image_shape) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(image_shape)), SIZE), nn.BatchNorm1d(SIZE))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class LinearDecoder(nn.Module):
    def __init__(self, inputs, image_shape, channels=None) -> None:
        super().__init__()
        self.channels = channels or image_shape[0]
        shape = (self.channels, *image_shape[1:])
        self.layers = nn.Sequential(nn.Linear(inputs, int(np.prod(shape))), nn.Unflatten(1, shape))

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(codes)


def regene(shape=SHAPE, classes=CLASSES, channels=None, **options) -> ReGene:
    torch.manual_seed(0)
    method = ReGene(
        shape,
        classes,
        LinearEncoder,
        partial(LinearDecoder, channels=channels),
        CrossEntropy(),
        options.pop("optimizer", partial(torch.optim.SGD)),
        options.pop("phases", PHASES),
        options.pop("prior", partial(ConvexCombinations, sources=50)),
        **options,
    )
    return method.double()


def images(n: int = 30, shape=SHAPE) -> Tensor:
    return torch.rand(n, *shape, generator=seeded(), dtype=torch.float64)


def batch(n: int = 30, shape=SHAPE) -> Batch:
    return Batch(images(n, shape), torch.arange(n) % CLASSES, torch.arange(n))


# -------------------------------------------------------------------------------------------------------------- training


def test_phases_freeze_what_they_do_not_train():
    method = regene()
    assert method.phases() == ("classifier", "outline", "pixels")
    for phase, trained in (("classifier", {"encoder", "head"}), ("outline", {"decoder"}), ("pixels", {"decoder"})):
        method.begin_phase(phase)
        optimizer = method.configure_optimizers()
        assert optimizer.param_groups[0]["lr"] == PHASES[phase]["lr"]
        moved = {id(weight) for weight in optimizer.param_groups[0]["params"]}
        assert {name.partition(".")[0] for name, one in method.named_parameters() if id(one) in moved} == trained
        method.train()
        assert method.encoder.training == (phase == "classifier") and method.decoder.training


def test_the_decoders_loss_is_equation_6():
    method = regene()
    data = batch()
    method.begin_phase("outline")
    method.train()
    method.encoder.eval()
    loss = method.training_step(data, 0)
    made = method.decoder(method.encoder(data.image)).sigmoid()
    mae = (made - data.image).abs().mean()
    ssim = (1 - structural_similarity(made, data.image)).mean()
    torch.testing.assert_close(loss, mae + 0.5 * ssim)
    loss.backward()
    assert all(weight.grad is None for weight in method.encoder.parameters())
    assert all(weight.grad is not None for weight in method.decoder.parameters())


def test_a_decoder_may_learn_from_some_classes_only():
    method = regene()
    data = batch()
    method.begin_phase("pixels")
    method.train()
    loss = method.training_step(data, 0)
    error = (method.decoder(method.encoder(data.image)).sigmoid() - data.image).abs().flatten(1).mean(1)
    torch.testing.assert_close(loss, 2 * error[data.label != 1].mean())
    none = Batch(data.image[:3], torch.ones(3, dtype=torch.int64), data.index[:3])
    loss = method.training_step(none, 0)
    loss.backward()
    assert loss == 0 and all(not weight.grad.any() for weight in method.decoder.parameters())
    assert "differs between processes" in method.not_shared()


def test_grey_images_are_repeated_for_three_channels_and_averaged_at_the_end():
    method = regene(channels=3)
    data = batch()
    method.begin_phase("pixels")
    made = method.decoder(method.encoder.eval()(data.image)).sigmoid()
    assert made.shape[1] == 3
    method.eval()
    torch.testing.assert_close(method.reconstruct(data.image), made.mean(1, keepdim=True).float())
    method.train()
    error = (made - data.image.expand(-1, 3, -1, -1)).abs().flatten(1).mean(1)[data.label != 1].mean()
    torch.testing.assert_close(method.training_step(data, 0), 2 * error)


@pytest.mark.parametrize(
    ("phases", "words"),
    [
        ({"decoder": PHASES["outline"]}, r"model\.phases: expected classifier first"),
        ({"classifier": PHASES["classifier"]}, r"then phases of the decoder"),
        (
            PHASES | {"pixels": {"max_epochs": 1, "lr": 0.1, "sim": 1.0}},
            r"model\.phases\.pixels\.sim: no such option.*ssim",
        ),
        (
            PHASES | {"pixels": {"max_epochs": 1, "lr": -1}},
            r"model\.phases\.pixels\.lr: expected a number of at least 0",
        ),
        (PHASES | {"pixels": {"max_epochs": 1}}, r"model\.phases\.pixels\.lr: expected a value, got none"),
        (PHASES | {"pixels": {"max_epochs": 1, "lr": 1, "drop": 0.5, "schedule": "cosine"}}, "exclude each other"),
        (
            PHASES | {"pixels": {"max_epochs": 1, "lr": 1, "schedule": "cosin"}},
            "schedule: expected one of .*cosine, got 'cosin'",
        ),
        (
            PHASES | {"pixels": {"max_epochs": 1, "lr": 1, "classes": 3}},
            r"classes: expected a list of whole numbers, or null",
        ),
        (
            PHASES | {"pixels": {"max_epochs": 1, "lr": 1, "classes": [3]}},
            r"classes: expected labels from 0 to 2, got 3",
        ),
        (
            PHASES | {"pixels": {"max_epochs": 1, "lr": 1, "mae": 0}},
            r"expected a weight above 0 for mae, ssim or perceptual",
        ),
        (
            PHASES | {"pixels": {"max_epochs": 1, "lr": 1, "drop_every": 0}},
            r"drop_every: expected a whole number of at least 1, got 0",
        ),
    ],
)
def test_a_wrong_schedule_is_refused(phases, words):
    with pytest.raises(ValueError, match=words):
        regene(phases=phases)


def test_other_wrong_options_are_refused():
    with pytest.raises(ValueError, match="it needs data with labels of at least two classes"):
        regene(classes=0)
    with pytest.raises(ValueError, match=r"model\.max_tries: expected at least 1"):
        regene(max_tries=0)
    with pytest.raises(ValueError, match=r"model\.classifier\.from: no such option.*from_run"):
        regene(classifier={"from": "x"})
    with pytest.raises(ValueError, match=r"model\.optimizer\.lr: .* give model\.phases\.<name>\.lr"):
        regene(optimizer=partial(torch.optim.SGD, lr=1.0)).check_options()
    with pytest.raises(ValueError, match=r"model\.decoder\.channels: expected 3 for these images, got 1"):
        regene(shape=(3, 4, 4), channels=1)


def test_a_missing_network_of_the_perceptual_term_is_told_before_the_first_phase(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    method = regene(phases=PHASES | {"pixels": {"max_epochs": 1, "lr": 0.1, "perceptual": 1.0}}, channels=3)
    with pytest.raises(Refused, match="inception_v3"):
        method.begin_phase("classifier")


def test_the_learning_rate_drops_after_some_epochs(monkeypatch):
    method = regene(phases=PHASES | {"classifier": {"max_epochs": 9, "lr": 0.1, "drop": 0.5, "drop_every": 2}})
    method.begin_phase("classifier")
    optimizer = method.configure_optimizers()
    monkeypatch.setattr(method, "optimizers", lambda: optimizer)
    rates = []
    for epoch in range(5):
        monkeypatch.setattr(ReGene, "current_epoch", epoch)
        method.on_train_epoch_start()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [0.1, 0.1, 0.05, 0.05, 0.025]


def test_the_perceptual_term_is_part_of_the_loss():
    phases = PHASES | {"pixels": {"max_epochs": 1, "lr": 0.1, "perceptual": 3.0}}
    method = regene(phases=phases, channels=3)
    method.phase = "pixels"
    method.perceptual_loss = lambda made, images: (made - images).square().flatten(1).sum(1)  # any
    data = batch()
    made = method.eval().decoder(method.encoder(data.image)).sigmoid()
    error = made - data.image.expand_as(made)
    expected = error.abs().mean() + 3 * error.square().flatten(1).sum(1).mean()
    torch.testing.assert_close(method.training_step(data, 0), expected)


# ------------------------------------------------------------------------------------------------------------ thresholds


def test_thresholds_are_mean_confidences_on_a_made_example():
    method = regene()
    data = batch(9)
    logits = torch.tensor(
        [[4.0, 0, 0], [2, 3, 0], [0, 0, 1], [1, 0, 0], [0, 2, 0], [0, 1, 0], [5, 0, 0], [0, 1, 0], [0, 0, 2]]
    )
    method.classify = lambda given: logits.double()[: len(given)]
    p = np.exp(logits.numpy())
    p /= p.sum(1, keepdims=True)
    method.calibrate(data.image, data.label)
    expected = [p[[0, 3, 6], 0].mean(), p[[1, 4, 7], 1].mean(), p[[2, 5, 8], 2].mean()]
    np.testing.assert_allclose(method.thresholds, expected, rtol=1e-6)
    method.counted_images = "correct"
    method.calibrate(data.image, data.label)
    expected = [p[[0, 3, 6], 0].mean(), p[[1, 4, 7], 1].mean(), p[[2, 8], 2].mean()]  # the sixth is wrong
    np.testing.assert_allclose(method.thresholds, expected, rtol=1e-6)


def test_a_class_without_held_out_images_gets_the_mean_of_the_others():
    method = regene().eval()
    data = batch(10)
    kept = data.label != 1
    method.calibrate(data.image[kept], data.label[kept])
    assert method.thresholds[1] == pytest.approx((method.thresholds[0] + method.thresholds[2]).item() / 2)
    with pytest.raises(ValueError, match="thresholds need held-out images"):
        method.calibrate(data.image[:0], data.label[:0])


# ---------------------------------------------------------------------------------------------------------------- checks


class Scripted:
    """Codes whose first number is their class by the latent check, and whose image's confidence is their second number."""

    def __init__(self, rows: dict[int, list[tuple[int, float]]]) -> None:
        self.rows = {label: iter(found) for label, found in rows.items()}

    def __call__(self, wanted: Tensor) -> Tensor:
        return torch.tensor([[*next(self.rows[int(label)]), 0, 0, 0] for label in wanted]).double()


def scripted(**options) -> ReGene:
    method = regene(**options).eval()
    method.head.forward = lambda codes: nn.functional.one_hot(codes[:, 0].long(), CLASSES).double()
    method.decode_codes = lambda codes, labels=None: codes[:, 1, None, None, None].float().expand(-1, *SHAPE)

    def classify(made: Tensor) -> Tensor:
        sure = made[:, 0, 0, 0].double()
        rest = ((1 - sure) / 2)[:, None].expand(-1, CLASSES)
        return torch.where(
            nn.functional.one_hot(torch.ones(len(made)).long(), CLASSES).bool(), sure[:, None], rest
        ).log()

    method.classify = classify  # the confidence is that of class 1
    method.thresholds.fill_(0.8)
    return method


def test_tries_are_counted_for_each_image():
    method = scripted()
    draws = Scripted({1: [(1, 0.9), (0, 0.9), (1, 0.7), (1, 0.85), (2, 0.9), (1, 0.5), (1, 0.95)]})
    found = method.accepted(torch.tensor([1, 1, 1]), draws)
    # first round: image 0 passes, 1 is of another class, 2 is unsure; second: 1 passes, 2 is of another class;
    # third: 2 is unsure; fourth: 2 passes
    assert found.images[:, 0, 0, 0].tolist() == pytest.approx([0.9, 0.85, 0.95])
    assert found.tries.tolist() == [1, 2, 4] and found.latent_tries.tolist() == [1, 2, 1]
    assert found.codes[:, 1].tolist() == pytest.approx([0.9, 0.85, 0.95])


def test_checks_can_be_left_out():
    draws = {1: [(0, 0.1)] * 3}
    labels = torch.tensor([1, 1, 1])
    unknown = scripted()
    unknown.thresholds.zero_()  # during training
    for found in (
        scripted().accepted(labels, Scripted(draws), checked=False),
        scripted(latent_check=False, image_check=False).accepted(labels, Scripted(draws)),
        unknown.accepted(labels, Scripted(draws)),
    ):
        assert found.codes[:, 0].tolist() == [0, 0, 0] and found.tries is None and found.latent_tries is None
    found = scripted(latent_check=False).accepted(torch.tensor([1]), Scripted({1: [(0, 0.1), (0, 0.9)]}))
    assert found.tries.tolist() == [2] and found.latent_tries is None


def test_a_class_whose_every_try_fails_ends_in_an_error():
    method = scripted(max_tries=40)
    with pytest.raises(
        Failed, match=r"class 1: 0 of 40 combinations passed the checks.*confidence of 0\.800.*image_check=false"
    ):
        method.accepted(torch.tensor([1, 1]), Scripted({1: repeat((1, 0.1))}))
    with pytest.raises(Failed, match=r"class 0: 0 of 40 .* 0 of 1 wanted images found a code"):
        method.accepted(torch.tensor([0]), Scripted({0: repeat((1, 0.9))}))


def test_sources_are_filtered_to_those_that_are_classified_correctly():
    method = scripted()
    codes = torch.tensor([[0, 1.0], [0, 2.0], [1, 3.0], [0, 4.0], [1, 5.0], [1, 6.0], [2, 7.0], [2, 8.0]])
    codes = nn.functional.pad(codes, (0, 3)).double()
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    method.refit_prior(codes, labels)
    assert method.prior.counts.tolist() == [2, 2, 2]
    assert method.prior.codes[0, :2, 1].tolist() == [1, 2] and method.prior.codes[1, :2, 1].tolist() == [5, 6]
    with pytest.raises(
        ValueError, match=r"classified correctly \(model\.filter_sources\): combinations of 2 .* class 0"
    ):
        method.refit_prior(codes[1:], labels[1:])
    method.filter_sources = False
    method.refit_prior(codes, labels)
    assert method.prior.counts.tolist() == [3, 3, 2]


def test_combinations_have_their_own_number_of_sources_and_spread():
    method = scripted(prior=partial(ConvexCombinations, sources=50, spread="averaged"))
    codes = nn.functional.pad(torch.rand(30, 3, generator=seeded()), (2, 0)).double()
    codes[:, 0], codes[:, 1] = 1, 0.9
    method.filter_sources = False
    method.refit_prior(codes, torch.arange(30) % 3)
    labels = torch.ones(400, dtype=torch.int64)
    varies = {
        (n, spread): method.combine(labels, sources=n, spread=spread, generator=seeded())
        .codes[:, 2:]
        .var(0)
        .mean()
        .item()
        for n in (2, 5)
        for spread in ("averaged", "kept")
    }
    assert varies[2, "averaged"] > 2 * varies[5, "averaged"]
    assert varies[2, "kept"] > 1.5 * varies[2, "averaged"] and varies[5, "kept"] > 3 * varies[5, "averaged"]
    again = method.combine(labels, sources=2, spread="kept", generator=seeded())
    assert torch.equal(again.codes, method.combine(labels, sources=2, spread="kept", generator=seeded()).codes)
    with pytest.raises(Failed, match=r"combinations of 11 codes: a class has 10; raise model\.prior\.sources"):
        method.combine(labels, sources=11, spread="kept")
    with pytest.raises(Failed, match="combinations of codes need model/prior=convex, this model has ClassMixture"):
        regene(prior=ClassMixture).combine(labels, sources=2, spread="kept")
