"""The policy of the queue: priorities, turns, pauses, and whose fault a failure was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003_queue_policy'
down_revision = '0002_cmaf'
branch_labels = None
depends_on = None

VERDICTS = "verdict IN ('charged', 'final', 'blameless', 'excused', 'upheld')"


def upgrade() -> None:
    op.create_table('holds',
    sa.Column('name', sa.String(length=32), nullable=False),
    sa.Column('since', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_holds'))
    )
    with op.batch_alter_table('encodes', schema=None) as batch_op:
        batch_op.add_column(sa.Column('priority', sa.SmallInteger(), nullable=False, server_default='1'))
        batch_op.add_column(sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(batch_op.f('ix_encodes_state'), ['state'], unique=False)

    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.add_column(sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('pause_reason', sa.String(length=200), nullable=True))
        batch_op.add_column(sa.Column('probe_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('probes', sa.Integer(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('drain_requested_at', sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table('attempts', schema=None) as batch_op:
        batch_op.add_column(sa.Column('verdict', sa.String(length=16), nullable=True))
        batch_op.create_check_constraint(batch_op.f('ck_attempts_verdict'), VERDICTS)
        batch_op.create_index('ix_attempts_worker', ['worker_id', 'id'], unique=False)

    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.add_column(sa.Column('place', sa.Integer(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('turn', sa.Integer(), nullable=False, server_default='0'))
        batch_op.drop_index('ix_jobs_queue')
        batch_op.create_index('ix_jobs_queue', ['state', 'place', 'turn', 'id'], unique=False)
    _place_jobs()


def _place_jobs() -> None:
    """All at normal priority; the pieces of each film take turns from its first on."""
    op.execute("UPDATE jobs SET rank = 35 WHERE rank = 50")  # storyboards
    op.execute("UPDATE jobs SET place = CASE WHEN rank < 20 THEN rank * 10 + 1 ELSE 2000 + rank END")
    op.execute(
        "UPDATE jobs SET turn = (SELECT count(*) FROM jobs AS earlier WHERE earlier.encode_id = jobs.encode_id "
        "AND earlier.rank = jobs.rank AND earlier.id < jobs.id) WHERE rank IN (40, 45)"
    )


def downgrade() -> None:
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index('ix_jobs_queue')
        batch_op.create_index('ix_jobs_queue', ['state', 'rank', 'id'], unique=False)
        batch_op.drop_column('turn')
        batch_op.drop_column('place')
    op.execute("UPDATE jobs SET rank = 50 WHERE rank = 35")

    with op.batch_alter_table('attempts', schema=None) as batch_op:
        batch_op.drop_index('ix_attempts_worker')
        batch_op.drop_constraint(batch_op.f('ck_attempts_verdict'), type_='check')
        batch_op.drop_column('verdict')

    with op.batch_alter_table('workers', schema=None) as batch_op:
        batch_op.drop_column('drain_requested_at')
        batch_op.drop_column('probes')
        batch_op.drop_column('probe_at')
        batch_op.drop_column('pause_reason')
        batch_op.drop_column('paused_at')

    with op.batch_alter_table('encodes', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_encodes_state'))
        batch_op.drop_column('paused_at')
        batch_op.drop_column('priority')
    op.drop_table('holds')
