"""A proxy in front of what stands in for AWS (`servers.aws`), which fails as a test tells it to.

    async with faulty(aws_server) as faults:
        faults.fail("SendMessageBatch", "ServiceUnavailable", status=503, times=2)
        faults.cut("GET /bucket/", after=100)

Point a client at `faults.endpoint`. A request has a name: of SQS the operation, such as "SendMessageBatch", of S3 the
method and the path, such as "GET /bucket/key". What is told is for the requests whose name starts with the text. What
was told last comes first, as many `times` as it was told, or for ever.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from math import inf
from ssl import SSLContext
from xml.sax.saxutils import escape

from aiohttp import ClientSession, DummyCookieJar, web

_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Answer:
    """What the server said, or what is said in its place."""

    status: int
    headers: dict[str, str]
    body: bytes
    length: int
    """What the head announces, which a test may make another than the body has."""


Ask = Callable[[], Awaitable[Answer]]
Fault = Callable[[web.Request, Ask], Awaitable[Answer]]


@dataclass
class _Rule:
    start: str
    fault: Fault
    times: float


class _Dropped(Exception):
    """The connection ends without an answer."""


class Faults:
    """The proxy's side that tests hold: what it saw, and how it fails."""

    endpoint: str

    def __init__(self) -> None:
        self.seen: list[str] = []
        """The names of the requests that came in, those that failed as well."""
        self._rules: list[_Rule] = []
        self._news = asyncio.Event()

    def fail(self, start: str, code: str, *, status: int = 400, message: str = "told to", times: float = inf) -> None:
        """Refuse with an error of AWS, in the words of the service."""

        async def refuse(request: web.Request, _: Ask) -> Answer:
            return _error(request, code, status, message)

        self.do(start, refuse, times=times)

    def drop(self, start: str = "", *, times: float = inf) -> None:
        """End the connection without an answer; `drop()` is a network that is away until `mend()`."""

        async def leave(_: web.Request, __: Ask) -> Answer:
            raise _Dropped

        self.do(start, leave, times=times)

    def lose(self, start: str, *, times: float = inf) -> None:
        """Let the server do it, and end the connection without telling."""

        async def forget(_: web.Request, ask: Ask) -> Answer:
            await ask()
            raise _Dropped

        self.do(start, forget, times=times)

    def hang(self, start: str, until: asyncio.Event, *, times: float = inf) -> None:
        """Let the server do it, and keep the answer back until the test sets the event."""

        async def keep(_: web.Request, ask: Ask) -> Answer:
            answer = await ask()
            await until.wait()
            return answer

        self.do(start, keep, times=times)

    def cut(self, start: str, *, after: int, times: float = inf) -> None:
        """End the connection after so many bytes of the answer's body; its head announces them all."""

        async def shorten(_: web.Request, ask: Ask) -> Answer:
            answer = await ask()
            return Answer(answer.status, answer.headers, answer.body[:after], answer.length)

        self.do(start, shorten, times=times)

    def edit(self, start: str, change: Callable[[bytes], bytes], *, times: float = inf) -> None:
        """Let the server do it, and tell something else."""

        async def rewrite(_: web.Request, ask: Ask) -> Answer:
            answer = await ask()
            body = change(answer.body)
            return Answer(answer.status, answer.headers, body, len(body))

        self.do(start, rewrite, times=times)

    def do(self, start: str, fault: Fault, *, times: float = inf) -> None:
        """Answer with what `fault` makes of the request; its second argument asks the server."""
        self._rules.insert(0, _Rule(start, fault, times))

    def mend(self) -> None:
        """Forget every fault."""
        self._rules.clear()

    async def arrivals(self, start: str, count: int) -> None:
        """Wait until so many of these requests have come in, those before included."""
        while sum(name.startswith(start) for name in self.seen) < count:
            self._news.clear()
            await self._news.wait()

    def take(self, name: str) -> Fault | None:
        """The fault for a request that has come in."""
        self.seen.append(name)
        self._news.set()
        for rule in self._rules:
            if name.startswith(rule.start) and rule.times > 0:
                rule.times -= 1
                return rule.fault
        return None


@asynccontextmanager
async def faulty(server: str, tls: SSLContext | None = None) -> AsyncIterator[Faults]:
    """A proxy to the endpoint `server`, in the test's own loop; by HTTPS if it is given a certificate."""
    faults = Faults()
    async with ClientSession(auto_decompress=False, cookie_jar=DummyCookieJar()) as session:

        async def serve(request: web.Request) -> web.StreamResponse:
            body = await request.read()

            async def ask() -> Answer:
                # the client's Host is kept: SQS makes the addresses of its queues of it
                heads = {k: v for k, v in request.headers.items() if k.lower() not in _OF_ONE_CONNECTION}
                async with session.request(
                    request.method, f"{server}{request.raw_path}", headers=heads, data=BytesIO(body)
                ) as response:
                    headers = {k: v for k, v in response.headers.items() if k.lower() not in _OF_ONE_CONNECTION}
                    content = await response.read()
                    length = int(response.headers.get("Content-Length", len(content)))
                    return Answer(response.status, headers, content, length)

            fault = faults.take(_name(request))
            try:
                answer = await (ask() if fault is None else fault(request, ask))
            except _Dropped:
                return _end(request, web.Response())
            return await _send(request, answer)

        application = web.Application(client_max_size=_LARGEST)
        application.router.add_route("*", "/{path:.*}", serve)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            faults.endpoint = f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
            yield faults
        finally:
            await runner.cleanup()


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = answer.length
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    await response.write(answer.body)
    if len(answer.body) < answer.length:
        return _end(request, response)
    await response.write_eof()
    return response


def _end(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()  # what was written still goes out
    return response


def _name(request: web.Request) -> str:
    target = request.headers.get("X-Amz-Target")
    return f"{request.method} {request.path}" if target is None else target.rpartition(".")[2]


def _error(request: web.Request, code: str, status: int, message: str) -> Answer:
    if "X-Amz-Target" in request.headers:
        body = json.dumps({"__type": f"com.amazonaws.sqs#{code}", "message": message})
        kind = "application/x-amz-json-1.0"
    else:
        body = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
        kind = "application/xml"
    return Answer(status, {"Content-Type": kind}, body.encode(), len(body.encode()))
