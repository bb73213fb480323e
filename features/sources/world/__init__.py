"""The world: a synthetic software company whose truth is known, as a source of events."""

from __future__ import annotations

from features.sources.world.config import WorldConfig
from features.sources.world.generate import World, generate

__all__ = ["World", "WorldConfig", "generate"]
