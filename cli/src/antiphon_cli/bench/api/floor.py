"""The floor of the API benches: `python -m antiphon_cli.bench.api.floor DIRECTORY LIFELINE`.

Starlette on uvicorn with the API's event loop and parser of HTTP, in a process of its own. `POST /upload` writes the
body to a new file as it comes, syncs the file, and answers 202: no multipart, no checksum, no job, no validation, no
thread. `GET /healthz` answers. It says where it listens as the API does, in one line of JSON.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from antiphon.lifeline import parent_gone


def application(directory: Path, address: str, lifeline: int) -> Starlette:
    numbers = count()

    async def upload(request: Request) -> Response:
        size = 0
        file = os.open(directory / f"{next(numbers)}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            async for chunk in request.stream():
                size += os.write(file, chunk)
            os.fsync(file)
        finally:
            os.close(file)
        return JSONResponse({"size": size}, status_code=202)

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        ending = asyncio.create_task(_end_with(lifeline))
        print(json.dumps({"event": "listening", "address": address}), flush=True)
        yield
        ending.cancel()

    routes = [Route("/upload", upload, methods=["POST"]), Route("/healthz", healthz)]
    return Starlette(routes=routes, lifespan=lifespan)


async def _end_with(lifeline: int) -> None:
    await parent_gone(lifeline)
    os._exit(1)


def main(directory: Path, lifeline: int) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    app = application(directory, f"http://127.0.0.1:{listening.getsockname()[1]}", lifeline)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", log_config=None, access_log=False)
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
