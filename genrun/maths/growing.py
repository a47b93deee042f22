"""Modules whose buffers grow while they are fitted, so that saved buffers may have other shapes than the module's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn


class Growing(nn.Module):
    """A module with buffers that take the shapes of the saved ones when they are loaded."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register_load_state_dict_pre_hook(Growing.make_room)

    def resize(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Give each buffer the shape of the saved one: name → shape. See `genrun.types.Resizes`."""
        for name, shape in shapes.items():
            if name in self._buffers and tuple(self._buffers[name].shape) != tuple(shape):
                self._buffers[name] = self._buffers[name].new_zeros(tuple(shape))

    def make_room(self, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
        """Resize before tensors are loaded; torch calls this with the prefix of this module's names."""
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        self.resize({name: value.shape for name, value in own.items() if name in self._buffers})
