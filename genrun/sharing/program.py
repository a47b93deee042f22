"""Trace the program of a method, and write it as ONNX and as plain torch; measure how far ONNX is from torch."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from genrun.errors import Refused, one_line
from genrun.sharing.published import without_place
from genrun.types import Program

if TYPE_CHECKING:
    from torch.export import ExportedProgram

TOLERANCE = 1e-4  # largest absolute difference between ONNX and torch
COUNTS = (1, 7)  # numbers of images that are compared; tracing saw two
COMPARED_STEPS = 5  # of a sampler, from its first to its last


def trace(program: Program) -> ExportedProgram:
    """Trace a program for any number of images.

    Raises:
        Refused: torch cannot trace it.
    """
    n = torch.export.Dim("n", min=1)
    shapes = {name: {0: n} if value.ndim else {} for name, value in program.inputs.items()}
    with refusing(f"torch.export cannot trace {type(program.module).__name__}"), torch.no_grad(), quiet():
        return torch.export.export(program.module, (), dict(program.inputs), dynamic_shapes=shapes)


def onnx_of(traced: ExportedProgram, outputs: list[str]) -> bytes:
    """Convert a traced program to an ONNX model.

    Args:
        outputs: the names of what it returns.

    Raises:
        Refused: an operation has no ONNX counterpart, or the model is larger than a file of ONNX may be, 2 GB.
    """
    with refusing("it cannot be written as ONNX"), quiet():
        converted = torch.onnx.export(traced, output_names=outputs, dynamo=True, verbose=False)
        return converted.model_proto.SerializeToString()


def largest_error(program: Program, model: bytes, seed: int = 1) -> float:
    """Return the largest absolute difference between an ONNX model and the program in torch, on fresh inputs.

    Of a sampler's step, several steps are compared, each at states of noise. Such a state may be large: then the difference is divided by
    its largest value. NaN counts as infinitely far.

    Raises:
        Refused: onnxruntime cannot run the model, or gives images of another shape.
    """
    with refusing("onnxruntime cannot load it"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # warnings of unused weights say nothing about the numbers
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    error, generator = 0.0, Generator().manual_seed(seed)
    steps = [None] if program.steps is None else torch.linspace(0, program.steps - 1, COMPARED_STEPS).long().unique()
    for count in COUNTS:
        for step in steps:
            inputs = fresh_inputs(program, count, generator, step)
            with torch.no_grad():
                expected = program.module(**inputs)
            with refusing("onnxruntime cannot run it"):
                got = session.run(None, {name: value.numpy() for name, value in inputs.items()})
            for one, other in zip([expected] if isinstance(expected, Tensor) else expected, got, strict=True):
                if tuple(one.shape) != other.shape:
                    raise Refused(f"ONNX gives {other.shape} for {count} images, torch {tuple(one.shape)}")
                difference = (one - torch.from_numpy(other)).abs().max() / one.abs().max().clamp(min=1)
                error = max(error, difference.nan_to_num(math.inf).item())
    return error


def fresh_inputs(program: Program, n: int, generator: Generator, step: Tensor | None) -> dict[str, Tensor]:
    """Draw inputs for n images."""
    made = {}
    for name, example in program.inputs.items():
        shape = (n, *example.shape[1:])
        if name == "step":
            made[name] = step
        elif name == "labels":
            classes = program.module.method.num_classes
            made[name] = torch.arange(n) % classes
        elif name == "uniform":
            made[name] = torch.rand(shape, generator=generator)
        else:
            made[name] = torch.randn(shape, generator=generator)
    return made


def plain_torch(traced: ExportedProgram, name: str, doc: str) -> tuple[str, dict[str, Tensor]]:
    """Write a traced program as the text of a Python function that needs torch and the weights, and nothing else.

    Args:
        name: the name of the function.
        doc: its docstring.

    Returns:
        The text of the module, and the tensors besides the method's weights that it needs, by name. The function's first argument are
        all these tensors by name.
    """
    signature = traced.graph_signature
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    used = {node.name for node in traced.graph.nodes if node.op == "placeholder" and node.users}
    inputs = [node.name for node in traced.graph.nodes if node.op == "placeholder" and node.name not in held]
    saved = set(traced.state_dict)
    constants = {
        weight_name(target): traced.constants[target].detach().clone()
        for place, target in held.items()
        if place in used and target not in saved
    }
    lines = [f'    {place} = weights["{weight_name(target)}"]' for place, target in held.items() if place in used]
    lines += body_of(traced)
    text = "\n".join([*HEADER, f"def {name}(weights, {', '.join(inputs)}):", f'    """{doc}"""', *lines, ""])
    return text, constants


HEADER = [
    "# Written by `genrun export`: the operations of the trained model, one a line, for torch alone.",
    "import torch",
    "from torch import device, inf, nan",
    "",
    "",
]


def body_of(traced: ExportedProgram) -> list[str]:
    """Return the lines of a traced program after its inputs; the last one returns a tuple."""
    code = traced.graph_module.code.splitlines()
    start = next(place for place, line in enumerate(code) if line.startswith("def forward"))
    # `x = None` after a statement only frees memory
    lines = [line.split(";  ")[0].rstrip() for line in code[start + 1 :] if line.strip()]
    # torch checks the device and type of what it computed, which another device would not pass
    return [line for line in lines if not line.strip().startswith(("_guards_fn", "_assert_"))]


def weight_name(target: str) -> str:
    """Return the name of a weight in model.safetensors: without the module around the method."""
    return target.removeprefix("method.")


@contextlib.contextmanager
def refusing(what: str) -> Iterator[None]:
    """Turn any error into one line that may be published, while the context lasts. Exporters have dozens of kinds of errors.

    Args:
        what: could not be done.
    """
    try:
        yield
    except Exception as error:
        raise Refused(f"{what} ({without_place(one_line(error))[:300]})") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's exporter from printing while the context lasts."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
