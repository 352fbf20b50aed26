"""Wake-ups through PostgreSQL's LISTEN and NOTIFY, over one connection per process.

One channel carries everything, the payload is the topic, and each process wakes those of its listeners who wait for it.

- A transaction with a NOTIFY holds a lock, one for all databases of the server, from before its commit until after it
  (`PreCommit_Notify` in https://github.com/postgres/postgres/blob/master/src/backend/commands/async.c). So the store's
  transactions have none, or they would queue for one another's syncs to disk. We notify once they are committed, in
  one statement for all the topics that have gathered while the one before was under way, and its transaction does not
  wait for the disk: `synchronous_commit = off`, since no notification outlives the server anyhow.
- Whoever is not connected hears nothing. After a lost connection, whoever listens is therefore woken, having perhaps
  missed something, and what could not be told meanwhile is told.
- A payload has less than 8000 bytes: https://www.postgresql.org/docs/current/sql-notify.html.
- LISTEN belongs to a session. A pooler that gives each transaction another one loses it silently
  (https://www.pgbouncer.org/features.html), so `open` tries whether a notification arrives.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any

import structlog

from antiphon.errors import SettingsError, Unavailable
from antiphon.events.base import Events, Listener
from antiphon.events.listeners import Listeners
from antiphon.ids import new_id
from antiphon.postgresql import REFUSED, Server
from antiphon.resource import Finding, Verdict

CHANNEL = "antiphon"
LONGEST = 500
"""Characters of a topic that goes as it is; of a longer one goes its hash."""
EVERYBODY = ""
"""The payload that wakes all listeners."""
MOST_UNTOLD = 10_000
"""Topics that are kept while nobody can be told; beyond that everybody is woken."""
LOOK = 15.0
"""Seconds after which an idle connection is asked whether it still is one."""
HEARING = 3.0
"""Seconds within which the server answers, and a notification to ourselves arrives."""
BACKOFF = 10.0
"""Seconds between two attempts to reconnect, at most."""

_SETTING = "ANTIPHON_EVENTS_URL, which follows ANTIPHON_STORE_URL,"
_NAME = "antiphon events"
_TELL = "SELECT count(pg_notify($1, topic)) FROM unnest($2::text[]) AS topic"

log = structlog.get_logger(__name__)


class PostgresqlEvents(Events):
    """Notifies and listens on the database at `url`, which need not be the store's."""

    def __init__(self, url: str, random: Random | None = None) -> None:
        self._server = Server.at(url, _SETTING)
        self._random = random or Random()
        self._listeners = Listeners()
        self._untold: set[str] = set()
        self._stirred = asyncio.Event()
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._failures = 0

    async def open(self) -> None:
        connection = await self._connect()
        try:
            await self._require_hearing()
        except BaseException:
            connection.terminate()
            raise
        self._keeper = asyncio.create_task(self._keep(connection))

    async def close(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.wait([keeper])
        self._listeners.end()
        connection = self._connection
        try:
            await self._tell(connection)
            await connection.close(timeout=HEARING)
        except REFUSED:
            connection.terminate()

    async def ping(self) -> None:
        with self._server.translated():
            await self._execute(self._connection, "SELECT 1")

    async def examine(self) -> list[Finding]:
        """How full the server's notification queue is: one session that listens and sleeps can stop it from emptying.

        https://www.postgresql.org/docs/current/sql-notify.html
        """
        with self._server.translated():
            async with self._turn:
                used = await self._connection.fetchval("SELECT pg_notification_queue_usage()")
        found = f"notifications arrive; the server's queue of them is {used:.0%} full"
        if used < 0.5:
            return [Finding(Verdict.OK, found)]
        return [Finding(Verdict.WARN, found, "End the session that the server's log names in its warnings about it.")]

    async def notify(self, topics: Collection[str]) -> None:
        payloads = {_payload(topic) for topic in topics}
        self._listeners.wake(payloads)  # those of this process need not wait for the server
        self._untold |= payloads
        if len(self._untold) > MOST_UNTOLD:
            self._untold = {EVERYBODY}
        self._stirred.set()

    @asynccontextmanager
    async def listen(self, topic: str) -> AsyncIterator[Listener]:
        if self._keeper is None:
            raise Unavailable(f"the events of {self._server.shown} are closed")
        with self._listeners.enter(_payload(topic)) as listener:
            yield listener

    async def _connect(self) -> Any:
        connection = await self._server.connect(_NAME, {"synchronous_commit": "off"})
        try:
            connection.add_termination_listener(lambda _: self._stirred.set())
            with self._server.translated():
                await connection.add_listener(CHANNEL, self._heard)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        return connection

    async def _require_hearing(self) -> None:
        """Raise SettingsError unless what another session notifies arrives here."""
        probe = f"probe:{new_id()}"
        with self._listeners.enter(probe) as listener:
            other = await self._server.connect(_NAME)
            try:
                with self._server.translated():
                    await other.execute(_TELL, CHANNEL, [probe])
                heard = await listener.wait(HEARING)
            finally:
                other.terminate()
        if not heard:
            raise SettingsError(
                f"{_SETTING} leads to {self._server.shown}, where a notification did not arrive in {HEARING:.0f} s; "
                "a pooler in transaction mode loses them: give the address of the server itself"
            )

    async def _keep(self, connection: Any) -> None:
        """Tell what is to be told, over one connection after the other."""
        while True:
            await self._serve(connection)
            connection = await self._reconnect()
            self._listeners.wake_all()

    async def _serve(self, connection: Any) -> None:
        """Return once the connection is lost."""
        while True:
            self._stirred.clear()
            try:
                await self._tell(connection)
            except REFUSED as error:
                log.warning("wake-ups pause until PostgreSQL is back; listeners look by themselves", error=str(error))
                connection.terminate()
                return
            self._failures = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._stirred.wait()

    async def _tell(self, connection: Any) -> None:
        """Notify what is untold, in one statement; without any it only asks whether the server is there."""
        telling, self._untold = self._untold, set()
        try:
            await self._execute(connection, _TELL, CHANNEL, sorted(telling))
        except BaseException:
            self._untold |= telling
            raise

    async def _execute(self, connection: Any, *statement: Any) -> None:
        async with self._turn:
            await connection.execute(*statement, timeout=HEARING)

    async def _reconnect(self) -> Any:
        while True:
            await asyncio.sleep(self._random.uniform(0, min(BACKOFF, 0.1 * 2 ** min(self._failures, 10))))
            self._failures += 1
            with suppress(Unavailable, SettingsError):
                return await self._connect()

    def _heard(self, connection: Any, process: int, _channel: str, payload: str) -> None:
        if process == connection.get_server_pid():
            return  # our own: told in `notify`
        if payload == EVERYBODY:
            self._listeners.wake_all()
        else:
            self._listeners.wake([payload])


def _payload(topic: str) -> str:
    """`topic`, or its hash where the server would not take it."""
    if 0 < len(topic) <= LONGEST and topic.isascii() and topic.isprintable():
        return topic
    return f"sha256:{hashlib.sha256(topic.encode('utf-8', 'surrogatepass')).hexdigest()}"
