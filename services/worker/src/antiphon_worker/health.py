"""The worker's own HTTP server: whether it lives, whether it can work, and its metrics. Answers during a decode."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
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
    """Serve `app` while the body runs; yields the port."""
    server = uvicorn.Server(
        uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off")
    )
    config = server.config
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    if not server.started:
        raise OSError(f"port {port} of {host} is taken; set ANTIPHON_HEALTH_PORT to another one")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.main_loop)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
    await server.shutdown()
