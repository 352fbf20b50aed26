"""What the store on PostgreSQL promises when the server, or the way there, fails: nothing acknowledged is lost.

The server is real; a proxy before it breaks where a network breaks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from functools import partial

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.contract.stores import POLICY, Told, new_job
from tests.proxy import Lose, Proxy, proxy

from antiphon import lifecycle
from antiphon.errors import FenceLost, InDoubt, SettingsError, Unavailable
from antiphon.jobs import Claim, Job, State
from antiphon.lifecycle import Change
from antiphon.messages import Message
from antiphon.store import postgresql, schema
from antiphon.store.base import Store
from antiphon.store.engine import Database, open_database
from antiphon.store.sql import SqlStore
from antiphon.store.tables import jobs

LONG = 60.0

Line = tuple[Proxy, str]


@pytest.fixture
async def line(postgres_url: str) -> AsyncIterator[Line]:
    await schema.migrate(postgres_url)
    async with proxy(postgres_url) as found:
        yield found


@pytest.fixture
async def store(line: Line) -> AsyncIterator[SqlStore]:
    """A store behind the proxy, on the server's own clock."""
    async with SqlStore(open_database(line[1]), Told()) as store:
        yield store


@pytest.fixture
async def server(postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    """An administrator's connection, past the proxy."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def end_sessions(server: asyncpg.Connection) -> None:
    """End every session of the store, as a restart of the server does."""
    await server.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = $1",
        postgresql._NAME,
    )


def claiming(job: Job) -> Callable[[Job, float], Change]:
    return partial(lifecycle.claim, message=Message.of(job), worker="w", lease=30.0, policy=POLICY)


def raising(code: str) -> sa.TextClause:
    return sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'told to fail' USING ERRCODE = '{code}'; END $$")


async def test_a_connection_that_is_cut_during_a_change_costs_another_attempt_and_nothing_else(
    store: Store, line: Line
) -> None:
    job = await store.accept(new_job())
    asked: list[float] = []

    def decide(job: Job, now: float) -> Change:
        asked.append(now)
        if len(asked) == 1:
            line[0].cut()
        return lifecycle.cancel(job, now)

    assert (await store.change("default", job.id, decide)).state is State.CANCELLED
    assert len(asked) == 2
    assert [event.number for event in await store.events("default", job.id)] == [1, 2]


async def test_sessions_that_the_server_ended_are_replaced_unnoticed(store: Store, server: asyncpg.Connection) -> None:
    made = await asyncio.gather(*(store.accept(new_job()) for _ in range(8)))
    await end_sessions(server)
    assert await store.job("default", made[0].id) == made[0]
    await end_sessions(server)
    await asyncio.gather(*(store.change("default", job.id, lifecycle.cancel) for job in made))


@pytest.mark.parametrize("lose", Lose)
async def test_a_job_whose_commit_broke_off_is_accepted_all_the_same_and_once(
    store: Store, line: Line, lose: Lose
) -> None:
    wanted = new_job()
    line[0].break_at(b"COMMIT;", lose)
    job = await store.accept(wanted)
    assert line[0].broke.is_set()
    assert job.id == wanted.id
    assert await store.jobs("default", limit=9) == [job]
    assert [event.number for event in await store.events("default", job.id)] == [1]
    [row] = await store.take_outbox(10, lease=30)
    assert row.message == Message.of(job)
    async with asyncio.timeout(LONG / 2):
        await store.wait_for_outbox(LONG)  # the relay of this process is told


@pytest.mark.parametrize("lose", Lose)
async def test_a_job_of_which_nobody_knows_whether_it_was_accepted_is_in_doubt(
    store: Store, line: Line, lose: Lose
) -> None:
    job = new_job()
    line[0].break_at(b"COMMIT;", lose)
    line[0].refuse_new()
    with pytest.raises(InDoubt):
        await store.accept(job)
    await line[0].broke.wait()
    line[0].mend()
    assert len(await store.jobs("default", limit=9)) == len(await store.take_outbox(9, lease=30))


async def test_a_change_whose_commit_never_reached_the_server_has_not_happened(store: Store, line: Line) -> None:
    job = await store.accept(new_job())
    line[0].break_at(b"COMMIT;", Lose.REQUEST)
    with pytest.raises(InDoubt):
        await store.change("default", job.id, lifecycle.cancel)
    assert await store.job("default", job.id) == job


async def test_an_end_whose_answer_was_lost_is_not_entered_twice(store: Store, line: Line) -> None:
    job = await store.accept(new_job())
    claim = Claim.of(await store.change("default", job.id, claiming(job)))
    assert claim is not None
    line[0].break_at(b"COMMIT;", Lose.ANSWER)
    with pytest.raises(InDoubt):
        await store.change("default", job.id, partial(lifecycle.finish_leg, claim=claim))
    await line[0].broke.wait()
    with pytest.raises(FenceLost):  # which has the worker look, and find the job at its end
        await store.change("default", job.id, partial(lifecycle.finish_leg, claim=claim))
    assert [event.state for event in await store.events("default", job.id)][-2:] == [State.RUNNING, State.SUCCEEDED]


async def test_a_server_that_is_gone_is_said_to_be_without_its_password(store: Store, line: Line) -> None:
    line[0].refuse()
    for call in (store.ping(), store.accept(new_job()), store.jobs("default", limit=1)):
        with pytest.raises(Unavailable, match="PostgreSQL at 127"):
            await call
    line[0].mend()
    await store.ping()
    with pytest.raises(Unavailable) as caught:
        await open_database("postgresql://me:sesame@127.0.0.1:1/store").read(lambda _: None)
    assert "sesame" not in str(caught.value)


async def test_a_silent_server_is_given_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("antiphon.postgresql.CONNECT_SECONDS", 0.3)
    async with SqlStore(open_database(line[1]), Told()) as store:
        job = await store.accept(new_job())
        line[0].freeze()
        async with asyncio.timeout(LONG / 2):
            calls = (store.job("default", job.id), store.change("default", job.id, lifecycle.cancel))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        line[0].mend()
        assert (await store.change("default", job.id, lifecycle.cancel)).state is State.CANCELLED


async def test_a_silent_server_is_not_waited_for_when_connecting(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.postgresql.CONNECT_SECONDS", 0.3)
    line[0].freeze()
    with pytest.raises(Unavailable, match="in time"):
        async with asyncio.timeout(LONG / 2):
            await SqlStore(open_database(line[1]), Told()).ping()


async def test_a_lock_that_is_not_let_go_is_given_up(
    line: Line, server: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "LOCK_SECONDS", 0.2)
    async with SqlStore(open_database(line[1]), Told()) as store:
        job = await store.accept(new_job())
        async with server.transaction():
            await server.execute("SELECT id FROM jobs FOR UPDATE")
            with pytest.raises(Unavailable, match="lock timeout"):
                await store.change("default", job.id, lifecycle.cancel)
        assert (await store.change("default", job.id, lifecycle.cancel)).state is State.CANCELLED


async def test_a_statement_that_does_not_end_is_given_up(line: Line) -> None:
    database = postgresql.PostgresqlDatabase(line[1], statement_seconds=0.2)
    with pytest.raises(Unavailable, match="statement timeout"):
        await database.read(lambda connection: connection.execute(sa.select(sa.func.pg_sleep(LONG))))
    await database.close()


async def test_a_change_that_falls_silent_lets_go_of_its_locks(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a program that was frozen, whose connection nobody has closed."""
    monkeypatch.setattr(postgresql, "IDLE_SECONDS", 0.2)
    database = open_database(line[1])
    runs = 0

    def fall_silent(connection: Connection) -> int:
        nonlocal runs
        runs += 1
        connection.execute(sa.select(sa.literal(1)))
        if runs == 1:
            sa.util.await_only(asyncio.sleep(0.5))
        return int(connection.execute(sa.select(sa.literal(2))).scalar_one())

    assert await database.write(fall_silent) == 2
    assert runs == 2
    await database.close()


async def test_connections_are_replaced_before_anybody_forgets_them(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "CONNECTION_SECONDS", 0.05)
    database = open_database(line[1])
    session = sa.select(sa.func.pg_backend_pid())
    first = await database.read(lambda connection: connection.execute(session).scalar_one())
    await asyncio.sleep(0.1)
    assert await database.read(lambda connection: connection.execute(session).scalar_one()) != first
    await database.close()


async def test_a_migration_may_take_its_time(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(postgresql, "STATEMENT_SECONDS", 0.1)
    database = open_database(line[1], patient=True)
    await database.write(lambda connection: connection.execute(sa.select(sa.func.pg_sleep(0.3))))
    await database.close()


async def test_the_time_is_read_once_the_job_is_ours(store: Store, server: asyncpg.Connection) -> None:
    """Otherwise a claim that waited for its job would think a lease still running, or end one of its own too soon."""
    job = await store.accept(new_job())
    assert abs(job.created_at - time.time()) < LONG
    told: list[float] = []

    def decide(job: Job, now: float) -> Change:
        told.append(now)
        return lifecycle.cancel(job, now)

    transaction = server.transaction()
    await transaction.start()
    await server.execute("SELECT id FROM jobs FOR UPDATE")  # locked, but not changed
    changing = asyncio.create_task(store.change("default", job.id, decide))
    await server.fetchval(
        "SELECT pg_sleep(0.3)"
    )  # the change has begun to wait long since; if not, the test proves less
    released = await server.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    await transaction.rollback()
    await changing
    assert told[0] >= released


async def test_a_deadlock_is_resolved_by_running_one_of_the_two_again(line: Line, server: asyncpg.Connection) -> None:
    await server.execute(f"ALTER DATABASE {line[1].rpartition('/')[2]} SET deadlock_timeout = '50ms'")
    database = open_database(line[1])
    store = SqlStore(database, Told())
    first, second = [(await store.accept(new_job())).id for _ in range(2)]
    ready = asyncio.Barrier(2)
    runs: list[str] = []

    async def both(one: str, other: str) -> None:
        def lock(connection: Connection) -> None:
            runs.append(one)
            for job in (one, other):
                connection.execute(sa.update(jobs).where(jobs.c.id == job).values(progress=jobs.c.progress + 1))
                if len(runs) <= 2 and job == one:
                    sa.util.await_only(ready.wait())  # each holds its first by now

        await database.write(lock)

    async with asyncio.timeout(LONG / 2):
        await asyncio.gather(both(first, second), both(second, first))
    assert len(runs) >= 3  # on a busy machine the two may meet once more
    assert [(await store.job("default", job)).progress for job in (first, second)] == [2.0, 2.0]
    await store.close()


async def test_a_serialization_failure_runs_the_work_again_and_not_for_ever(line: Line) -> None:
    database = open_database(line[1])
    runs = 0

    def once(connection: Connection) -> str:
        nonlocal runs
        runs += 1
        if runs == 1:
            connection.execute(raising("40001"))
        return "done"

    assert await database.write(once) == "done"
    assert runs == 2
    with pytest.raises(Unavailable, match="told to fail"):
        await database.write(lambda connection: connection.execute(raising("40001")))
    await database.close()


@pytest.mark.parametrize("code", ["53100", "53200", "57P03", "58030", "55P03", "42501"])
async def test_a_server_that_cannot_do_its_work_is_unavailable(line: Line, code: str) -> None:
    """A full disk, no memory, starting up, an I/O error, a lock that is held, a right that is missing."""
    database = open_database(line[1])
    with pytest.raises(Unavailable, match="told to fail"):
        await database.write(lambda connection: connection.execute(raising(code)))
    with pytest.raises(Unavailable, match="told to fail"):
        await database.read(lambda connection: connection.execute(raising(code)))
    await database.close()


async def test_a_mistake_of_ours_is_no_unavailability(line: Line) -> None:
    database = open_database(line[1])
    for mistake in (raising("23505"), sa.text("SELECT 1 FROM nowhere"), sa.text("SELECT 1/0")):
        with pytest.raises(sa.exc.DBAPIError):
            await database.write(lambda connection, mistake=mistake: connection.execute(mistake))  # type: ignore[misc]
    await database.close()


async def test_a_server_that_has_become_read_only_is_left_for_the_new_primary(
    line: Line, server: asyncpg.Connection
) -> None:
    name = line[1].rpartition("/")[2]
    await server.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with SqlStore(open_database(line[1]), Told()) as store:
        with pytest.raises(Unavailable, match="read-only"):
            await store.accept(new_job())
        await server.execute("SET default_transaction_read_only = off")
        await server.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await store.accept(new_job())  # over a new connection: the old one would still be read-only


async def test_too_many_connections_are_unavailability(line: Line, server: asyncpg.Connection) -> None:
    name = line[1].rpartition("/")[2]
    role = f"crowd_{name}"
    await server.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 1")
    try:
        database = open_database(line[1].replace("antiphon@", f"{role}@"))
        sleep = sa.select(sa.func.pg_sleep(0.3))
        outcomes = await asyncio.gather(
            *(database.read(lambda connection: connection.execute(sleep)) for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(outcome, Unavailable) for outcome in outcomes) == 2
        assert "too many connections" in str(next(o for o in outcomes if isinstance(o, Unavailable)))
        await database.close()
    finally:
        await server.execute(f"DROP ROLE {role}")


async def test_more_work_than_connections_waits_its_turn_and_not_for_ever(
    store: Store, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*(store.accept(new_job()) for _ in range(60)))
    assert line[0].made <= postgresql.CONNECTIONS
    monkeypatch.setattr(postgresql, "TURN_SECONDS", 0.1)
    monkeypatch.setattr(postgresql, "CONNECTIONS", 1)
    database = open_database(line[1])
    slow = asyncio.create_task(database.read(lambda connection: connection.execute(sa.select(sa.func.pg_sleep(1)))))
    await asyncio.sleep(0)  # it has the only connection, or is about to open it
    with pytest.raises(Unavailable, match="busy"):
        await database.read(lambda connection: connection.execute(sa.select(1)))
    await slow
    await database.close()


async def test_tables_that_a_migration_has_changed_meanwhile_are_prepared_for_anew(
    store: Store, server: asyncpg.Connection
) -> None:
    job = await store.accept(new_job())
    await store.job("default", job.id)
    await server.execute("ALTER TABLE jobs ALTER COLUMN traceparent TYPE varchar(300)")
    assert await store.job("default", job.id) == job
    await server.execute("ALTER TABLE jobs ALTER COLUMN traceparent TYPE varchar(400)")
    assert (await store.change("default", job.id, lifecycle.cancel)).state is State.CANCELLED


async def test_a_cancelled_change_is_not_made_and_leaves_the_connection_well(
    store: Store, server: asyncpg.Connection
) -> None:
    job = await store.accept(new_job())
    async with server.transaction():
        await server.execute("SELECT id FROM jobs FOR UPDATE")
        changing = asyncio.create_task(store.change("default", job.id, lifecycle.cancel))
        await asyncio.sleep(0.1)
        changing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await changing
    assert (await store.job("default", job.id)).state is State.QUEUED
    assert (await store.change("default", job.id, lifecycle.cancel)).state is State.CANCELLED


async def test_a_relay_does_not_wait_for_the_rows_that_another_is_taking(
    store: Store, server: asyncpg.Connection
) -> None:
    made = [await store.accept(new_job()) for _ in range(3)]
    async with server.transaction():
        await server.execute("SELECT id FROM outbox ORDER BY id LIMIT 2 FOR UPDATE")
        async with asyncio.timeout(LONG / 2):
            [row] = await store.take_outbox(10, lease=30)
    assert row.message.job == made[2].id


async def test_a_one_leg_job_takes_three_transactions_and_few_round_trips(line: Line) -> None:
    database = open_database(line[1])
    async with SqlStore(database, Told()) as store:

        async def run() -> tuple[int, int]:
            commits, requests = database.commits, line[0].requests
            job = await store.accept(new_job())
            claim = Claim.of(await store.change("default", job.id, claiming(job)))
            assert claim is not None
            await store.change("default", job.id, partial(lifecycle.finish_leg, claim=claim))
            return database.commits - commits, line[0].requests - requests

        await run()  # which prepares the statements
        commits, requests = await run()
    assert commits == 3
    assert requests <= 12  # begin, lock or ask the time, write, commit


async def test_reading_a_job_is_one_round_trip(store: Store, line: Line) -> None:
    job = await store.accept(new_job())
    await store.job("default", job.id)
    before = line[0].requests
    await store.job("default", job.id)
    assert line[0].requests == before + 1


@pytest.mark.parametrize("url", ["postgresql://me:se/same@host/name", "postgresql:same", "postgres://a@se@same/x"])
def test_an_address_that_cannot_be_read_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError, match=r"ANTIPHON_STORE_URL .*%40") as caught:
        open_database(url)
    assert "same" not in str(caught.value)


async def test_the_parameters_of_libpq_are_understood(postgres_url: str) -> None:
    for parameters in ("sslmode=disable", "sslmode=prefer&target_session_attrs=read-write"):
        database: Database = open_database(f"{postgres_url}?{parameters}")
        await database.read(lambda connection: connection.execute(sa.select(1)))
        await database.close()
    database = open_database(f"{postgres_url}?sslmode=require")
    with pytest.raises(Unavailable, match="SSL"):
        await database.read(lambda connection: connection.execute(sa.select(1)))
    await database.close()
