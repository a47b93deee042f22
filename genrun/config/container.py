"""Convert a configuration to plain Python objects."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf


def to_container(node: Any) -> Any:
    """Convert a configuration node to dictionaries and lists, with interpolations resolved; return other values unchanged."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node


def plain(node: Any) -> Any:
    """Convert a configuration node to dictionaries and lists as it is written, without resolving interpolations, for messages."""
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
