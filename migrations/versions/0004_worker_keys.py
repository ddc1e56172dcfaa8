"""Remote workers: their keys, what they say of themselves, and whether they are wanted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0004_worker_keys'
down_revision = '0003_queue_policy'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.add_column(sa.Column('kind', sa.String(length=8), nullable=False, server_default='local'))
        batch_op.add_column(sa.Column('capabilities', sa.JSON(), nullable=False, server_default='{}'))
        batch_op.add_column(sa.Column('about', sa.JSON(), nullable=False, server_default='{}'))
        batch_op.add_column(sa.Column('activity', sa.String(length=8), nullable=False, server_default='idle'))
        batch_op.add_column(sa.Column('code_version', sa.String(length=100), nullable=True))
        batch_op.add_column(sa.Column('is_disabled', sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column('registered_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.alter_column('started_at', existing_type=sa.DateTime(timezone=True), nullable=True)
        batch_op.alter_column('heartbeat_at', existing_type=sa.DateTime(timezone=True), nullable=True)
    op.execute('UPDATE workers SET registered_at = started_at')
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.alter_column('registered_at', existing_type=sa.DateTime(timezone=True), nullable=False)
        for name in ('kind', 'capabilities', 'about', 'activity', 'is_disabled'):
            batch_op.alter_column(name, server_default=None)
        batch_op.create_check_constraint('kind', "kind IN ('local', 'remote')")
        batch_op.create_check_constraint('activity', "activity IN ('active', 'busy', 'idle')")

    op.create_table('worker_keys',
    sa.Column('id', sa.String(length=8), nullable=False),
    sa.Column('worker_id', sa.String(length=64), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['worker_id'], ['workers.id'], name=op.f('fk_worker_keys_worker_id_workers'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_worker_keys'))
    )
    with op.batch_alter_table('worker_keys', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_worker_keys_worker_id'), ['worker_id'], unique=False)


def downgrade() -> None:
    with op.batch_alter_table('worker_keys', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_worker_keys_worker_id'))

    op.drop_table('worker_keys')
    op.execute('DELETE FROM workers WHERE started_at IS NULL OR heartbeat_at IS NULL')
    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('ck_workers_kind'), type_='check')
        batch_op.drop_constraint(batch_op.f('ck_workers_activity'), type_='check')
        batch_op.alter_column('started_at', existing_type=sa.DateTime(timezone=True), nullable=False)
        batch_op.alter_column('heartbeat_at', existing_type=sa.DateTime(timezone=True), nullable=False)
        for name in ('registered_at', 'is_disabled', 'code_version', 'activity', 'about',
                     'capabilities', 'kind'):
            batch_op.drop_column(name)
