"""Housekeeping has a lease: when each chore is due again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0006_chores'
down_revision = '0004_worker_keys'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('chores',
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_chores'))
    )


def downgrade() -> None:
    op.drop_table('chores')
