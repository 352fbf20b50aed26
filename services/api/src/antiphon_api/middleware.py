"""What surrounds every request. Pure ASGI: Starlette's BaseHTTPMiddleware would hold event streams back."""

import asyncio
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from antiphon.hooks import Hooks
from antiphon_api import problems

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

log = structlog.get_logger(__name__)


class Watch:
    """Tells the hooks of every request, by the template of its route, since paths hold ids."""

    def __init__(self, app: ASGIApp, hooks: Hooks) -> None:
        self._app = app
        self._hooks = hooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = scope.get("route")
            method = scope["method"] if scope["method"] in METHODS else "other"
            template = route.path if route is not None else "unmatched"
            self._hooks.request(method, template, status, time.perf_counter() - started)


class Guard:
    """Sets the headers that every response has, and answers for errors that nobody foresaw."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception:
            problem = problems.unexpected()
            log.exception("a request failed unexpectedly", instance=problem.instance, path=scope["path"])
            if started:
                raise  # the server then breaks the connection, so that nobody takes a part for the whole
            await problems.response(problem)(scope, receive, guarded)


class Linger:
    """Lets a client that still sends read its answer, when we answer without having read the whole body.

    Closing at once would make the kernel reset the connection, and the client might lose the answer over it; reading
    on to the end would let it send for ever. So the connection is to close, after so many SECONDS at most.
    https://httpwg.org/specs/rfc9112.html#rfc.section.9.6
    """

    SECONDS = 2.0
    SHORT = 64 * 1024
    """A body of at most so many bytes arrives anyway; the server throws it away, and the connection lives on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._may_be_long(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        read = False
        lingers = False

        async def reading() -> Message:
            nonlocal read
            message = await receive()
            read = read or message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def lingering(message: Message) -> None:
            nonlocal lingers
            if message["type"] == "http.response.start":
                lingers = not read
                if lingers:
                    MutableHeaders(scope=message)["Connection"] = "close"
            elif lingers and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await drain()
                message = {"type": "http.response.body"}
            await send(message)

        async def drain() -> None:
            try:
                async with asyncio.timeout(self.SECONDS):
                    while not read:
                        await reading()
            except TimeoutError:
                pass

        await self._app(scope, reading, lingering)

    def _may_be_long(self, headers: Headers) -> bool:
        return "transfer-encoding" in headers or int(headers.get("content-length", "0")) > self.SHORT
