"""What every method promises, asked of each `conf/model/*.yaml`: a new one is tested the moment its YAML exists."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache

import numpy as np
import pytest
import torch
from conftest import ROOT
from rich.console import Console

from genrun import types
from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.inference import balanced_labels
from genrun.maths.convex import ConvexCombinations
from genrun.methods.nota import NOTA
from genrun.parts import build_method
from genrun.run import run
from genrun.runs.open import open_run

YAML = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
# a model as its YAML has it, and with labels, or without, where that is an option
OTHER = {"false": "true", "null": "false"}
MODELS = [(name, ()) for name in YAML] + [
    (name, (f"model.conditional={OTHER[value]}",))
    for name in YAML
    for value in re.findall(r"^  conditional: (\w+)", (ROOT / "conf" / "model" / f"{name}.yaml").read_text(), re.M)
    if not name.startswith("nota")  # its options are tried in test_nota
]
every_model = pytest.mark.parametrize(
    ("model", "asked"),
    [
        pytest.param(*one, id="-".join([one[0], *(word.replace("model.conditional=", "labels-") for word in one[1])]))
        for one in MODELS
    ],
)
OF_CSGM = {"Continuous", "Decodes", "Diagnoses", "Encodes", "Exports", "KeepsCodes", "Reconstructs", "Refits"}
OF_AUTOENCODER = {"Decodes", "Encodes", "Exports", "Reconstructs", "Refits"}
OF_VAE = {"Bounded", "Decodes", "Encodes", "Exports", "Reconstructs", "Refits"}
OF_FLOW = {"Exports", "Noises", "Trajectory"}
OF_DIFFUSION = {"Bounded", *OF_FLOW}
OF_REGENE = {"Calibrates", "Classifies", "Combines", "Decodes", "Encodes", "Exports", "Reconstructs", "Refits"}
OF_NOTA = {"MovesParticles", "Trajectory"}
OF_MONOTONE_NOTA = {"Decodes", "Density", "Encodes", "MovesParticles", "Trajectory"}
NEED_LABELS = {"regene", "regene_paper", "regene_paper_colour"}
CAPABILITIES = {
    "autoencoder": OF_AUTOENCODER,
    "autoencoder_paper": OF_AUTOENCODER,
    "autoencoder_paper_1": OF_AUTOENCODER,
    "autoencoder_paper_5": OF_AUTOENCODER,
    "csgm": OF_CSGM,
    "csgm_paper": OF_CSGM,
    "ddpm": OF_DIFFUSION,
    "ddpm_paper": OF_DIFFUSION,
    "ddpm_paper_linear": OF_DIFFUSION,
    "flow_matching": {"Density", *OF_FLOW},
    "gan": {"Decodes", "Exports"},
    "gan_paper": {"Decodes", "Exports"},
    "mean_flow": OF_FLOW,
    "nota": OF_MONOTONE_NOTA,
    "nota_linear": OF_NOTA,
    "nota_poster": OF_NOTA,
    "nota_tiled": OF_MONOTONE_NOTA,
    "rbm": {"Density", "Diagnoses", "Reconstructs", "Trajectory"},
    "rbm_paper": {"Density", "Diagnoses", "Reconstructs", "Trajectory"},
    "regene": OF_REGENE,
    "regene_paper": OF_REGENE,
    "regene_paper_colour": OF_REGENE,
    "vae": OF_VAE,
    "vae_paper": OF_VAE,
}
# without the checks: a classifier of noise, trained for an epoch, finds no image of some class
SMALL_REGENE = [
    "model.encoder.width=0.1",
    "model.decoder.width=0.05",
    "model.prior.sources=20",
    "model.filter_sources=false",
    "model.latent_check=false",
    "model.image_check=false",
]
OF_TRANSPORT = "_target_: genrun.maths.transport"
TILED = f"{{{OF_TRANSPORT}.Tiled, patch: 0.5, steps: 3, map: {{{OF_TRANSPORT}.Monotone, knots: 8}}"
QUADRATIC = f"map: {{{OF_TRANSPORT}.Polynomial, degree: 2}}"
SMALL_POSTER = f"{{{OF_TRANSPORT}.Linear, size: 0.5, steps: 2, {QUADRATIC}}},{{{OF_TRANSPORT}.Conv, patch: 3, steps: 2, {QUADRATIC}}}"
# less of the same, so that the suite stays short
SMALL = {
    "regene": SMALL_REGENE,
    "regene_paper": SMALL_REGENE,
    "regene_paper_colour": [
        *SMALL_REGENE,
        "model.encoder.kernels=[3,3]",
        *(f"model.phases.decoder_{part}.perceptual=0" for part in ("outline", "texture")),
    ],
    "nota": [
        "model.particles=200",
        "model.start.scores=5",
        "model.start.cells=20",
        f"model.layers=[{TILED}}},{TILED}}}]",
    ],
    "nota_linear": [
        "model.particles=100",
        f"model.layers=[{{{OF_TRANSPORT}.Linear, slices: 8, steps: 4, {QUADRATIC}}}]",
    ],
    "nota_poster": ["model.particles=100", f"model.layers=[{SMALL_POSTER}]"],
    "nota_tiled": ["model.particles=200", f"model.layers=[{TILED}, slices: 4, optimised: true}},{TILED}}}]"],
    "csgm": ["model.encode_steps=10", "model.prior.components=2"],
    "csgm_paper": ["model.encode_steps=10"],
    "autoencoder": ["model.prior.components=2"],
    "autoencoder_paper": ["model.prior.components=2"],
    "autoencoder_paper_1": ["model.prior.components=2"],
    "autoencoder_paper_5": ["model.prior.components=2"],
    "vae": ["model.prior.components=2"],
    "rbm": ["model.ais_temperatures=20", "model.gibbs_steps=20"],
    "rbm_paper": ["model.ais_temperatures=20", "model.gibbs_steps=20"],
    "ddpm": ["model.network.widths=[8,16]", "model.beta_schedule.steps=20"],
    "flow_matching": ["model.network.widths=[8,16]"],
    "mean_flow": ["model.network.widths=[8,16]", "model.sampler.steps=4"],
    "ddpm_paper": ["model.network.width=8", "model.beta_schedule.steps=20"],
    "ddpm_paper_linear": ["model.network.width=8", "model.beta_schedule.steps=20"],
}
UNMOVED = {
    "gan": {"discriminator.layers.7.bias"}
}  # a pair's loss is of a difference of logits, to which this adds nothing
KINDS = {
    name: kind for name, kind in vars(types).items() if getattr(kind, "_is_protocol", False) and name != "Protocol"
}
SHAPES = [((1, 8, 8), 10), ((3, 32, 32), 3), ((3, 8, 12), 0)]


@cache
def composed(*words: str):
    """The configuration of these words; copy it before changing it."""
    return compose([*words])


def build(model: str, asked=(), shape=(1, 8, 8), classes=10):
    torch.manual_seed(2)
    cfg = deepcopy(composed(f"model={model}", *SMALL.get(model, []), *asked))
    cfg.data.facts = {"image_shape": shape, "num_classes": classes, "class_names": [], "train_size": 40, "checksum": ""}
    method = build_method(cfg).eval()
    with torch.no_grad():  # as if trained: outputs that differ
        for weight in method.parameters():
            weight.normal_(std=(2 / weight[0].numel()) ** 0.5 if weight.ndim > 1 else 0.1)
        for layer in method.modules():  # a dozen factors near 0 would leave nothing of the input
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.add_(1)
    if isinstance(
        getattr(method, "prior", None), ConvexCombinations
    ):  # there is nothing to draw from before it is fitted
        size = method.prior.size
        method.prior.fit(torch.randn(60, size), torch.arange(60) % max(1, classes))
    if isinstance(method, NOTA):  # its maps are buffers
        data = torch.rand(60, *shape)
        method.flow.fit(data, method.classes_of(torch.arange(60) % max(1, classes)))
    return method


def one_epoch(model: str) -> list[str]:
    """The options for an epoch of training, or of each phase."""
    phases = composed(f"model={model}").model.get("phases")
    return [f"model.phases.{phase}.max_epochs=1" for phase in phases] if phases else ["trainer.max_epochs=1"]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels_for(method, n: int):
    return balanced_labels(n, method.num_classes) if method.num_classes else None


@every_model
def test_it_has_exactly_these_capabilities(model, asked):
    method = build(model, asked)
    assert {name for name, kind in KINDS.items() if isinstance(method, kind)} == CAPABILITIES[model]


@every_model
@pytest.mark.parametrize(("shape", "classes"), SHAPES)
def test_samples_are_images_and_repeat_and_leave_the_global_stream_alone(model, asked, shape, classes):
    if ("model.conditional=true" in asked or model in NEED_LABELS) and not classes:
        with pytest.raises(Refused, match=r"needs data with labels"):
            build(model, asked, shape, classes)
        return
    method = build(model, asked, shape, classes)
    before = torch.get_rng_state()
    images = method.sample(6, labels_for(method, 6), generator=seeded())
    assert images.shape == (6, *shape) and images.dtype == torch.float32 and not images.requires_grad
    assert images.min() >= 0 and images.max() <= 1
    assert torch.equal(images, method.sample(6, labels_for(method, 6), generator=seeded()))
    assert not torch.equal(images, method.sample(6, labels_for(method, 6), generator=seeded(1)))
    assert torch.equal(torch.get_rng_state(), before)
    assert method.sample(0, labels_for(method, 0), generator=seeded()).shape == (0, *shape)


@every_model
def test_labels_that_are_missing_unasked_or_out_of_range_raise(model, asked):
    method = build(model, asked)
    if method.num_classes:
        with pytest.raises(ValueError, match=r"is conditional: expected labels of shape \(2,\), got none"):
            method.sample(2)
        with pytest.raises(ValueError, match=r"expected labels from 0 to 9, got 0 to 10"):
            method.sample(2, torch.tensor([0, 10]))
        with pytest.raises(ValueError, match=r"expected labels of shape \(2,\), got \(3,\)"):
            method.sample(2, torch.tensor([0, 1, 2]))
    if model not in NEED_LABELS:
        with pytest.raises(ValueError, match=r"is unconditional: expected no labels"):
            build(model, classes=0).sample(2, torch.tensor([0, 0]))


@every_model
@pytest.mark.parametrize(("shape", "classes", "bits"), [(*SHAPES[0], 32), (*SHAPES[1], 32), (*SHAPES[0], 64)])
def test_each_capability_answers_in_its_shapes(model, asked, shape, classes, bits):
    method, n = build(model, asked, shape, classes), 4
    if bits == 64:
        method.double()  # as hardware.precision=64-true does; images stay as they are
    labels = labels_for(method, n)
    images = torch.rand(n, *shape, generator=seeded())
    has = CAPABILITIES[model]
    if "KeepsCodes" in has:
        assert len(method.stored_codes()) == 40
    if "Encodes" in has:
        codes = method.encode(images, labels)
        assert len(codes) == n and codes.ndim == 2 and not codes.requires_grad
    if "Decodes" in has and "Encodes" in has:
        decoded = method.decode_codes(codes, labels)
        assert decoded.shape == images.shape and decoded.min() >= 0 and decoded.max() <= 1
    if "Reconstructs" in has:
        for given in (labels, None):
            rebuilt = method.reconstruct(images, given)
            assert rebuilt.shape == images.shape and rebuilt.min() >= 0 and rebuilt.max() <= 1
    if "Classifies" in has:
        assert method.classify(images).shape == (n, classes)
    if "Calibrates" in has:
        method.calibrate(images, labels)
    if "Refits" in has:
        generator = seeded()
        codes = torch.randn(40, method.encode(images, labels).shape[1], generator=generator)
        method.refit_prior(codes, balanced_labels(40, max(1, classes)))
        assert method.sample(n, labels, generator=generator).shape == images.shape
    if "Combines" in has:
        made = method.combine(labels, sources=3, spread="averaged", generator=generator)
        assert made.images.shape == images.shape and made.codes.shape == (n, codes.shape[1])
        assert made.tries is None and made.latent_tries is None  # both checks are off, see SMALL
    if "Continuous" in has:
        large = method.sample_at(n, 20, labels, generator=seeded())
        assert large.shape == (n, shape[0], 20, 20)
        window = method.sample_at(n, 20, labels, window=(3, 4, 5, 6), generator=seeded())
        torch.testing.assert_close(window, large[..., 3:8, 4:10])
    if "Trajectory" in has:
        states = method.sample_trajectory(n, labels, frames=5, generator=seeded())
        assert states.shape == (5, n, *shape) and states.min() >= 0 and states.max() <= 1
        assert torch.equal(states[-1], method.sample(n, labels, generator=seeded()))
    if "MovesParticles" in has:
        particles, of_particles = method.fitted_particles(n)
        assert particles.shape == images.shape and particles.min() >= 0 and particles.max() <= 1
        assert len(of_particles) == n if method.num_classes else of_particles is None
    if "Noises" in has:
        states = method.noise_trajectory(images, frames=5, generator=seeded())
        assert states.shape == (5, n, *shape)
        torch.testing.assert_close(states[0], images)
        assert len({curve.shape for curve in method.noise_schedule().values()}) == 1
    for name, likelihood in (("Density", "log_prob"), ("Bounded", "elbo")):
        if name in has:
            seen = images.round() if method.binary else images
            nats = getattr(method, likelihood)(seen)
            assert nats.shape == (n,) and nats.isfinite().all()
    if "Bounded" in has:
        assert method.elbo(seen, samples=7, generator=seeded()).shape == (n,)
        assert torch.equal(method.elbo(seen, generator=seeded()), method.elbo(seen, generator=seeded()))
    if "Exports" in has and bits == 32:
        program = method.exported_program()
        with torch.no_grad():
            made = program.module(**program.inputs)
        if program.steps is None:
            assert made.shape[1:] == shape and made.min() >= 0 and made.max() <= 1
        else:
            x, memory = made
            assert x.shape == memory.shape == program.inputs["x"].shape == (len(x), *shape)
    elif "Exports" not in has:
        assert len(method.not_exported()) > 40  # says why not
    if "Diagnoses" in has:
        assert all(isinstance(value, float) for value in method.diagnose(generator=seeded()).values())


@pytest.fixture(params=["grey", "colour", "unlabelled"])
def images(request, tmp_path):
    """8×8 grey digits, 32×32 colour, and 8×12 colour without labels, as npz files."""
    generator = np.random.default_rng(0)
    shape = {"grey": (8, 8), "colour": (32, 32, 3), "unlabelled": (8, 12, 3)}[request.param]
    arrays = {"images": generator.integers(0, 256, (90, *shape), dtype=np.uint8)}
    if request.param != "unlabelled":
        arrays["labels"] = np.arange(90) % 3
    np.savez(tmp_path / "images.npz", **arrays)
    return tmp_path / "images.npz"


@every_model
def test_it_trains_saves_and_loads_on_grey_colour_and_unlabelled_images(model, asked, images, tmp_path, request):
    if "unlabelled" in request.node.name:
        if model in NEED_LABELS:
            pytest.skip("refused without labels, see above")
        asked = ()  # with labels it is refused, see above
    options = [
        f"model={model}",
        *SMALL.get(model, []),
        *asked,
        "data=npz",
        f"data.source.path={images}",
        "data.batch_size=30",
        *one_epoch(model),
        "sample.n=12",
        "evaluation=none",
        "callbacks=none",
        # figures of small images, grey with classes and colour without, show as much and take less time
        f"run.figures={'colour' not in request.node.name}",
        f"paths.outputs={tmp_path}",
    ]
    cfg = compose(options)
    folder = run(cfg, options, Console(quiet=True))
    opened = open_run(folder.path)
    method = opened.method()
    torch.manual_seed(0)
    fresh = build_method(opened.config)
    moved = {name for name, weight in method.named_parameters() if not torch.equal(weight, fresh.state_dict()[name])}
    assert moved | UNMOVED.get(model, set()) == {
        name for name, _ in method.named_parameters()
    }  # the gradient reached each
    kept, labels = opened.samples()
    again = method.sample(12, torch.from_numpy(labels) if method.num_classes else None, generator=seeded(0))
    assert np.array_equal(kept, (again * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
    assert labels.tolist() == ([0, 1, 2] * 4 if method.num_classes else [-1] * 12)


def trained(folder, *asked: str):
    """The folder of a short run on 8×8 grey noise."""
    np.savez(folder / "images.npz", images=np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8))
    options = [
        *asked,
        "data=npz",
        f"data.source.path={folder / 'images.npz'}",
        "data.batch_size=30",
        "trainer.max_epochs=1",
        "sample.n=12",
        "evaluation=none",
        "callbacks=none",
        f"paths.outputs={folder}",
    ]
    return run(compose(options), options, Console(quiet=True))


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@pytest.mark.parametrize(
    "asked",
    [
        ["model=rbm"],
        ["model=gan", "model/loss=wasserstein"],
        ["model=vae"],
        ["model=flow_matching"],
        ["model=autoencoder", "model.decorrelation=0.1", "model.sparsity=0.1"],
    ],
    ids=["rbm", "gan", "vae", "flow_matching", "autoencoder"],
)
def test_it_trains_in_other_precisions(asked, precision, tmp_path):
    small = SMALL.get(asked[0].removeprefix("model="), [])
    folder = trained(tmp_path, *asked, *small, f"hardware.precision={precision}")
    assert folder.status()["state"] == "done"
    assert all(weight.isfinite().all() for weight in open_run(folder.path).method().parameters())


@pytest.mark.slow  # the compiler takes its time
def test_compiled_networks_learn_the_same_and_are_saved_as_ever(tmp_path):
    asked = ["model=vae_paper", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]"]
    plain, compiled = (trained(tmp_path, *asked, f"hardware.compile={on}") for on in ("false", "true"))
    assert plain.path != compiled.path
    weights = [open_run(folder.path).method().state_dict() for folder in (plain, compiled)]
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "why"),
    [(["model=rbm"], "RBM has no networks to compile"), (["model=gan"], "needs second derivatives")],
    ids=["rbm", "gan"],
)
def test_what_cannot_be_compiled_is_refused_before_training(asked, why, tmp_path):
    with pytest.raises(Refused, match=why):
        trained(tmp_path, *asked, "hardware.compile=true")


def test_too_few_codes_for_a_prior_are_known_before_training(tmp_path):
    with pytest.raises(Refused, match="the prior needs at least 100 codes in class 0, there are 81"):
        trained(tmp_path, "model=vae", "model.prior.components=100", "data.validation=0")
