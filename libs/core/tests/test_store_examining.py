"""What `antiphon doctor` hears of the store: whether commits are kept, and whether the rights are the right ones."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa
from tests import servers
from tests.contract.stores import POLICY, Told, new_job

from antiphon import lifecycle
from antiphon.errors import Unavailable
from antiphon.jobs import Claim
from antiphon.messages import Message
from antiphon.pools import Pool
from antiphon.resource import Finding, Verdict
from antiphon.store import examining, schema
from antiphon.store.base import Store
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    await schema.migrate(postgres_url)
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


@pytest.fixture
async def plain(server: asyncpg.Connection, postgres_url: str) -> AsyncIterator[tuple[str, str]]:
    """A role that may do nothing yet, and the URL by which it comes."""
    name = f"plain-{postgres_url.rpartition('/')[2]}"
    role = f'"{name}"'
    await server.execute(f"CREATE ROLE {role} LOGIN")
    yield role, postgres_url.replace("antiphon@", f"{name}@")
    await server.execute(f"DROP OWNED BY {role}")
    await server.execute(f"DROP ROLE {role}")


async def findings(url: str) -> list[Finding]:
    async with SqlStore(open_database(url), Told()) as store:
        return await store.examine()


def told(found: list[Finding], verdict: Verdict) -> str:
    return "\n".join(f"{each.finding} {each.advice}" for each in found if each.verdict is verdict)


async def every_kind_of_work(store: Store) -> None:
    await store.put_pool(Pool("default", "tiny.en", frozenset({"cpu"})))
    await store.pause("default", paused=False)
    job = await store.accept(new_job(idempotency_key="k", fingerprint="f"))
    claim = partial(lifecycle.claim, message=Message.of(job), worker="w", lease=30.0, policy=POLICY)
    held = Claim.of(await store.change("default", job.id, claim))
    assert held is not None
    await store.change("default", job.id, partial(lifecycle.finish_leg, claim=held))
    await store.drop_outbox([row.id for row in await store.take_outbox(10, lease=30)])
    await store.change("default", job.id, lifecycle.delete)
    for tombstone in await store.tombstones(10, age=0):
        await store.sweep_tombstone(tombstone)
    assert await store.forget_tombstones(10, age=0) == 1


async def test_a_server_that_loses_commits_fails(postgres_url: str, server: asyncpg.Connection) -> None:
    assert "fsync = off" in told(await findings(postgres_url), Verdict.FAIL)  # as in all our tests
    await server.execute(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET synchronous_commit = off")
    assert "synchronous_commit = off" in told(await findings(postgres_url), Verdict.FAIL)


async def test_a_server_that_keeps_commits_is_well() -> None:
    with servers.postgres(fsync="on") as url:
        await schema.migrate(url)
        found = await findings(url)
    assert told(found, Verdict.FAIL) == ""
    well = told(found, Verdict.OK)
    assert f"schema {schema.HEAD}" in well
    assert "every commit is synced" in well
    assert re.search(r"PostgreSQL \d\d\.\d+ ", well)


async def test_a_role_with_more_power_than_it_needs_is_warned_of(postgres_url: str, server: asyncpg.Connection) -> None:
    assert "SUPERUSER, CREATEDB, CREATEROLE, REPLICATION, BYPASSRLS" in told(await findings(postgres_url), Verdict.WARN)


async def test_the_grants_that_are_told_suffice(plain: tuple[str, str], server: asyncpg.Connection) -> None:
    role, url = plain
    await server.execute(f"GRANT SELECT ON alembic_version, jobs TO {role}")
    lacking = told(await findings(url), Verdict.FAIL)
    assert "INSERT, UPDATE, DELETE jobs; " in lacking
    assert "SELECT, INSERT, UPDATE, DELETE outbox; " in lacking
    assert "draw numbers for outbox" in lacking
    async with SqlStore(open_database(url), Told()) as store:
        with pytest.raises(Unavailable, match="permission denied"):
            await store.accept(new_job())
    for grant in re.findall(r"GRANT [^;]*;", lacking):
        await server.execute(grant)
    after = await findings(url)
    assert "GRANT" not in told(after, Verdict.FAIL)
    assert told(after, Verdict.WARN) == ""
    async with SqlStore(open_database(url), Told()) as store:
        await every_kind_of_work(store)


async def test_a_read_only_server_fails(postgres_url: str, server: asyncpg.Connection) -> None:
    await server.execute(f"ALTER DATABASE {postgres_url.rpartition('/')[2]} SET default_transaction_read_only = on")
    assert "read-only" in told(await findings(postgres_url), Verdict.FAIL)


async def test_an_encoding_that_cannot_hold_every_text_fails(postgres_server: str) -> None:
    head, _, _ = postgres_server.rpartition("/")
    connection = await asyncpg.connect(postgres_server)
    try:
        await connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        await schema.migrate(f"{head}/latin")
        assert "LATIN1" in told(await findings(f"{head}/latin"), Verdict.FAIL)
    finally:
        await connection.execute("DROP DATABASE IF EXISTS latin WITH (FORCE)")
        await connection.close()


async def test_a_server_that_is_too_old_fails(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await schema.migrate(postgres_url)
    monkeypatch.setattr(examining, "OLDEST", 99)
    assert "too old" in told(await findings(postgres_url), Verdict.FAIL)


async def test_a_file_is_well_unless_its_journal_is_another(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await schema.migrate(f"sqlite:///{path}")
    found = await findings(f"sqlite:///{path}")
    assert {each.verdict for each in found} == {Verdict.OK}
    assert f"schema {schema.HEAD}" in told(found, Verdict.OK)
    with sa.create_engine("sqlite://").connect() as connection:  # in memory, where there can be no such journal
        assert "'memory'" in told(examining.sqlite(connection), Verdict.WARN)


async def test_a_schema_of_another_version_fails(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await schema.migrate(f"sqlite:///{path}")
    async with SqlStore(open_database(f"sqlite:///{path}"), Told()) as store:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = '0000'")
        assert "antiphon migrate" in told(await store.examine(), Verdict.FAIL)
