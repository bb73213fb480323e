"""Eighth revision: the simulations that planners ask for, and who asked for which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "simulations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("pinned", sa.Text, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False, index=True),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("progress", sa.Text, nullable=True),
        sa.Column("why", sa.Text, nullable=True),
        sa.Column("result", sa.Text, nullable=True),
        sa.Column("heard_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger, nullable=True),
        sa.Column("shared_at", sa.BigInteger, nullable=True),
    )
    op.create_table(
        "simulation_asks",
        sa.Column("simulation", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("started", sa.Boolean, nullable=False),
    )
    op.create_index("simulation_asks_by_owner", "simulation_asks", ["owner", "at"])


def downgrade() -> None:
    """Drop them."""
    for name in ("simulation_asks", "simulations"):
        op.drop_table(name)
