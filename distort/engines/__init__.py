"""Engines by name; an engine decides where shards are made. ``distort.engines.base`` defines the interface."""

from __future__ import annotations

from distort.engines.base import Engine, UnfitNode
from shards.registry import Registry

__all__ = ["ENGINES", "Engine", "UnfitNode", "load"]

#: Other packages register theirs in the entry-point group ``codecproof.engines`` (name = module:Class).
ENGINES = Registry(
    "codecproof.engines",
    "engine",
    {"local": "distort.engines.local:Local", "ray": "distort.engines.ray:Ray"},
)


def load(name: str) -> type[Engine]:
    """The engine called ``name``. Raises ValueError for an unknown name and suggests the nearest one."""
    return ENGINES.load(name)
