"""The facts: contracts, sources, the event log, views, and the engine that computes them."""

from __future__ import annotations

from cluster import kernels

kernels.watch_sources()
