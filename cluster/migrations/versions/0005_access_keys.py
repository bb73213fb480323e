"""Fifth revision: the keys that give access."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of access keys."""
    op.create_table(
        "access_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=True),
        sa.Column("regions", sa.Text, nullable=True),
        sa.Column("teams", sa.Text, nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=True),
        sa.Column("rotated_from", sa.Text, nullable=True),
        sa.Column("rotated_to", sa.Text, nullable=True),
        sa.Column("change", sa.BigInteger, nullable=False),
    )
    op.create_index("access_keys_by_change", "access_keys", ["change"], unique=True)


def downgrade() -> None:
    """Drop the table of access keys."""
    op.drop_table("access_keys")
