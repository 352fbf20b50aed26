"""A submission whose commit breaks off: the job and its recording are both there, or neither is."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import asyncpg
import pytest
from tests.proxy import Lose, Proxy, proxy

from antiphon.errors import InDoubt, Unavailable
from antiphon.jobs import DEFAULT_TENANT
from antiphon.pools import Pool
from antiphon.ports import Ports
from antiphon.store import schema
from antiphon.store.engine import open_database
from antiphon.store.sql import SqlStore
from antiphon_api import submission
from antiphon_api.settings import ApiSettings

BODY = (
    b'--a-boundary\r\nContent-Disposition: form-data; name="file"; filename="x.wav"\r\n\r\nsome audio\r\n'
    b"--a-boundary--\r\n"
)
TERMS = replace(ApiSettings().terms(), max_bytes=1000)
SLOW_COMMIT = """
CREATE FUNCTION hesitate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION hesitate();
"""

Blobs = Callable[[], list[str]]


@pytest.fixture
async def line(postgres_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    await schema.migrate(postgres_url)
    async with proxy(postgres_url) as found:
        yield found


@pytest.fixture
async def here(ports: Ports, line: tuple[Proxy, str]) -> AsyncIterator[Ports]:
    """The ports of every test, their store on a server behind the proxy."""
    async with SqlStore(open_database(line[1]), ports.events) as store:
        await store.put_pool(Pool())
        yield replace(ports, store=store)


async def submit(ports: Ports, key: str | None = None) -> submission.Submitted:
    async def body() -> AsyncIterator[bytes]:
        yield BODY

    origin = submission.Origin(DEFAULT_TENANT, b"a-boundary", idempotency_key=key)
    return await submission.submit(ports, origin, body(), TERMS)


@pytest.mark.parametrize("key", [None, "a key"])
@pytest.mark.parametrize("lose", Lose)
async def test_a_commit_that_broke_off_is_resolved_before_the_caller_is_answered(
    here: Ports, line: tuple[Proxy, str], blobs: Blobs, lose: Lose, key: str | None
) -> None:
    line[0].break_at(b"COMMIT;", lose)
    taken = await submit(here, key)
    assert taken.new
    assert await here.store.jobs(DEFAULT_TENANT, limit=9) == [taken.job]
    assert len(await here.store.take_outbox(9, lease=30)) == 1
    assert blobs() == [taken.job.source.key]


async def test_a_commit_that_is_still_under_way_is_waited_for(
    here: Ports, line: tuple[Proxy, str], blobs: Blobs, postgres_url: str
) -> None:
    """Who only looked would find no job, throw the recording away, and leave a job without one."""
    server = await asyncpg.connect(postgres_url)
    await server.execute(SLOW_COMMIT)
    await server.close()
    line[0].break_at(b"COMMIT;", Lose.ANSWER)
    taken = await submit(here)
    assert line[0].broke.is_set()
    assert await here.store.jobs(DEFAULT_TENANT, limit=9) == [taken.job]
    assert blobs() == [taken.job.source.key]


async def test_a_recording_stays_while_nobody_knows_whether_its_job_was_taken(
    here: Ports, line: tuple[Proxy, str], blobs: Blobs
) -> None:
    line[0].break_at(b"COMMIT;", Lose.ANSWER)
    line[0].refuse_new()
    with pytest.raises(InDoubt):
        await submit(here)
    line[0].mend()
    [job] = await here.store.jobs(DEFAULT_TENANT, limit=9)
    assert blobs() == [job.source.key]


async def test_a_server_that_goes_before_the_commit_leaves_no_recording(
    here: Ports, line: tuple[Proxy, str], blobs: Blobs
) -> None:
    line[0].break_at(b"the_event", Lose.REQUEST)  # the statement that writes
    line[0].refuse_new()
    with pytest.raises(Unavailable) as caught:
        await submit(here)
    assert not isinstance(caught.value, InDoubt)
    assert blobs() == []
