"""The worker's program: where its parts meet."""

import argparse
import asyncio
import os
import signal
import socket
import sys

import structlog
from pydantic import ValidationError

from antiphon.errors import AntiphonError
from antiphon.ids import new_id
from antiphon.lifeline import parent_gone
from antiphon.ports import open_ports
from antiphon.relay import Relay
from antiphon.sweeper import Sweeper
from antiphon.telemetry.logs import configure_logs
from antiphon.telemetry.metrics import Metrics
from antiphon_speech.engines import EngineSettings
from antiphon_worker.health import health_app, serve_health
from antiphon_worker.settings import WorkerSettings
from antiphon_worker.slots import EnginesMissing, Slots
from antiphon_worker.worker import Worker

log = structlog.get_logger(__name__)


async def work(settings: WorkerSettings, lifeline: int | None = None) -> None:
    """Serve the pool until SIGTERM, SIGINT, or the end of whoever holds the other end of the pipe `lifeline`.

    Relay and sweeper run beside it. A crash of any of them ends the others, and goes on to the caller.
    """
    metrics = Metrics()
    told = _told_to_stop()
    engines = EngineSettings(settings.model, settings.device, settings.compute_type, settings.threads_per_slot())
    name = f"{socket.gethostname()}-{os.getpid()}-{new_id()[-4:]}"
    async with open_ports(settings) as ports, Slots(settings.slots, engines, metrics) as slots:
        worker = Worker(name, ports, slots, settings, metrics)
        sweeper = Sweeper(ports.store, ports.queue, ports.blobs, interval=settings.sweep_seconds)
        async with serve_health(health_app(slots, metrics), settings.health_host, settings.health_port) as port:
            await slots.warm()
            log.info("worker ready", worker=name, pool=settings.pool, slots=settings.slots, health=port)
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(Relay(ports.store, ports.queue).run()),
                    tasks.create_task(sweeper.run()),
                    tasks.create_task(_drain_when_told(worker, told)),
                ]
                if lifeline is not None:
                    background.append(tasks.create_task(_stop_without_parent(lifeline, told)))
                await worker.run()
                for task in background:
                    task.cancel()
    log.info("worker stopped", worker=name)


def _told_to_stop() -> asyncio.Event:
    """Set by the signals by which programs are stopped."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def _drain_when_told(worker: Worker, told: asyncio.Event) -> None:
    await told.wait()
    await worker.drain()


async def _stop_without_parent(lifeline: int, told: asyncio.Event) -> None:
    await parent_gone(lifeline)
    log.warning("the program that started this one is gone")
    told.set()


def main() -> None:
    """Read the command line and the environment, and run."""
    parser = argparse.ArgumentParser(prog="antiphon_worker", description=__doc__)
    parser.add_argument("--pool", help="the pool to serve (ANTIPHON_POOL)")
    parser.add_argument("--lifeline", type=int, metavar="FD", help="stop when this pipe closes")
    arguments = parser.parse_args()
    try:
        settings = WorkerSettings() if arguments.pool is None else WorkerSettings(pool=arguments.pool)
        configure_logs("worker", settings.log_level)
        asyncio.run(work(settings, arguments.lifeline))
    except ValidationError as error:
        sys.exit(_refuse("; ".join(f"ANTIPHON_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())))
    except (AntiphonError, EnginesMissing, OSError) as error:
        sys.exit(_refuse(str(error)))


def _refuse(reason: str) -> int:
    sys.stderr.write(f"antiphon_worker cannot start: {reason}\n")
    return os.EX_CONFIG
