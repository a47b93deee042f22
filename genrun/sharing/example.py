"""Write example.py of an exported folder: load the weights and draw images, in plain torch where that can be."""

from __future__ import annotations

from collections.abc import Sequence

from genrun.types import Program

# the end of both examples
DRAW_TWENTY = """
if __name__ == "__main__":
    images = draw(20)
    rows = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)  # (n, H, W, C)
    picture = torch.cat([torch.cat(list(row), 1) for row in rows.split(10)]).squeeze(2)
    Image.fromarray(picture.numpy()).save("images.png")
    print("images.png")
"""

PLAIN = '''\
"""Draw images with the exported model. This needs torch, safetensors and Pillow, but not genrun.

    python example.py            writes images.png
"""

from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

from {name} import {name}

HERE = Path(__file__).parent
{constants}

def weights():
    """The tensors by name."""
    made = {{}}
    for file in {files}:
        made.update(load_file(HERE / file))
    return made


@torch.no_grad()
def draw({arguments}):
    """{doc}"""
{body}

'''
BY_GENRUN = '''\
"""Draw images with the exported model. This needs genrun: {why}.

    python example.py            writes images.png
"""

from pathlib import Path

import torch
from PIL import Image

import genrun

HERE = Path(__file__).parent


def draw(n, labels=None, seed=0):
    """Draw n images: (n, C, H, W) in [0, 1]{of_labels}."""
    method = genrun.open_run(HERE).method()
{labels}    return method.sample(n, labels, generator=torch.Generator().manual_seed(seed))

'''


def plain_example(program: Program, class_names: Sequence[str], files: Sequence[str]) -> str:
    """Write an example that needs torch and safetensors only.

    Args:
        class_names: of a conditional method; empty otherwise.
        files: the files of tensors that the program needs.
    """
    constants = [f"CLASSES = {list(class_names)!r}  # the names of the labels 0, 1, …"] if class_names else []
    classes = len(class_names)
    of_labels = "; labels (n,) int64, or None: each class in turn" if classes else ""
    doc = f"Draw n images: (n, C, H, W) in [0, 1]{of_labels}."
    drawn = {name: value.shape[1:] for name, value in program.inputs.items()}
    body, arguments = [], "n, labels=None, seed=0" if classes else "n, seed=0"
    if program.only_decodes:
        count = len(program.inputs["codes"])
        doc = f"Decode the first n of the {count} codes in codes.safetensors: (n, C, H, W) in [0, 1]."
        constants = ["# This is the decoder only: " + program.only_decodes, *constants]
        arguments = "n"
        body.append('given = load_file(HERE / "codes.safetensors")')
        body += [f'{name} = given["{name}"][:n]' for name in program.inputs]
    else:
        body.append("generator = torch.Generator().manual_seed(seed)")
        if "labels" in drawn:
            body.append(f"labels = torch.arange(n) % {classes} if labels is None else labels")
        if program.steps is None:
            body += [
                f"{name} = torch.{'rand' if name == 'uniform' else 'randn'}({sizes(drawn[name])}, generator=generator)"
                for name in drawn
                if name in ("noise", "uniform")
            ]
    call = ", ".join(f"{name}={name}" for name in program.inputs)
    if program.steps is None:
        body += [f"(images,) = {program.name}(weights(), {call})", "return images"]
    else:
        shape = sizes(drawn["x"])
        given = call.replace("step=step", "step=torch.tensor(step)").replace(
            "noise=noise", f"noise=torch.randn({shape}, generator=generator)"
        )
        body += [
            "tensors = weights()",
            f"x, memory = torch.randn({shape}, generator=generator), torch.zeros({shape})",
            f"for step in range({program.steps}):",
            f"    x, memory = {program.name}(tensors, {given})",
            "return ((x + 1) / 2).clamp(0, 1)",
        ]
    return (
        PLAIN.format(
            name=program.name,
            constants="\n".join(["", *constants, ""]) if constants else "",
            files=repr(list(files)),
            arguments=arguments,
            doc=doc,
            body="\n".join(f"    {line}" for line in body),
        )
        + DRAW_TWENTY
    )


def sizes(shape: Sequence[int]) -> str:
    """Write the shape of a tensor for n images as arguments: `n, 1, 8, 8`."""
    return ", ".join(["n", *map(str, shape)])


def example_by_genrun(why: str, num_classes: int) -> str:
    """Write an example that opens the folder by genrun.

    Args:
        why: why plain torch cannot.
    """
    why = why.replace("\\", "/").replace('"', "'")  # it stands in a docstring
    line = f"    labels = torch.arange(n) % {num_classes} if labels is None else labels\n" if num_classes else ""
    of_labels = "; labels (n,) int64, or None: each class in turn" if num_classes else ""
    return BY_GENRUN.format(why=why, labels=line, of_labels=of_labels) + DRAW_TWENTY
