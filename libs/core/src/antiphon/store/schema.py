"""The schema's version: brought up to date by `migrate`, required by `Store.open`."""

from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from antiphon.errors import SchemaOutdated
from antiphon.store.engine import open_database
from antiphon.store.sqlite import SqliteDatabase

HEAD = "0002"
"""The newest migration; a test compares it with the scripts. Kept here so that a start need not load Alembic."""

_MIGRATION = 0x616E7469
"""The advisory lock of PostgreSQL that a migration holds."""

MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(url: str, *, to: str = HEAD) -> None:
    """Bring the database at `url` up, or down, to the revision `to`; a SQLite file is made if there is none.

    Raises Unavailable, SettingsError.
    """
    database = open_database(url, patient=True)
    try:
        if isinstance(database, SqliteDatabase):
            database.path.parent.mkdir(parents=True, exist_ok=True)
        await database.write(partial(_run_alembic, to=to))
    finally:
        await database.close()


def require_current(connection: Connection) -> None:
    """Raises SchemaOutdated unless the database is at HEAD."""
    found = version(connection)
    if found != HEAD:
        raise SchemaOutdated(
            f"the store is at schema version {found or 'none'} and this program needs {HEAD}; run `antiphon migrate`"
        )


def _run_alembic(connection: Connection, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":  # several programs may start at once; SQLite has one writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION)))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    if to == "base" or to < (version(connection) or ""):
        command.downgrade(config, to)
    else:
        command.upgrade(config, to)


def version(connection: Connection) -> str | None:
    """The schema version that the database is at; None if it was never migrated."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return found
