"""A lease is found by its token: every call of a remote worker looks for one."""

from __future__ import annotations

from alembic import op

revision = "0008_lease_tokens"
down_revision = "0007_foreign_renditions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.create_index(batch_op.f("ix_jobs_lease_token"), ["lease_token"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.drop_index(batch_op.f("ix_jobs_lease_token"))
