"""What a look at the server and at the user's rights finds. The rights that it recommends are tried."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.redis_server import RedisServer
from tests.redis_server import redis_server as running

from antiphon.errors import Unavailable
from antiphon.events.redis import RedisEvents
from antiphon.jobs import Priority
from antiphon.messages import Message
from antiphon.queue.redis import RedisQueue
from antiphon.queue.redis_rights import NEEDED, acl_line, judged_rights, judged_server
from antiphon.resource import Finding, Verdict

LONG = 60.0
OK, WARN, FAIL = Verdict
AT_ONCE = {"eval", "evalsha", "time"}
"""Rights without which not even the examination runs."""


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture
async def administrator(own_server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis(port=own_server.port) as client:
        yield client
        await client.execute_command("ACL", "DELUSER", "antiphon")  # type: ignore[no-untyped-call]
        await client.flushall()


async def as_user(administrator: Redis, server: RedisServer, *more: str, line: str = "") -> str:
    """The URL of a user who has the recommended rights, and `more`."""
    words = (line or acl_line("staging")).replace(">PASSWORD", ">p@ss").split()
    await administrator.execute_command(*words, *more)  # type: ignore[no-untyped-call]
    return f"{server.url.replace('://', '://antiphon:p%40ss@')}?prefix=staging"


def worst(findings: Sequence[Finding]) -> list[tuple[Verdict, str]]:
    """What is not well, but for the append-only file, which is off in tests."""
    return [
        (each.verdict, each.finding)
        for each in findings
        if each.verdict is not OK and "append-only" not in each.finding
    ]


async def test_the_recommended_rights_suffice_and_are_not_too_many(
    administrator: Redis, own_server: RedisServer
) -> None:
    url = await as_user(administrator, own_server)
    async with RedisQueue(url) as queue:
        sent = [Message(priority.word, 1, 0, priority=priority) for priority in Priority]
        await queue.send(sent)
        await queue.send([Message("later", 1, 0)], delay=0.01)
        received = await queue.receive(1, wait=LONG, lease=0.05)
        assert await queue.extend(received, 0.05) == [True]
        again = [*await queue.receive(1, wait=LONG, lease=LONG)]
        while len(again) < 4:
            again += await queue.receive(4, wait=LONG, lease=LONG)
        assert await queue.receive(1, wait=0.01, lease=LONG) == []
        assert await queue.release(again[:1]) == [True]
        assert len(await queue.peek(9)) == 1
        assert await queue.dead_letter(again[1], "failed")
        [dead] = await queue.dead(9)
        assert await queue.redrive([dead.id]) == 1
        assert await queue.ack(again[2:]) == [True, True]
        assert sum(depth.alive for depth in (await queue.depth()).values()) == 2
        [last] = await queue.receive(1, wait=LONG, lease=LONG)
        await queue.dead_letter(last, "failed")
        assert await queue.delete_dead([each.id for each in await queue.dead(9)]) == 1
        assert worst(await queue.examine()) == []
    async with RedisQueue(url.replace("/0?", "/1?")) as queue:
        assert worst(await queue.examine()) == []


async def test_rights_for_wake_ups_can_be_added(administrator: Redis, own_server: RedisServer) -> None:
    rights = "resetkeys resetchannels &staging:* -@all +publish +subscribe +unsubscribe +ping"
    url = await as_user(administrator, own_server, line=f"ACL SETUSER antiphon on >PASSWORD {rights}")
    async with RedisEvents(url) as events, RedisEvents(url) as others:
        async with others.listen("job") as listener:
            await events.notify(["job"])
            assert await listener.wait(LONG)
        assert await events.examine() == []


@pytest.mark.parametrize("right", sorted(NEEDED.keys() - AT_ONCE))
async def test_a_right_that_is_missing_is_named(right: str, administrator: Redis, own_server: RedisServer) -> None:
    url = await as_user(administrator, own_server, f"-{right}")
    async with RedisQueue(url) as queue:
        [(verdict, finding)] = worst(await queue.examine())
    assert verdict is FAIL
    assert finding == f"the user may not {right}"


@pytest.mark.parametrize("right", sorted(AT_ONCE))
async def test_without_the_rights_to_run_scripts_nothing_is_opened(
    right: str, administrator: Redis, own_server: RedisServer
) -> None:
    await administrator.script_flush()
    with pytest.raises(Unavailable, match=f"no permissions to run the '{right}' command"):
        await RedisQueue(await as_user(administrator, own_server, f"-{right}")).__aenter__()


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["+flushall"], "flushall"),
        (["+config"], "config|set"),
        (["+keys", "+shutdown"], "keys, shutdown"),
        (["allkeys"], "reach keys of others"),
        (["+@all"], "flushall, flushdb, keys, config|set, acl|setuser, shutdown"),
    ],
)
async def test_a_right_too_many_is_named_with_those_that_suffice(
    more: list[str], named: str, administrator: Redis, own_server: RedisServer
) -> None:
    async with RedisQueue(await as_user(administrator, own_server, *more)) as queue:
        found = [each for each in await queue.examine() if each.verdict is WARN and "append-only" not in each.finding]
    assert [each.finding for each in found] == [f"the user may {named}, which the queue does not need"]
    assert acl_line("staging") in found[0].advice


async def test_a_server_that_may_not_be_looked_at_is_said_to_be_unknown(
    administrator: Redis, own_server: RedisServer
) -> None:
    async with RedisQueue(await as_user(administrator, own_server, "-info")) as queue:
        findings = await queue.examine()
    assert [(each.verdict, "may not `info`" in each.finding) for each in findings] == [(WARN, True), (OK, False)]


async def test_an_examination_changes_nothing(administrator: Redis, own_server: RedisServer) -> None:
    async with RedisQueue(await as_user(administrator, own_server)) as queue:
        await queue.examine()
    assert await administrator.dbsize() == 0


async def test_a_command_that_the_server_has_not_is_none_that_hurts(own_server: RedisServer) -> None:
    with running("--rename-command", "FLUSHALL", "") as server:
        async with RedisQueue(server.url) as queue:
            [(_, finding)] = worst(await queue.examine())
    assert "flushall" not in finding
    assert "flushdb" in finding


INFO: dict[str, tuple[dict[str, Any], list[Verdict]]] = {
    "Redis as it comes": ({"redis_version": "7.4.0", "aof_enabled": 0, "maxmemory": 0}, [OK, WARN, OK]),
    "Valkey with a file": ({"valkey_version": "9.1.2", "aof_enabled": 1, "maxmemory": 0}, [OK, OK, OK]),
    "evicts": ({"aof_enabled": 1, "maxmemory": 9, "maxmemory_policy": "allkeys-lru"}, [OK, OK, FAIL]),
    "evicts what may go": ({"aof_enabled": 1, "maxmemory": 9, "maxmemory_policy": "volatile-lru"}, [OK, OK, OK]),
    "refuses": ({"aof_enabled": 1, "maxmemory": 9, "maxmemory_policy": "noeviction"}, [OK, OK, OK]),
    "would evict": ({"aof_enabled": 1, "maxmemory": 0, "maxmemory_policy": "allkeys-lru"}, [OK, OK, OK]),
}


@pytest.mark.parametrize(("info", "verdicts"), INFO.values(), ids=list(INFO))
def test_how_well_a_server_keeps_messages_is_judged(info: dict[str, Any], verdicts: list[Verdict]) -> None:
    findings = judged_server(info)
    assert [each.verdict for each in findings] == verdicts
    assert all(bool(each.advice) == (each.verdict is not OK) for each in findings)


def test_a_server_is_called_by_its_name() -> None:
    assert judged_server({"redis_version": "7.4.0"})[0].finding == "Redis 7.4.0"
    assert judged_server({"redis_version": "7.2.4", "valkey_version": "9.1.2"})[0].finding == "Valkey 9.1.2"


def test_what_is_missing_comes_before_what_is_too_much() -> None:
    nothing = [False] * len(NEEDED)
    [finding] = judged_rights("antiphon", nothing, [True] * 7)
    assert finding.verdict is FAIL
    assert "~antiphon:*" in finding.advice
