"""The real API and the real worker, as `antiphon up` starts them, on a data directory that is thrown away."""

import asyncio
from collections.abc import Sequence

from antiphon.pools import Pool
from antiphon.ports import PortSettings
from antiphon_cli import embedded
from antiphon_cli.bench.programs import Program, Stand
from antiphon_cli.bench.wire import Address


class Installation:
    """Programs on one data directory, with the settings that they have by default."""

    def __init__(self, stand: Stand, pools: Sequence[Pool] = (Pool(),)) -> None:
        """Prepare the store, and register `pools`."""
        self._stand = stand
        data, scratch = stand.directory / "data", stand.directory / "scratch"
        scratch.mkdir()
        settings = PortSettings(data=data, store_url="", queue_url="", blobs_url="", events_url="")
        for pool in pools:
            asyncio.run(embedded.prepare(settings, pool))
        self._lifeline = ("--lifeline", str(stand.lifeline))
        self._settings = {
            "ANTIPHON_DATA": str(data),
            "ANTIPHON_SCRATCH": str(scratch),
            "ANTIPHON_HEALTH_PORT": "0",
            "ANTIPHON_DRAIN_SECONDS": "0",
        }

    def start_api(self) -> tuple[Program, Address]:
        """The API, once it listens, and its address."""
        api = self._stand.start("api", "antiphon_api", "--port", "0", *self._lifeline, settings=self._settings)
        return api, Address.of(api.wait_for("listening")["address"])

    def start_worker(self) -> Address:
        """A worker whose engines are loaded: where it tells of its health."""
        worker = self._stand.start("worker", "antiphon_worker", *self._lifeline, settings=self._settings)
        return Address("127.0.0.1", int(worker.wait_for("worker ready")["health"]))
