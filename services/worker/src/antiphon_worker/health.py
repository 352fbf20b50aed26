"""The worker's own HTTP server: whether it lives, whether it can work, and its metrics. Answers during a decode."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from antiphon.telemetry.metrics import Metrics
from antiphon_worker.slots import Slots


def health_app(slots: Slots, metrics: Metrics) -> Starlette:
    """`/healthz`, `/readyz` (never depends on being busy), `/metrics`."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(_: Request) -> Response:
        if slots.ready:
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "loading", "detail": "the engines are being loaded"}, status_code=503)

    async def metricsz(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metricsz)])


@asynccontextmanager
async def serve_health(app: Starlette, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` while the body runs; yields the port. Raises OSError, with what to do, if the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY, without which answers wait 40 ms, only where the protocol is spelled out
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror}; set ANTIPHON_HEALTH_PORT") from error
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    serving = asyncio.create_task(server.serve([listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the worker's own decide when it stops."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
