"""Ninth revision: sessions that were signed out, and when the run of a simulation began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column."""
    op.create_table(
        "sign_outs",
        sa.Column("session", sa.Text, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.add_column("simulations", sa.Column("began_at", sa.BigInteger, nullable=True))


def downgrade() -> None:
    """Drop both."""
    op.drop_column("simulations", "began_at")
    op.drop_table("sign_outs")
