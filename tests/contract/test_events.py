"""What the wake-ups of every store promise."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from tests.contract.conftest import LONG, EventsBackend, RunPython

from antiphon.errors import Unavailable
from antiphon.events import Events

CHANGER = """
import asyncio, sqlite3, sys
from antiphon.events import open_events

async def main(url):
    async with open_events(url) as events:
        print("ready", flush=True)
        sys.stdin.readline()
        %s
        await events.notify(["job"])

asyncio.run(main(sys.argv[1]))
"""


async def test_a_notification_wakes_a_listener(events: Events, events_backend: EventsBackend) -> None:
    async with events.listen("job") as listener:
        waiting = asyncio.create_task(listener.wait(LONG))
        await asyncio.sleep(0.02)  # into the wait; a notification before it is as good
        await events_backend.change()
        await events.notify(["other", "job"])
        assert await asyncio.wait_for(waiting, timeout=LONG / 2)


async def test_a_notification_before_the_wait_is_not_missed(events: Events, events_backend: EventsBackend) -> None:
    async with events.listen("job") as listener:
        await events_backend.change()
        await events.notify(["job"])
        assert await listener.wait(LONG)


async def test_a_notification_over_another_connection_wakes_a_listener(
    events: Events, other_events: Events, events_backend: EventsBackend
) -> None:
    async with events.listen("job") as listener:
        waiting = asyncio.create_task(listener.wait(LONG))
        await asyncio.sleep(0.02)
        await events_backend.change()
        await other_events.notify(["job"])
        assert await asyncio.wait_for(waiting, timeout=LONG / 2)


async def test_a_notification_over_another_connection_before_the_wait_is_not_missed(
    events: Events, other_events: Events, events_backend: EventsBackend
) -> None:
    async with events.listen("job") as listener:
        await events_backend.change()
        await other_events.notify(["job"])
        assert await listener.wait(LONG)


async def test_a_notification_of_another_process_wakes_a_listener(
    events: Events, events_backend: EventsBackend, run_python: RunPython
) -> None:
    other = await run_python(CHANGER % events_backend.change_program, events_backend.url)
    assert other.stdin is not None
    assert other.stdout is not None
    assert await other.stdout.readline() == b"ready\n"
    async with events.listen("job") as listener:
        other.stdin.write(b"go\n")
        assert await listener.wait(LONG)
    assert await other.wait() == 0


async def test_every_notification_is_followed_by_a_wake_up(
    events: Events, other_events: Events, events_backend: EventsBackend
) -> None:
    """A reader that waits between its looks sees every change, however they fall between them."""
    changes = 0

    async def change() -> None:
        nonlocal changes
        for number in range(60):
            await events_backend.change()
            changes += 1
            await other_events.notify(["job"])
            if number % 3:
                await asyncio.sleep(0.001 * (number % 7))

    async with events.listen("job") as listener:
        changing = asyncio.create_task(change())
        seen = 0
        while seen < 60:
            assert await listener.wait(LONG), f"{changes} changes, {seen} seen, and no wake-up"
            seen = changes
        await changing


async def test_without_a_change_the_wait_ends_at_its_timeout(events: Events) -> None:
    async with events.listen("job") as listener:
        started = time.monotonic()
        assert not await listener.wait(0.2)
        assert 0.15 <= time.monotonic() - started < 5
        assert not await listener.wait(0)


async def test_news_is_news_once(events: Events, events_backend: EventsBackend) -> None:
    async with events.listen("job") as listener:
        await events_backend.change()
        await events.notify(["job"])
        assert await listener.wait(LONG)
        woken = 1
        while await listener.wait(0.3):  # an adapter may tell of one change in two ways
            woken += 1
        assert woken <= 3


async def test_what_was_before_the_listening_is_no_news(events: Events, events_backend: EventsBackend) -> None:
    await events_backend.change()
    await events.notify(["job"])
    async with events.listen("job") as listener:
        assert not await listener.wait(0.2)


async def test_all_listeners_of_a_topic_wake(events: Events, events_backend: EventsBackend) -> None:
    async with AsyncExitStack() as stack:
        listeners = [await stack.enter_async_context(events.listen("job")) for _ in range(20)]
        listeners += [await stack.enter_async_context(events.listen("another")) for _ in range(20)]
        await events_backend.change()
        await events.notify(["job", "another"])
        assert all(await asyncio.gather(*(listener.wait(LONG) for listener in listeners)))


async def test_a_notification_of_another_topic_alone_does_not_wake(events: Events) -> None:
    async with events.listen("job") as listener:
        await events.notify(["another", "job2", "jo", "*"])
        await events.notify([])
        assert not await listener.wait(0.1)


async def test_listeners_come_and_go(events: Events, events_backend: EventsBackend) -> None:
    async with events.listen("job"):
        pass
    async with events.listen("job") as first:
        async with events.listen("job") as second:
            await events_backend.change()
            await events.notify(["job"])
            assert await second.wait(LONG)
        assert await first.wait(LONG)
        await events_backend.change()
        await events.notify(["job"])
        assert await first.wait(LONG)


async def test_a_cancelled_wait_loses_nothing(events: Events, events_backend: EventsBackend) -> None:
    async with events.listen("job") as listener:
        waiting = asyncio.create_task(listener.wait(LONG))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await events_backend.change()
        await events.notify(["job"])
        assert await listener.wait(LONG)


async def test_closing_ends_the_waits(events_backend: EventsBackend) -> None:
    events = events_backend.connect()
    await events.open()
    async with events.listen("job") as listener:
        waiting = asyncio.create_task(listener.wait(LONG))
        await asyncio.sleep(0.02)
        await events.close()
        assert not await asyncio.wait_for(waiting, timeout=LONG / 2)
        with pytest.raises(Unavailable):
            await listener.wait(LONG)
    await events.close()
    with pytest.raises(Unavailable):
        async with events.listen("job"):
            pass


async def test_it_answers(events: Events) -> None:
    await events.ping()
