"""Whether a database keeps what it commits, and lets us do what we must and no more: functions of a connection."""

from collections.abc import Callable, Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from antiphon.resource import Finding, Verdict
from antiphon.store import schema
from antiphon.store.tables import metadata

OLDEST = 14
"""The first version of PostgreSQL that we say works: https://www.postgresql.org/support/versioning/."""

_NEEDED = ("SELECT", "INSERT", "UPDATE", "DELETE")
_LOSES = "A job that was acknowledged must survive a power cut."
_SETTINGS = ("fsync", "full_page_writes", "synchronous_commit", "server_encoding", "default_transaction_read_only")
_POWERS = {
    "rolsuper": "SUPERUSER",
    "rolcreatedb": "CREATEDB",
    "rolcreaterole": "CREATEROLE",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
_VERSION_TABLE = "alembic_version"

_WHO = sa.text("SELECT current_user, current_database(), coalesce(current_schema(), 'public')")
_ROLE = sa.text(f"SELECT {', '.join(_POWERS)} FROM pg_roles WHERE rolname = current_user")  # noqa: S608 - our own names
_IN_RECOVERY = sa.select(sa.func.pg_is_in_recovery())


def sqlite(connection: Connection) -> list[Finding]:
    journal = connection.execute(sa.text("PRAGMA journal_mode")).scalar_one()
    kept = Finding(Verdict.OK, "every commit is synced")
    if journal != "wal":
        kept = Finding(
            Verdict.WARN,
            f"the journal is {journal!r}, so readers and the writer wait for one another",
            "Keep the file on a local disk: https://www.sqlite.org/wal.html asks for shared memory.",
        )
    return [_schema(connection), kept]


def postgresql(connection: Connection) -> list[Finding]:
    return [_schema(connection), _version(connection), *_keeping(connection), *_rights(connection)]


EXAMINATIONS: dict[str, Callable[[Connection], list[Finding]]] = {"sqlite": sqlite, "postgresql": postgresql}


def _schema(connection: Connection) -> Finding:
    found = schema.version(connection)
    if found == schema.HEAD:
        return Finding(Verdict.OK, f"schema {found}")
    return Finding(
        Verdict.FAIL, f"schema {found or 'none'}, and this program needs {schema.HEAD}", "Run `antiphon migrate`."
    )


def _version(connection: Connection) -> Finding:
    number = int(_show(connection, "server_version_num"))
    shown = f"PostgreSQL {number // 10_000}.{number % 10_000}"
    if number >= OLDEST * 10_000:
        return Finding(Verdict.OK, shown)
    return Finding(Verdict.FAIL, f"{shown} is too old", f"PostgreSQL {OLDEST} is the oldest that is supported.")


def _keeping(connection: Connection) -> Iterator[Finding]:
    """https://www.postgresql.org/docs/current/runtime-config-wal.html."""
    found = {name: _show(connection, name) for name in _SETTINGS}
    loses = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if found[name] == "off"]
    if loses:
        off = ", ".join(f"{name} = off" for name in loses)
        yield Finding(Verdict.FAIL, f"what is committed may be lost: {off}", f"{_LOSES} Set {' and '.join(loses)} on.")
    else:
        yield Finding(Verdict.OK, "every commit is synced")
    if found["server_encoding"] != "UTF8":
        yield Finding(
            Verdict.FAIL,
            f"the database's encoding is {found['server_encoding']}, which cannot hold every text",
            "Make one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0.",
        )
    if found["default_transaction_read_only"] == "on" or connection.execute(_IN_RECOVERY).scalar_one():
        yield Finding(Verdict.FAIL, "the database is read-only", "Give the address of the primary.")


def _rights(connection: Connection) -> Iterator[Finding]:
    quote = connection.dialect.identifier_preparer.quote
    role, database, place = map(quote, connection.execute(_WHO).one())
    tables = [table.name for table in metadata.sorted_tables]
    grants = (
        f"These suffice for all but `antiphon migrate`: GRANT CONNECT ON DATABASE {database} TO {role}; "
        f"GRANT USAGE ON SCHEMA {place} TO {role}; "
        f"GRANT {', '.join(_NEEDED)} ON {', '.join(tables)} TO {role}; GRANT SELECT ON {_VERSION_TABLE} TO {role}; "
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {place} TO {role};"
    )
    lacks = [*_lacking(connection, tables), *_lacking_sequences(connection)]
    if lacks:
        yield Finding(Verdict.FAIL, f"the role {role} may not {'; '.join(lacks)}", grants)
    else:
        yield Finding(Verdict.OK, f"the role {role} may read and write every table")
    powers = connection.execute(_ROLE).mappings().one()
    held = [power for column, power in _POWERS.items() if powers[column]]
    if held:
        yield Finding(Verdict.WARN, f"the role {role} has more rights than it needs: {', '.join(held)}", grants)


def _lacking(connection: Connection, tables: list[str]) -> Iterator[str]:
    for table in tables:
        lacks = [right for right in _NEEDED if not _may(connection, sa.func.has_table_privilege(table, right))]
        if lacks:
            yield f"{', '.join(lacks)} {table}"


def _lacking_sequences(connection: Connection) -> Iterator[str]:
    for table in metadata.sorted_tables:
        if table.autoincrement_column is None:
            continue
        sequence = sa.func.pg_get_serial_sequence(table.name, table.autoincrement_column.name)
        if not _may(connection, sa.func.has_sequence_privilege(sequence, "USAGE")):
            yield f"draw numbers for {table.name}"


def _may(connection: Connection, right: sa.ColumnElement[bool]) -> bool:
    return bool(connection.execute(sa.select(right)).scalar_one())


def _show(connection: Connection, setting: str) -> str:
    return str(connection.execute(sa.select(sa.func.current_setting(setting))).scalar_one())
