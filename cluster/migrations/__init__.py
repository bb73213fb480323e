"""Revisions of the database schema, run by `cluster.database` when a database is opened."""

from __future__ import annotations
