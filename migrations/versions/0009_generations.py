"""A film can be encoded again, beside the generation that plays. Keys of workers may have an end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_generations"
down_revision = "0008_lease_tokens"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("encodes") as batch_op:
        batch_op.add_column(sa.Column("rungs", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("renditions") as batch_op:
        batch_op.add_column(sa.Column("taken_from", sa.Integer(), nullable=True))
    with op.batch_alter_table("worker_keys") as batch_op:
        batch_op.add_column(sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("worker_keys") as batch_op:
        batch_op.drop_column("expires_at")
    with op.batch_alter_table("renditions") as batch_op:
        batch_op.drop_column("taken_from")
    with op.batch_alter_table("encodes") as batch_op:
        batch_op.drop_column("retired_at")
        batch_op.drop_column("superseded_at")
        batch_op.drop_column("rungs")
