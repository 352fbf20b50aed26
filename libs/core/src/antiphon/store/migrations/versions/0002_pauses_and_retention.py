"""Pools can be paused; jobs are kept for a time once they have ended, and longer under a legal hold.

What was there before is kept for 30 days from its end. Programs of the version before go on working on these tables:
every new column has a default, or may be empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("pools", sa.Column("paused", sa.Boolean(), server_default=sa.false(), nullable=False))

    op.add_column("jobs", sa.Column("retention", sa.Float(53), server_default="2592000", nullable=False))
    op.add_column("jobs", sa.Column("legal_hold", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("jobs", sa.Column("erase_at", sa.Float(53), _computed("finished_at + retention"), nullable=True))
    op.create_index(
        "ix_jobs_erase",
        "jobs",
        ["erase_at"],
        sqlite_where=sa.text("erase_at IS NOT NULL AND legal_hold = 0"),
        postgresql_where=sa.text("erase_at IS NOT NULL AND NOT legal_hold"),
    )

    op.add_column("tombstones", sa.Column("prefix", sa.String(500), nullable=True))
    op.add_column("tombstones", sa.Column("retention_over", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index("ix_tombstones_sweep", "tombstones", ["swept", "deleted_at"])


def downgrade() -> None:
    op.drop_index("ix_tombstones_sweep", "tombstones")
    op.drop_column("tombstones", "retention_over")
    op.drop_column("tombstones", "prefix")
    op.drop_index("ix_jobs_erase", "jobs")
    for column in ("erase_at", "legal_hold", "retention"):
        op.drop_column("jobs", column)
    op.drop_column("pools", "paused")


def _computed(expression: str) -> sa.Computed:
    """SQLite can add a column only if it is computed when read, PostgreSQL index it only if it is stored.

    https://www.sqlite.org/gencol.html, https://www.postgresql.org/docs/current/ddl-generated-columns.html
    """
    return sa.Computed(expression, persisted=op.get_bind().dialect.name == "postgresql")
