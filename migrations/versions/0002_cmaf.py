"""CMAF: a rendition has headers, and a segment needs one of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_cmaf"
down_revision = "0001_first_film"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("renditions") as batch_op:
        batch_op.add_column(sa.Column("inits", sa.JSON(), server_default="[]", nullable=False))
    with op.batch_alter_table("segments") as batch_op:
        batch_op.add_column(sa.Column("init", sa.Integer(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("segments") as batch_op:
        batch_op.drop_column("init")
    with op.batch_alter_table("renditions") as batch_op:
        batch_op.drop_column("inits")
