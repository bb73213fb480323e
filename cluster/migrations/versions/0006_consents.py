"""Sixth revision: what persons allowed and forbade, until it is in the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of words that arrived."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "consents",
        sa.Column("number", number, primary_key=True, autoincrement=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_consents_event_id", "consents", ["event_id"])


def downgrade() -> None:
    """Drop the table of words."""
    op.drop_table("consents")
