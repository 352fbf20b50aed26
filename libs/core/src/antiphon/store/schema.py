"""The schema's version: brought up to date by `migrate`, required by `Store.open`."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from antiphon.errors import SchemaOutdated
from antiphon.store.engine import open_engine

HEAD = "0001"
"""The newest migration; a test compares it with the scripts. Kept here so that a start need not load Alembic."""

MIGRATIONS = Path(__file__).parent / "migrations"


async def migrate(url: str, *, to: str = HEAD) -> None:
    """Bring the database at `url` up, or down, to the revision `to`; a SQLite file is made if there is none.

    Raises Unavailable, SettingsError.
    """
    engine = open_engine(url)
    try:
        if engine.url.database is not None and engine.dialect.name == "sqlite":
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        async with engine.begin() as connection:
            await connection.run_sync(_run_alembic, to)
    finally:
        await engine.dispose()


async def require_current(connection: AsyncConnection) -> None:
    """Raises SchemaOutdated unless the database is at HEAD."""
    try:
        found = (await connection.execute(sa.text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except (OperationalError, ProgrammingError):
        found = None
    if found != HEAD:
        raise SchemaOutdated(
            f"the store is at schema version {found or 'none'} and this program needs {HEAD}; run `antiphon migrate`"
        )


def _run_alembic(connection: Connection, to: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    attributes: dict[str, Any] = config.attributes
    attributes["connection"] = connection
    if to == "base" or to < (_version(connection) or ""):
        command.downgrade(config, to)
    else:
        command.upgrade(config, to)


def _version(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return version
