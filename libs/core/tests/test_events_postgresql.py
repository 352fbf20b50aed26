"""What wake-ups through LISTEN and NOTIFY promise beyond the port: they outlive their connection, and coalesce."""

import asyncio
import string
from collections.abc import AsyncIterator
from random import Random

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.proxy import Proxy, proxy

from antiphon.errors import SettingsError, Unavailable
from antiphon.events import open_events, postgresql
from antiphon.events.postgresql import CHANNEL, PostgresqlEvents
from antiphon.resource import Verdict

LONG = 60.0


@pytest.fixture(autouse=True)
def _quick_to_reconnect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "BACKOFF", 0.05)


@pytest.fixture
async def wire(postgres_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    async with proxy(postgres_url) as found:
        yield found


async def sessions(url: str) -> list[asyncpg.Record]:
    """The sessions of wake-ups on the server."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(  # type: ignore[no-any-return]
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            postgresql._NAME,
        )
    finally:
        await connection.close()


async def test_a_lost_connection_is_made_anew_and_wakes_whoever_listens(wire: tuple[Proxy, str]) -> None:
    line, url = wire
    async with PostgresqlEvents(url) as events, events.listen("one") as one, events.listen("two") as two:
        line.cut()
        assert await one.wait(LONG)
        assert await two.wait(LONG)
        await events.ping()


async def test_after_a_lost_connection_notifications_of_others_arrive_again(
    wire: tuple[Proxy, str], postgres_url: str
) -> None:
    line, url = wire
    async with (
        PostgresqlEvents(url) as events,
        PostgresqlEvents(postgres_url) as other,
        events.listen("job") as listener,
    ):
        line.cut()
        assert await listener.wait(LONG)
        await other.notify(["job"])
        assert await listener.wait(LONG)


async def test_what_could_not_be_told_is_told_once_the_server_is_back(
    wire: tuple[Proxy, str], postgres_url: str
) -> None:
    line, url = wire
    async with (
        PostgresqlEvents(url) as events,
        PostgresqlEvents(postgres_url) as other,
        other.listen("job") as listener,
    ):
        line.refuse()
        await events.notify(["job"])
        assert not await listener.wait(0.2)
        with pytest.raises(Unavailable):
            await events.ping()
        line.mend()
        assert await listener.wait(LONG)


async def test_a_server_that_is_away_costs_a_notifier_nothing_and_wakes_its_own_process(
    wire: tuple[Proxy, str],
) -> None:
    line, url = wire
    async with PostgresqlEvents(url) as events, events.listen("job") as listener:
        line.refuse()
        async with asyncio.timeout(LONG / 2):
            for number in range(1000):
                await events.notify(["job", f"job-{number}"])
        assert await listener.wait(LONG)


class Patience(Random):
    """Notes how long it might wait, and does not."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds: list[float] = []
        self.enough = asyncio.Event()

    def uniform(self, a: float, b: float) -> float:
        self.bounds.append(b)
        if len(self.bounds) == 6:
            self.enough.set()
        return a


async def test_a_server_that_stays_away_is_asked_less_and_less_often(
    wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, url = wire
    monkeypatch.setattr(postgresql, "BACKOFF", 1.0)
    patience = Patience()
    async with PostgresqlEvents(url, patience) as events, events.listen("job") as listener:
        line.refuse()
        await asyncio.wait_for(patience.enough.wait(), LONG / 2)
        line.mend()
        assert await listener.wait(LONG)
        await events.ping()
    assert patience.bounds[:6] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


async def test_a_connection_that_died_silently_is_found_out(
    wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, url = wire
    monkeypatch.setattr(postgresql, "LOOK", 0.1)
    async with PostgresqlEvents(url) as events, events.listen("job") as listener:
        await asyncio.gather(events.ping(), events.ping())  # by the second nothing is under way any more
        monkeypatch.setattr(postgresql, "HEARING", 0.3)
        line.freeze()
        line.connected.clear()
        await asyncio.wait_for(line.connected.wait(), LONG / 2)
        line.mend()
        assert await listener.wait(LONG)
        await events.ping()


async def test_more_than_can_be_kept_wakes_everybody(
    wire: tuple[Proxy, str], postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, url = wire
    monkeypatch.setattr(postgresql, "MOST_UNTOLD", 10)
    async with (
        PostgresqlEvents(url) as events,
        PostgresqlEvents(postgres_url) as other,
        other.listen("some job that nobody named") as listener,
    ):
        line.refuse()
        await events.notify([f"job-{number}" for number in range(11)])
        assert len(events._untold) == 1
        line.mend()
        assert await listener.wait(LONG)


async def test_topics_that_gather_go_in_one_statement(postgres_url: str) -> None:
    """Each statement is a transaction, whose number NOTIFY makes the server draw."""
    watcher = await asyncpg.connect(postgres_url)
    heard: list[str] = []
    arrived = asyncio.Event()

    def hear(_connection: object, _process: int, _channel: str, payload: str) -> None:
        heard.append(payload)
        if payload == "last":
            arrived.set()

    try:
        await watcher.add_listener(CHANNEL, hear)
        async with PostgresqlEvents(postgres_url) as events:
            await events.ping()
            before = await watcher.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            await asyncio.gather(*(events.notify([f"job-{number}", "same"]) for number in range(200)))
            await events.notify(["last"])
            await asyncio.wait_for(arrived.wait(), LONG / 2)
            after = await watcher.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    finally:
        await watcher.close()
    assert sorted(payload for payload in heard if not payload.startswith("probe:")) == sorted(
        {"same", "last", *(f"job-{number}" for number in range(200))}
    )
    assert after - before <= 5


async def test_notifications_do_not_wait_for_the_disk(postgres_url: str) -> None:
    async with PostgresqlEvents(postgres_url) as events, events._turn:
        assert await events._connection.fetchval("SHOW synchronous_commit") == "off"


async def test_what_is_untold_at_the_end_is_told_before_the_connection_goes(postgres_url: str) -> None:
    async with PostgresqlEvents(postgres_url) as other, other.listen("job") as listener:
        async with PostgresqlEvents(postgres_url) as events:
            await events.notify(["job"])
        assert await listener.wait(LONG)
        assert len(await sessions(postgres_url)) == 1


async def test_closing_does_not_wait_long_for_a_server_that_is_silent(
    wire: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line, url = wire
    async with asyncio.timeout(LONG / 2), PostgresqlEvents(url) as events:
        monkeypatch.setattr(postgresql, "HEARING", 0.2)
        line.freeze()
        await events.notify(["job"])


async def test_one_process_has_one_connection(postgres_url: str) -> None:
    async with PostgresqlEvents(postgres_url) as events, events.listen("one"), events.listen("two"):
        await events.notify(["one", "two", "three"])
        assert len(await sessions(postgres_url)) == 1


async def test_a_topic_of_any_length_and_any_letters_arrives(postgres_url: str) -> None:
    topics = ["", "x" * 500, "x" * 501, "x" * 20_000, "\0", "ÄÖ", "\ud800", "sha256:" + "0" * 64]
    async with PostgresqlEvents(postgres_url) as events, PostgresqlEvents(postgres_url) as other:
        for topic in topics:
            async with events.listen(topic) as listener, events.listen("something else") as unmoved:
                await other.notify([topic])
                assert await listener.wait(LONG), topic
                assert not await unmoved.wait(0.0), topic


@given(st.lists(st.text(st.characters() | st.sampled_from(string.ascii_letters)), min_size=2, max_size=2, unique=True))
def test_two_topics_have_two_payloads_that_the_server_takes(topics: list[str]) -> None:
    one, two = (postgresql._payload(topic) for topic in topics)
    assert one != two
    assert all(0 < len(payload.encode()) < 8000 and "\0" not in payload for payload in (one, two))


async def test_an_address_where_notifications_get_lost_is_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a pooler that gives every transaction another session; a deaf one stands in for it."""
    monkeypatch.setattr(postgresql, "HEARING", 0.3)
    monkeypatch.setattr(PostgresqlEvents, "_heard", lambda *_: None)
    with pytest.raises(SettingsError, match="pooler"):
        async with PostgresqlEvents(postgres_url):
            pytest.fail("opened")
    assert await sessions(postgres_url) == []


async def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/store") as caught:
        async with open_events("postgresql://me:open%20sesame@127.0.0.1:1/store"):
            pytest.fail("opened")
    assert "sesame" not in str(caught.value)


async def test_a_login_that_is_refused_says_why(postgres_url: str) -> None:
    with pytest.raises(Unavailable, match='role "nobody-such" does not exist') as caught:
        async with open_events(postgres_url.replace("antiphon@", "nobody-such:sesame@")):
            pytest.fail("opened")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:/host/name",
        "postgresql://me:se/same@host/name",
        "postgresql://me:se#same@host/name",
        "postgresql://me:se@same@host/name",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SettingsError, match="%40") as caught:
        open_events(url)
    assert "same" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://me:sesame@host:port/name", "postgresql://me:sesame@host/name?sslmode=x"])
async def test_an_address_with_wrong_parts_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"host.*/name is wrong") as caught:
        async with open_events(url):
            pytest.fail("opened")
    assert "sesame" not in str(caught.value)


async def test_the_examination_tells_how_full_the_queue_is(postgres_url: str) -> None:
    async with PostgresqlEvents(postgres_url, Random(1)) as events:
        [found] = await events.examine()
    assert found.verdict is Verdict.OK
    assert "0% full" in found.finding
