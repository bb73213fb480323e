"""Lineage: what a thing was made from, down to the row of a file, and what was made from it."""

from __future__ import annotations

from features.lineage.graph import Branch, Family, Key, Lineage, Node, walk

__all__ = ["Branch", "Family", "Key", "Lineage", "Node", "walk"]
