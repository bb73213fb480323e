"""First revision: refs and their history, the journal, runs and online events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of `cluster.schema` as they were in this revision."""
    _refs()
    _journal()
    _runs()
    _online_events()


def downgrade() -> None:
    """Drop every table again."""
    for name in ("online_keys", "online_events", "runs", "journal", "ref_moves", "refs"):
        op.drop_table(name)


def _refs() -> None:
    op.create_table(
        "refs",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("moved_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "ref_moves",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("epoch", sa.BigInteger, primary_key=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("moved_at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        sa.Column("writer", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_index("journal_by_time", "journal", ["at", "writer", "seq"])
    op.create_index("journal_by_kind", "journal", ["kind", "at", "writer", "seq"])


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=True),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger, nullable=True),
    )


def _online_events() -> None:
    op.create_table(
        "online_events",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("shard", sa.Text, nullable=False, index=True),
        sa.Column("known_at", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "online_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("shard", sa.Text, nullable=False),
    )
