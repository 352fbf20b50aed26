"""Starts the API: the only place where settings, backends, application and server meet.

Exit codes: 0 after a stop that was asked for; 1 after a crash; 78 (EX_CONFIG of sysexits.h) for a setting, a schema, a
backend or an address that does not let the program start, told in one line on standard error.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
import uvicorn
import uvloop
from pydantic import ValidationError

from antiphon.errors import AntiphonError, SchemaOutdated, SettingsError, Unavailable
from antiphon.lifeline import parent_gone
from antiphon.ports import open_ports
from antiphon.relay import Relay
from antiphon.sweeper import Sweeper
from antiphon.telemetry.logs import configure_logs
from antiphon.telemetry.metrics import Metrics
from antiphon_api.app import create_app
from antiphon_api.settings import ApiSettings

EXIT_CRASH = 1
EXIT_START = os.EX_CONFIG

log = structlog.get_logger(__name__)


class Server(uvicorn.Server):
    """Uvicorn without its signal handlers, which end the process by the signal: our exit code is 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until `should_exit`, and let what was cut off at the end clean up after itself."""
        await super().serve(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=1)


async def serve(settings: ApiSettings, listening: socket.socket, lifeline: int | None = None) -> None:
    """Serve on `listening` until SIGTERM, SIGINT, or the other end of the pipe `lifeline` is closed.

    Relay and sweeper run beside the server. A crash of any of them ends the others, and goes on to the caller.
    """
    metrics = Metrics()
    closing = asyncio.Event()
    async with open_ports(settings) as ports:
        app = create_app(ports, settings, metrics, metrics.registry, closing)
        server = Server(_uvicorn(app, settings))
        with _on_signals(closing):
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(Relay(ports.store, ports.queue).run()),
                    tasks.create_task(
                        Sweeper(ports.store, ports.queue, ports.blobs, interval=settings.sweep_seconds).run()
                    ),
                    tasks.create_task(_stop(server, closing)),
                ]
                if lifeline is not None:
                    background.append(tasks.create_task(_close_without_parent(lifeline, closing)))
                log.info("listening", address=_address(listening))
                await server.serve([listening])
                for task in background:
                    task.cancel()
    log.info("stopped")


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m antiphon_api`; always ends by SystemExit."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
        configure_logs("api", settings.log_level)
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every malformed request
        listening = _listen(settings, options.fd)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, listening, options.lifeline))
    except (SettingsError, SchemaOutdated, Unavailable) as error:
        _refuse(error)
    except BaseExceptionGroup:
        log.exception("the API crashed")
        sys.exit(EXIT_CRASH)
    sys.exit(0)


def _uvicorn(app: object, settings: ApiSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


async def _stop(server: Server, closing: asyncio.Event) -> None:
    await closing.wait()
    log.info("stopping")
    server.should_exit = True


async def _close_without_parent(lifeline: int, closing: asyncio.Event) -> None:
    await parent_gone(lifeline)
    log.warning("the program that started this one is gone")
    closing.set()


@contextmanager
def _on_signals(closing: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, closing.set)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _listen(settings: ApiSettings, descriptor: int | None) -> socket.socket:
    """The socket that whoever started us listens on already, or one of our own. Raises SettingsError."""
    if descriptor is not None:
        try:
            return socket.socket(fileno=descriptor)
        except OSError as error:
            raise SettingsError(f"--fd {descriptor} is not a socket: {error.strerror}") from None
    host, port = settings.listen_host, settings.listen_port
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise SettingsError(f"cannot listen on {host} port {port}: {error.strerror}") from None


def _address(listening: socket.socket) -> str:
    name = listening.getsockname()
    if not isinstance(name, tuple):
        return str(name)
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _settings(options: argparse.Namespace) -> ApiSettings:
    """Raises SettingsError, which names the setting and never its value: a URL may hold a password."""
    given = {"listen_host": options.host, "listen_port": options.port}
    try:
        return ApiSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        name = "_".join(["ANTIPHON", *(str(step).upper() for step in fault["loc"])])
        raise SettingsError(f"{name}: {fault['msg'].removeprefix('Value error, ')}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="antiphon_api", description="The HTTP interface of Antiphon.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--host", help="address to listen on (ANTIPHON_LISTEN_HOST)")
    where.add_argument("--fd", type=int, metavar="N", help="serve on the listening socket with this descriptor")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (ANTIPHON_LISTEN_PORT)")
    parser.add_argument("--lifeline", type=int, metavar="FD", help="stop once the other end of this pipe is closed")
    return parser


def _refuse(error: AntiphonError) -> None:
    sys.stderr.write(f"antiphon_api: {error}\n")
    sys.exit(EXIT_START)
