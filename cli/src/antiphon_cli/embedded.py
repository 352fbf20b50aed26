"""The all-in-one of `antiphon up`: which programs it runs on this machine, and what they need before they start."""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from antiphon.pools import Pool
from antiphon.ports import PortSettings, open_ports
from antiphon.store.schema import migrate
from antiphon_cli import token
from antiphon_cli.supervisor.listener import url_of
from antiphon_cli.supervisor.program import HEALTH_PORT, LIFELINE, Program

DRAIN_SECONDS = 10
"""How long running jobs may finish when a person waits for the prompt; on a cluster it is 90 s."""


async def prepare(settings: PortSettings, pool: Pool) -> None:
    """Bring the store up to date, register the one pool, and make its queues. Raises AntiphonError."""
    await migrate(settings.store())
    async with open_ports(settings) as ports:
        await ports.store.put_pool(pool)
        await ports.queue.prepare(pool.name)


def programs(data: Path, pool: Pool, listener: socket.socket, internal: str) -> list[Program]:
    """The API on the inherited socket, and one worker. Neither is imported here: what dies must not take us along.

    `internal` is the token of /v1/internal: in the environment, since others can read command lines.
    """
    shared: Mapping[str, str] = {"ANTIPHON_DATA": str(data)}
    return [
        Program(
            name="api",
            command=(
                *(sys.executable, "-m", "antiphon_api"),
                *("--fd", str(listener.fileno())),
                *("--lifeline", LIFELINE),
            ),
            ready=f"{url_of(listener)}/readyz",
            environment={**shared, token.VARIABLE: internal},
            inherits=(listener.fileno(),),
            grace=5.0,
        ),
        Program(
            name="worker",
            command=(sys.executable, "-m", "antiphon_worker", "--pool", pool.name, "--lifeline", LIFELINE),
            ready=f"http://127.0.0.1:{HEALTH_PORT}/readyz",
            environment={
                **shared,
                "ANTIPHON_MODEL": pool.model,
                "ANTIPHON_SLOTS": str(pool.concurrency),
                "ANTIPHON_DRAIN_SECONDS": str(DRAIN_SECONDS),
                "ANTIPHON_HEALTH_HOST": "127.0.0.1",
                "ANTIPHON_HEALTH_PORT": HEALTH_PORT,
            },
            grace=DRAIN_SECONDS + 5.0,
        ),
    ]
