"""Tenth revision: processes that wait for the next simulation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "simulation_spares",
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("code", sa.Text, nullable=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("run", sa.Text, nullable=True, index=True),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("simulation_spares")
