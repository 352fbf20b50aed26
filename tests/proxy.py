"""A wire that fails as networks do, between a client under test and a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto


class Lose(Enum):
    """What never arrives when the wire breaks at a request. The client is cut at once; the server may take its time."""

    REQUEST = auto()
    ANSWER = auto()


class Proxy:
    """Passes everything on to `port` of this machine until told otherwise. Of one event loop, the test's own."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._refuses = False
        self._break_at: tuple[bytes, Lose] | None = None
        self.broke = asyncio.Event()
        self.connected = asyncio.Event()
        """Set by every new connection."""
        self.made = 0
        """How many connections were made so far."""
        self.requests = 0
        """How often a client has said something."""

    def cut(self) -> None:
        """Break every connection; new ones may be made."""
        for pair in list(self._pairs):
            for end in pair:
                end.transport.abort()

    def refuse(self) -> None:
        """Break every connection, and take no more of them until `mend`."""
        self.refuse_new()
        self.cut()

    def refuse_new(self) -> None:
        """Take no more connections until `mend`."""
        self._refuses = True

    def freeze(self) -> None:
        """Let nothing through any more, and say nothing, as a dead router does, until `mend`."""
        self._passes.clear()

    def mend(self) -> None:
        self._refuses = False
        self._passes.set()

    def break_at(self, request: bytes, lose: Lose) -> None:
        """Break the connection on which the next such request comes; `broke` is set once the server has it, or not."""
        self._break_at = (request, lose)
        self.broke.clear()

    async def end(self) -> None:
        """Break every connection for good, and return once nothing of them is left."""
        self.mend()
        while self._serving:
            self.cut()
            await asyncio.wait(self._serving, timeout=0.1)  # one that is only being made is cut in the next turn

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        self.connected.set()
        self.made += 1
        if self._refuses:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, server_writer)
        self._pairs.add(pair)
        answers_lost = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._requests(reader, writer, server_writer, answers_lost))
                tasks.create_task(self._answers(server_reader, writer, answers_lost))
        except* OSError:
            pass  # broken, by us or by the server
        finally:
            self._pairs.discard(pair)
            for end in pair:
                end.transport.abort()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
        answers_lost: asyncio.Event,
    ) -> None:
        while data := await reader.read(65536):
            self.requests += 1
            await self._passes.wait()
            lose = self._losing(data)
            if lose is Lose.REQUEST:
                self.broke.set()
                break
            writer.write(data)
            await writer.drain()
            if lose is Lose.ANSWER:
                answers_lost.set()
                client.transport.abort()
                await self.broke.wait()
                break
        raise ConnectionResetError

    def _losing(self, data: bytes) -> Lose | None:
        """What is to be lost of the request `data`, which happens once."""
        if self._break_at is None or self._break_at[0] not in data:
            return None
        lose, self._break_at = self._break_at[1], None
        return lose

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers_lost: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            await self._passes.wait()
            if answers_lost.is_set():
                self.broke.set()
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def proxy(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the server at `url`, and the URL that leads through it."""
    head, _, rest = url.partition("127.0.0.1:")
    port, slash, path = rest.partition("/")
    wire = Proxy(int(port))
    server = await asyncio.start_server(wire._serve, "127.0.0.1", 0)
    try:
        yield wire, f"{head}127.0.0.1:{server.sockets[0].getsockname()[1]}{slash}{path}"
    finally:
        server.close()
        await wire.end()
