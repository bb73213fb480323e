"""The answers: the model, its bundle and registry, the rules, and what is decided from them."""

from __future__ import annotations

from cluster import kernels

kernels.watch_sources()
