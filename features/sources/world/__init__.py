"""The world: a synthetic software company whose truth is known, as a source of events."""

from __future__ import annotations

from features.sources.world.config import WorldConfig
from features.sources.world.division import parts
from features.sources.world.export import write_exports
from features.sources.world.faults import poison
from features.sources.world.generate import Part, World, generate, generate_part

__all__ = [
    "Part",
    "World",
    "WorldConfig",
    "generate",
    "generate_part",
    "parts",
    "poison",
    "write_exports",
]
