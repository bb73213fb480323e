"""Alembic's entry: runs the revisions on the connection that `cluster.database` hands over.

The caller owns the transaction and its lock, so that two openers cannot both upgrade.
"""

from __future__ import annotations

from alembic import context

from cluster import schema

context.configure(
    connection=context.config.attributes["connection"], target_metadata=schema.METADATA
)
with context.begin_transaction():
    context.run_migrations()
