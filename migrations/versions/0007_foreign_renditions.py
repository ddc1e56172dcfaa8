"""Renditions that somebody else cut, with a timeline of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_foreign_renditions"
down_revision = "0006_chores"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("renditions") as batch_op:
        batch_op.add_column(sa.Column("origin", sa.String(length=8), server_default="grid", nullable=False))
        batch_op.add_column(sa.Column("container", sa.String(length=8), nullable=True))
    with op.batch_alter_table("renditions") as batch_op:
        batch_op.alter_column("origin", server_default=None)
        batch_op.create_check_constraint("origin", "origin IN ('grid', 'foreign')")


def downgrade() -> None:
    with op.batch_alter_table("renditions") as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_renditions_origin"), type_="check")
        batch_op.drop_column("container")
        batch_op.drop_column("origin")
