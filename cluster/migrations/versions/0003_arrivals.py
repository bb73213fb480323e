"""Third revision: online events in a binary format, keys of several shards, and arrivals.

What the online tables held is dropped: all of it is in the event log, from which they are filled.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Empty the online events, let a key live in several shards, add the tables of arrivals."""
    op.execute("DELETE FROM online_events")
    op.drop_table("online_keys")
    op.create_table(
        "online_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("shard", sa.Text, primary_key=True),
    )
    op.create_table(
        "arrivals",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("arrived_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "refused_arrivals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("arrived_at", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables of arrivals, and make the online tables as they were, empty."""
    op.execute("DELETE FROM online_events")
    for name in ("refused_arrivals", "arrivals", "online_keys"):
        op.drop_table(name)
    op.create_table(
        "online_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("shard", sa.Text, nullable=False),
    )
