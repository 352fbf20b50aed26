"""The tables, as every migration together leaves them; a test compares the two."""

import sqlalchemy as sa

from antiphon.retention import STANDARD_SECONDS

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

_ID = sa.String(36)
_NAME = sa.String(200)
_TIME = sa.Float(53)
"""Seconds since the epoch on the database's clock."""

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("tenant", _NAME, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("pool", _NAME, nullable=False),
    sa.Column("source", sa.JSON, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("legs", sa.JSON, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("traceparent", sa.String(100)),
    sa.Column("idempotency_key", sa.String(255)),
    sa.Column("fingerprint", sa.String(64)),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("expires_at", _TIME),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("leg", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("lease_worker", _NAME),
    sa.Column("lease_until", _TIME),
    sa.Column("due_at", _TIME, nullable=False),
    sa.Column("resent_at", _TIME),
    sa.Column("stage", _NAME),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("audio_seconds", sa.Float),
    sa.Column("events", sa.Integer, nullable=False),
    sa.Column("started_at", _TIME),
    sa.Column("finished_at", _TIME),
    sa.Column("failure_code", _NAME),
    sa.Column("failure_message", sa.Text),
    sa.Column("dead_letter", sa.Boolean, nullable=False),
    sa.Column("retention", _TIME, nullable=False, server_default=str(STANDARD_SECONDS)),
    sa.Column("legal_hold", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("erase_at", _TIME, sa.Computed("finished_at + retention")),
    sa.Index("ix_jobs_page", "tenant", "id"),  # Store.jobs: newest first, a page at a time
    sa.Index("ix_jobs_page_state", "tenant", "state", "id"),  # the same, filtered by state
    sa.Index("ix_jobs_waiting", "state", "pool", "priority", "id"),  # Store.position, backlog, census
    sa.Index("ix_jobs_finished", "pool", "state", "finished_at"),  # Store.backlog: the rate of late
    sa.Index(  # Store.expired
        "ix_jobs_expiry",
        "expires_at",
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    ),
    sa.Index(  # Store.erase_due
        "ix_jobs_erase",
        "erase_at",
        sqlite_where=sa.text("erase_at IS NOT NULL AND legal_hold = 0"),
        postgresql_where=sa.text("erase_at IS NOT NULL AND NOT legal_hold"),
    ),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("job", _ID, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("at", _TIME, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("stage", _NAME),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("audio_seconds", sa.Float),
    sa.Column("started_at", _TIME),
    sa.Column("finished_at", _TIME),
    sa.Column("failure_code", _NAME),
    sa.Column("failure_message", sa.Text),
)

artifacts = sa.Table(
    "artifacts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job", _ID, nullable=False),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("stage", _NAME, nullable=False),
    sa.Column("media_type", sa.String(100), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("key", sa.String(500), nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
    sa.Index("ix_artifacts_job", "job"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("job", _ID, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("leased_until", _TIME, nullable=False),
    sa.Index("ix_outbox_job", "job"),  # census: whose message is still here
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("tenant", _NAME, primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("job", _ID, nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
)

tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("job", _ID, primary_key=True),
    sa.Column("tenant", _NAME, nullable=False),
    sa.Column("deleted_at", _TIME, nullable=False),
    sa.Column("swept", sa.Boolean, nullable=False),
    sa.Column("prefix", sa.String(500)),  # NULL where a program before 0002 has erased the job
    sa.Column("retention_over", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_tombstones_sweep", "swept", "deleted_at"),  # Store.tombstones, forget_tombstones
)

pools = sa.Table(
    "pools",
    metadata,
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("model", _NAME, nullable=False),
    sa.Column("lanes", sa.JSON, nullable=False),
    sa.Column("concurrency", sa.Integer, nullable=False),
    sa.Column("target_wait", sa.Float, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False, server_default=sa.false()),
)
