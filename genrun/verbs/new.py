"""`genrun new method NAME`: write the two files of a method of your own; docs/methods.md explains them."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from string import Template

from genrun.errors import Refused, nearest
from genrun.verbs.arguments import Arguments

KINDS = ("method",)

METHOD = Template('''\
"""$class_: a Gaussian for each pixel of each class. A place to begin: replace it with your own method."""

import torch
from torch import Generator, Tensor, nn

from genrun.methods import Method
from genrun.types import Batch


class $class_(Method):
    r"""Independent Gaussian pixels, fitted by maximum likelihood.

        -log p(x | y) = Σ_i ½((x_i - μ_yi) / σ_yi)² + log σ_yi + ½ log 2π

    Args:
        image_shape: (C, H, W) of the data.
        num_classes: of the data; 0: it has no labels.
        lr: learning rate of Adam.
    """

    def __init__(self, image_shape: list[int], num_classes: int, lr: float = 0.01) -> None:
        super().__init__(image_shape, num_classes)
        self.lr = lr
        self.mean = nn.Parameter(torch.full((max(1, num_classes), *self.image_shape), 0.5))  # μ
        self.log_std = nn.Parameter(torch.full_like(self.mean, -1.0))  # log σ

    def loss(self, batch: Batch) -> Tensor:
        y = self.classes_of(batch.label)  # (B,)
        z = (batch.image - self.mean[y]) / self.log_std[y].exp()  # (B, C, H, W)
        return (z.square() / 2 + self.log_std[y]).mean()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.loss(batch)
        self.track(loss=loss)  # shown, logged, and watched for NaN
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        self.log("val/score", self.loss(batch), batch_size=len(batch.image))  # the lowest makes best.ckpt

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)

    @torch.no_grad()
    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        y = torch.zeros(n, dtype=torch.long, device=self.device) if labels is None else labels
        noise = torch.randn(n, *self.image_shape, generator=generator, device=self.device)
        return (self.mean[y] + self.log_std[y].exp() * noise).clamp(0, 1)  # (n, C, H, W) in [0, 1]
''')
YAML = Template("""\
# @package _global_
# $class_: a Gaussian for each pixel of each class.
model:
  _target_: $name.$class_
  image_shape: $${data.facts.image_shape}
  num_classes: $${data.facts.num_classes}
  lr: 0.01
trainer:
  max_epochs: 20
data:
  batch_size: 100
""")


def main(arguments: list[str]) -> int:
    """Write NAME.py and CONFIG_DIR/model/NAME.yaml, and print the command that trains the method."""
    parser = Arguments(
        "genrun new",
        description="Write the two files of a method of your own: a class and its YAML. They run as they are; see docs/methods.md.",
    )
    parser.add_argument("kind", help="method")
    parser.add_argument(
        "name", help="name of the method, in lower case; it becomes NAME.py, the YAML and the choice model=NAME"
    )
    parser.add_argument("--config-dir", default="conf", help="a folder of your own groups (default: conf)")
    asked = parser.parse_args(arguments)
    if asked.kind not in KINDS:
        raise Refused(f"genrun new {asked.kind}: expected {', '.join(KINDS)}{nearest(asked.kind, KINDS)}")
    check_new_name(asked.name)
    words = {"name": asked.name, "class_": "".join(word.capitalize() for word in asked.name.split("_"))}
    folder = Path(asked.config_dir, "model")
    files = {Path(f"{asked.name}.py"): METHOD, folder / f"{asked.name}.yaml": YAML}
    for file in files:
        if file.exists():
            raise Refused(f"{file} exists already; choose another name")

    from genrun.system.files import write_atomic

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, template in files.items():
            write_atomic(file, template.substitute(words))
    except OSError as error:
        raise Refused(f"cannot write {error.filename or folder}: {error.strerror}") from error
    print("\n".join(map(str, files)))
    print(f"\ntrain it:  genrun --config-dir {asked.config_dir} model={asked.name} data=digits")
    return 0


def check_new_name(name: str) -> None:
    """Check that a new method may have this name.

    Raises:
        Refused: it cannot be the name of a Python module, or it is the name of one of genrun's models or of another module.
    """
    from genrun.config.choices import models

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise Refused(f"{name}: expected a name of lower-case letters, digits and _, such as my_method")
    if name in models():
        raise Refused(f"{name} is a model of genrun's; choose another name")
    here = Path(os.getcwd(), f"{name}.py")
    found = importlib.util.find_spec(name)
    if found is not None and found.origin != str(here):
        raise Refused(f"{name} is the name of a module that Python has already; choose another name")
