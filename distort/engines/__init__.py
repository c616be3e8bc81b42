"""Engines by name: where shards are made. See ``distort.engines.base`` for what one is."""

from __future__ import annotations

from distort.engines.base import Engine, UnfitNode
from shards.registry import Registry

__all__ = ["ENGINES", "Engine", "UnfitNode", "load"]

#: Other packages announce theirs in the entry-point group ``codecproof.engines`` (name = module:Class).
ENGINES = Registry(
    "codecproof.engines",
    "engine",
    {"local": "distort.engines.local:Local", "ray": "distort.engines.ray:Ray"},
)


def load(name: str) -> type[Engine]:
    """The engine called ``name``. Raises ValueError, with the nearest name, when there is none."""
    return ENGINES.load(name)
