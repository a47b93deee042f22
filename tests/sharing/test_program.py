"""The program of a method in plain torch and in ONNX is the method; all methods are in the slow test."""

from __future__ import annotations

import pytest
import torch
from methods.test_contract import CAPABILITIES, MODELS, build

from genrun.sharing.folder import OUTPUTS
from genrun.sharing.program import TOLERANCE, fresh_inputs, largest_error, onnx_of, plain_torch, trace

EXPORTED = [(model, asked) for model, asked in MODELS if "Exports" in CAPABILITIES[model]]


def frozen(model, asked=(), **options):
    return build(model, asked, **options).requires_grad_(False)


def check(method) -> float:
    """Compare plain torch exactly and ONNX within the tolerance; return the error."""
    program = method.exported_program()
    traced = trace(program)
    text, constants = plain_torch(traced, program.name, "It is the method.")
    assert "genrun." not in text and "import" not in text.replace("import torch", "").replace("import device", "")
    space: dict = {}
    exec(text, space)
    inputs = fresh_inputs(program, 5, torch.Generator().manual_seed(3), torch.tensor(0))
    got = space[program.name]({**method.state_dict(), **constants}, **inputs)
    expected = program.module(**inputs)
    for one, other in zip(got, expected if program.steps else [expected], strict=True):
        assert torch.equal(one, other)
    error = largest_error(program, onnx_of(traced, OUTPUTS[program.name]))
    assert error <= TOLERANCE
    return error


@pytest.mark.parametrize(
    ("model", "asked"),
    [("autoencoder_paper_1", ()), ("flow_matching", ("model.conditional=true",))],
    ids=["a decoder behind a mixture", "a step of a conditional sampler"],
)
def test_plain_torch_and_onnx_are_the_method(model, asked):
    check(frozen(model, asked))


@pytest.mark.slow  # a minute or two: the exporter takes seconds for each
@pytest.mark.parametrize(
    ("model", "asked"), EXPORTED, ids=lambda one: one if isinstance(one, str) else "labels" * bool(one)
)
def test_of_every_method(model, asked, record_property):
    error = check(frozen(model, asked))
    record_property("largest_error", error)
    print(f"{model} {' '.join(asked)}: {error:.1e}")


def test_another_model_is_too_far():
    method = frozen("vae_paper")
    program = method.exported_program()
    model = onnx_of(trace(program), ["images"])
    for weight in method.decoder.parameters():
        weight *= 1.1
    assert largest_error(program, model) > TOLERANCE


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("ddpm", ()),
        ("ddpm_paper", ()),
        ("ddpm", ("model.conditional=true", "model.guidance=2")),
        ("flow_matching", ()),
        ("flow_matching", ("model/sampler=heun",)),
        ("flow_matching", ("model.sigma_data=0.5",)),
        ("ddpm", ("model.sigma_data=0.5",)),
        ("mean_flow", ()),
    ],
)
def test_the_steps_of_a_sampler_draw_what_the_method_draws(model, asked):
    method, n = frozen(model, asked), 3
    program = method.exported_program()
    labels = {"labels": torch.arange(n)} if method.num_classes else {}
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 1, 8, 8, generator=generator)
    memory = torch.zeros_like(x)
    steps = method.linear_steps()
    with torch.no_grad():
        for number, step in enumerate(steps):
            # the method draws noise only where it is needed
            noise = torch.randn(x.shape, generator=generator) if step.fresh else torch.zeros_like(x)
            given = {"noise": noise} if "noise" in program.inputs else {}
            x, memory = program.module(x=x, memory=memory, step=torch.tensor(number), **given, **labels)
    expected = method.sample(n, labels.get("labels"), generator=torch.Generator().manual_seed(0))
    assert program.steps == len(steps)
    torch.testing.assert_close(((x + 1) / 2).clamp(0, 1), expected, rtol=0, atol=2e-3)
    assert expected.std() > 0.05


def test_a_truncated_gan_draws_the_same():
    method = frozen("gan", ("model.truncation=0.9", "model.conditional=false"))
    noise = torch.randn(4, method.code_size, generator=torch.Generator().manual_seed(0))
    made = method.exported_program().module(noise=noise)
    assert torch.equal(made, method.sample(4, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("model", "asked", "why"),
    [
        ("csgm_paper", (), "Algorithm 2 moves new codes down a gradient"),
        ("regene", (), "codes of ConvexCombinations are no function of noise"),
        ("regene", ("model.image_check=true",), "until the classifier accepts them"),
    ],
)
def test_where_codes_cannot_be_drawn_it_is_the_decoder(model, asked, why):
    method = frozen(model, asked)
    program = method.exported_program()
    assert program.name == "decoder" and why in program.only_decodes
    labels = program.inputs.get("labels")
    made = program.module(**program.inputs)
    torch.testing.assert_close(made, method.decode_codes(program.inputs["codes"], labels))
    assert ("labels" in program.inputs) == (model == "csgm_paper")  # ReGene's codes know their class
