"""The queue on Redis 7 or Valkey: for each pool and priority a stream, read by one consumer group.

* Whatever concerns several keys is a script (`lua/`), so it is one step for all others and one round trip for us. Times
  are the server's. The keys of a pool share a hash tag, which keeps them together in a cluster
  (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
* An entry is deleted when it is acked: the stream's length is the backlog. A receipt is the entry and its delivery
  count, which grows when a lost lease is taken over; XACK would take any (https://redis.io/docs/latest/commands/xack/).
  A lease that ended while nobody took the message over can still be extended and acked.
* Delayed messages wait in a sorted set. Whoever receives moves what is due, and takes over what was lost.
* The keys of the living messages are kept beside them, so that the same work is not queued twice. They say where the
  message is: a key whose message somebody deleted by hand, or the server evicted, stops nobody.
* `receive` waits on a bell, by BZPOPMIN over a connection of its own: whoever adds a message rings it, one waiting
  receiver hears it. The script that takes messages is sent right behind, and the server runs it when the wait ends, so
  that what comes is there with the first answer. For that reason a wait is not broken off: a bell of its own ends it,
  and what it brings all the same is given back. A receiver that hears nothing looks once a second. The server ends a
  wait up to 0.1 s late (https://redis.io/docs/latest/operate/oss_and_stack/management/config/, `hz`): so late may a
  delay or a lease end.

The forms of the URL: `antiphon/redis_client.py`.
"""

import asyncio
import itertools
import math
import re
import secrets
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, ClassVar, TypeVar

from msgspec import Raw
from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError, NoScriptError

from antiphon.errors import MessageInvalid, Unavailable
from antiphon.jobs import Priority
from antiphon.messages import DEFAULT_POOL, MAX_BYTES, Message, decode
from antiphon.queue import redis_scripts as scripts
from antiphon.queue.base import PRIORITIES, Capability, DeadLetter, Depth, Queue, Received, SendOutcome, Waiting
from antiphon.queue.redis_rights import NEEDED, TOO_MUCH, commands, judged_rights, judged_server
from antiphon.queue.weights import WeightedDraw
from antiphon.redis_client import Client, Server, close
from antiphon.resource import Finding, Verdict

BATCH = 500
"""Messages in one script, for whose time (some 5 us each) the server does nothing else."""
LOOK = 1.0
"""Seconds after which a waiting receiver looks by itself, should a bell be lost with whoever heard it; less than the
client waits for an answer."""
SHORTEST_WAIT = 0.001
"""Seconds; BZPOPMIN waits for ever if told 0."""
REASON_LENGTH = 1000

_SETTING = "ANTIPHON_QUEUE_URL"
_LETTER = re.compile(r"(?P<priority>high|normal|low)-(?P<entry>[0-9]{1,16}-[0-9]{1,16})")

T = TypeVar("T")
Taken = tuple[int, str, int, int, Raw]


class RedisQueue(Queue):
    """Every promise but ORDER. `ahead` puts the server's clock forward, by seconds, for tests."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.DEDUPLICATION,
            Capability.LONG_DELAY,
            Capability.CHECKED_RECEIPTS,
            Capability.EXACT_DEPTH,
            Capability.PEEK,
        }
    )

    def __init__(self, url: str, *, ahead: Callable[[], float] = lambda: 0.0, random: Random | None = None) -> None:
        self._server = Server.at(url, _SETTING)
        self._ahead = ahead
        self._random = Random() if random is None else random
        self._draw = WeightedDraw()
        self._keys: dict[str, tuple[bytes, ...]] = {}
        self._client: Client | None = None
        self._closing = False
        self._under_way: set[asyncio.Task[Any]] = set()
        self._ends: set[str] = set()
        self._names = map(f"{secrets.token_hex(8)}-{{}}".format, itertools.count())

    async def open(self) -> None:
        self._client = self._server.client()
        self._closing = False
        await self.ping()

    async def close(self) -> None:
        self._closing = True
        for end in list(self._ends):
            await self._end(end)
        while self._under_way:
            await asyncio.wait(self._under_way)
        client, self._client = self._client, None
        if client is not None:
            await close(client)

    async def ping(self) -> None:
        await self._run("ping", DEFAULT_POOL)

    async def examine(self) -> list[Finding]:
        key = self._key(DEFAULT_POOL, "living")
        rights = [commands(which, key) for which in (NEEDED, TOO_MUCH)]
        needed, too_much = [scripts.outcomes(await self._run("rights", DEFAULT_POOL, each)) for each in rights]
        return [*await self._examine_server(), *judged_rights(self._server.prefix, needed, too_much)]

    async def send(self, messages: Sequence[Message], *, delay: float = 0.0) -> list[SendOutcome]:
        bodies = [message.encode() for message in messages]
        fits = [len(body) <= MAX_BYTES for body in bodies]
        rows = [
            (message.pool, (_place(message.priority), message.key, body))
            for message, body, fit in zip(messages, bodies, fits, strict=True)
            if fit
        ]
        new = iter(await self._each("send", rows, _milliseconds(delay)))
        sent, duplicate, failed = SendOutcome.SENT, SendOutcome.DUPLICATE, SendOutcome.FAILED
        return [(sent if next(new) else duplicate) if fit else failed for fit in fits]

    async def receive(
        self,
        limit: int,
        *,
        wait: float,
        lease: float,
        pool: str = DEFAULT_POOL,
        priorities: Collection[Priority] = PRIORITIES,
    ) -> list[Received]:
        if limit < 1:
            raise ValueError(f"a receive needs a limit of at least 1, not {limit}")
        self._connected()
        clock = asyncio.get_running_loop().time
        deadline = clock() + wait

        def asked(*, waits: bool) -> tuple[Any, ...]:
            order = [_place(priority) for priority in self._draw.order(self._random, among=priorities)]
            return min(limit, BATCH), _milliseconds(lease), order, waits

        received, pause = await self._whole(self._take(pool, asked(waits=False)))
        while not received and not self._closing and (left := deadline - clock()) > 0:
            end = self._key(pool, "end", next(self._names))
            hearing = self._hear(pool, asked(waits=True), end, max(SHORTEST_WAIT, min(pause, left)))
            received, pause = await self._whole(hearing, end)
        return received

    async def extend(self, received: Sequence[Received], lease: float) -> list[bool]:
        return await self._each("extend", map(_receipt, received), _milliseconds(lease))

    async def ack(self, received: Sequence[Received]) -> list[bool]:
        return await self._each("ack", map(_receipt_and_key, received))

    async def release(self, received: Sequence[Received], *, delay: float = 0.0) -> list[bool]:
        return await self._each("release", map(_receipt_and_key, received), _milliseconds(delay))

    async def dead_letter(self, received: Received, reason: str) -> bool:
        pool, receipt = _receipt(received)
        [moved] = await self._each("bury", [(pool, (*receipt, _storable(reason)))])
        return moved

    async def peek(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[Waiting]:
        rows = scripts.peeked(await self._run("peek", pool, limit))
        return [Waiting(scripts.shown(body), _priority(place), deliveries) for place, deliveries, body in rows]

    async def dead(self, limit: int, *, pool: str = DEFAULT_POOL) -> list[DeadLetter]:
        letters: list[DeadLetter] = []
        for priority in Priority:
            key = self._key(pool, priority.word, "dead")
            for entry, fields in await self._command("XRANGE", key, "-", "+", "COUNT", limit):
                body, reason = (fields.get(name, b"").decode(errors="replace") for name in (b"body", b"reason"))
                died_at = int(fields.get(b"died", 0)) / 1e6
                letters.append(DeadLetter(f"{priority.word}-{entry.decode()}", body, reason, died_at))
        return sorted(letters, key=lambda letter: letter.died_at)[:limit]

    async def redrive(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        rows = [(_place(priority), entry) for priority, entry in _letters(ids)]
        answers = [await self._run("redrive", pool, part) for part in _parts(rows)]
        return sum(map(scripts.count, answers))

    async def delete_dead(self, ids: Sequence[str], *, pool: str = DEFAULT_POOL) -> int:
        deleted = 0
        for priority in Priority:
            for part in _parts([entry for where, entry in _letters(ids) if where is priority]):
                deleted += await self._command("XDEL", self._key(pool, priority.word, "dead"), *part)
        return deleted

    async def depth(self, pool: str = DEFAULT_POOL) -> Mapping[Priority, Depth]:
        found = scripts.depths(await self._run("depth", pool))
        return {priority: Depth(*counts) for priority, counts in zip(Priority, found, strict=True)}

    async def _examine_server(self) -> list[Finding]:
        try:
            return judged_server(await self._command("INFO", **self._anywhere()))
        except Unavailable as error:
            if not isinstance(error.__cause__, NoPermissionError):
                raise
            unknown = "whether the server keeps its messages is not known: the user may not `info`"
            return [Finding(Verdict.WARN, unknown, "Allow it with `+info`, or ask whoever runs the server.")]

    def _anywhere(self) -> dict[str, str]:
        """For a command without keys: any node of a cluster, which are set up alike."""
        return {"target_nodes": RedisCluster.RANDOM} if isinstance(self._client, RedisCluster) else {}

    async def _whole(
        self, taking: Coroutine[Any, Any, tuple[list[Received], float]], end: str | None = None
    ) -> tuple[list[Received], float]:
        """See a take to its end, which the bell `end` brings near. Who is cancelled gives back what it brings."""
        task = self._start(taking)
        ends = set() if end is None else {end}
        self._ends |= ends
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._start(self._put_back(task, ends))
            raise
        finally:
            self._ends -= ends

    async def _put_back(self, taking: asyncio.Task[tuple[list[Received], float]], ends: Iterable[str]) -> None:
        for end in ends:
            await self._end(end)
        with suppress(Unavailable):  # then the leases end by themselves
            received, _ = await taking
            await self.release(received)

    async def _end(self, end: str) -> None:
        """Ring the bell that ends one wait. Nobody may hear it any more, so it does not stay."""
        with suppress(Unavailable):  # then the wait ends by itself
            await self._command("ZADD", end, 0, "rung")
            await self._command("EXPIRE", end, math.ceil(2 * LOOK))

    async def _hear(self, pool: str, asked: tuple[Any, ...], end: str, seconds: float) -> tuple[list[Received], float]:
        """Wait for a bell of the priorities, or for `end`, so many seconds at most; then take what there is."""
        _, _, order, _ = asked
        bells = [*(self._key(pool, _priority(place).word, "bell") for place in order), end]
        client, (digest, _, words) = self._connected(), self._call("take", pool, asked)
        async with self._server.answering():
            pipeline = client.pipeline(transaction=False)
            pipeline.execute_command("BZPOPMIN", *bells, seconds)
            pipeline.execute_command("EVALSHA", digest, *words)
            heard, answer = await pipeline.execute(raise_on_error=False)
            if isinstance(answer, NoScriptError):
                return await self._take(pool, asked)
            for outcome in (heard, answer):
                if isinstance(outcome, Exception):
                    raise outcome
        return await self._take(pool, asked, answer)

    async def _take(
        self, pool: str, asked: tuple[Any, ...], answer: bytes | None = None
    ) -> tuple[list[Received], float]:
        """Lease messages; without any, in how many seconds to look again. The first `answer` may be there already."""
        while True:
            rows, pause = scripts.taken(await self._run("take", pool, *asked) if answer is None else answer)
            received = await self._read(pool, rows)
            if self._closing:
                await self.release(received)
                return [], 0.0
            if received or not rows:
                return received, pause / 1000
            answer = None

    async def _read(self, pool: str, rows: Iterable[Taken]) -> list[Received]:
        readable, unreadable = [], []
        for place, entry, count, deliveries, body in rows:
            try:
                message = decode(scripts.body(body))
            except (MessageInvalid, UnicodeDecodeError) as error:
                unreadable.append((pool, (place, entry, count, _storable(str(error)))))
            else:
                readable.append(Received(message, f"{place}/{entry}/{count}/{pool}", deliveries + count))
        if unreadable:
            await self._each("bury", unreadable)
        return readable

    def _start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something that ends with the queue at the latest."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _each(self, name: str, rows: Iterable[tuple[str, Any]], *before: Any) -> list[bool]:
        """Run a script over rows, each with its pool; its outcome for each, in order."""
        rows = list(rows)
        outcomes: dict[int, bool] = {}
        for pool in {pool for pool, _ in rows}:
            places = [number for number, (its, _) in enumerate(rows) if its == pool]
            for part in _parts(places):
                answer = await self._run(name, pool, *before, [rows[number][1] for number in part])
                outcomes.update(zip(part, scripts.outcomes(answer), strict=True))
        return [outcomes[number] for number in range(len(rows))]

    async def _run(self, name: str, pool: str, *asked: Any) -> bytes:
        client, (digest, text, words) = self._connected(), self._call(name, pool, asked)
        async with self._server.answering():
            try:
                answer: bytes = await client.execute_command("EVALSHA", digest, *words)
            except NoScriptError:  # it is new to the server, or the server was started again
                answer = await client.execute_command("EVAL", text, *words)
        return answer

    def _call(self, name: str, pool: str, asked: tuple[Any, ...]) -> tuple[str, bytes, tuple[Any, ...]]:
        """Digest and text of a script, and the words that follow either."""
        script, keys = scripts.script(name), self._keys_of(pool)
        arguments = (scripts.encode(asked), _milliseconds(LOOK), _milliseconds(self._ahead()))
        return script.digest, script.text, (len(keys), *keys, *arguments)

    async def _command(self, *words: Any, **where: Any) -> Any:
        client = self._connected()
        async with self._server.answering():
            return await client.execute_command(*words, **where)

    def _connected(self) -> Client:
        if self._client is None:
            raise Unavailable(f"the queue {self._server.shown} is closed")
        return self._client

    def _key(self, pool: str, *words: str) -> str:
        return ":".join((self._server.prefix, f"{{{pool}}}", *words))

    def _keys_of(self, pool: str) -> tuple[bytes, ...]:
        """The keys in the order of `lua/pool.lua`, encoded once, since every call sends them all."""
        keys = self._keys.get(pool)
        if keys is None:
            kinds: tuple[tuple[str, ...], ...] = ((), ("delayed",), ("lost",), ("bell",), ("dead",))
            queues = [self._key(pool, priority.word, *kind) for priority in Priority for kind in kinds]
            keys = self._keys[pool] = tuple(key.encode() for key in (self._key(pool, "living"), *queues))
        return keys


def _place(priority: Priority) -> int:
    """Of a priority among the keys; Lua counts from 1."""
    return priority + 1


def _priority(place: int) -> Priority:
    return Priority(place - 1)


def _receipt(received: Received) -> tuple[str, tuple[int, str, int]]:
    """The pool, and the rest of a receipt."""
    place, entry, count, pool = received.receipt.split("/", 3)
    return pool, (int(place), entry, int(count))


def _receipt_and_key(received: Received) -> tuple[str, tuple[int, str, int, str]]:
    pool, receipt = _receipt(received)
    return pool, (*receipt, received.message.key)


def _letters(ids: Iterable[str]) -> list[tuple[Priority, str]]:
    """Priority and entry of dead letters; nothing for what is no id of ours."""
    found = [_LETTER.fullmatch(each) for each in ids]
    return [(Priority[parts["priority"].upper()], parts["entry"]) for parts in found if parts is not None]


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _storable(reason: str) -> str:
    """Short, and without lone surrogates, which are no UTF-8."""
    return reason[:REASON_LENGTH].encode("utf-8", errors="replace").decode("utf-8")
