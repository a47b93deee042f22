"""Configurations as plain Python."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf


def to_container(node: Any) -> Any:
    """Return a configuration node as dictionaries and lists with every interpolation resolved; anything else as it is."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
