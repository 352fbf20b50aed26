"""What a Prometheus scrape gets: the registry of this process, and how full the queues are."""

import asyncio
import time
from collections.abc import Iterator, Mapping

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from antiphon.errors import Unavailable
from antiphon.jobs import Priority
from antiphon.ports import Ports
from antiphon.queue.base import Depth

FRESH = 2.0
"""Seconds for which one look at the queues serves every scrape."""

log = structlog.get_logger(__name__)

Depths = Mapping[str, Mapping[Priority, Depth]]


class QueueDepths(Collector):
    """The depth of every queue as it was last seen; nothing while the backend is away, rather than an old number."""

    def __init__(self) -> None:
        self.seen: Depths = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "antiphon_queue_messages",
            "Messages in a queue: available, in_flight, delayed, dead.",
            labels=["pool", "priority", "state"],
        )
        for pool, priorities in self.seen.items():
            for priority, depth in priorities.items():
                for state in ("available", "in_flight", "delayed", "dead"):
                    gauge.add_metric([pool, priority.word, state], getattr(depth, state))
        yield gauge


class Scrape:
    """Renders `registry`, with the depths of the queues brought up to date at most every FRESH seconds."""

    def __init__(self, ports: Ports, registry: CollectorRegistry) -> None:
        self._ports = ports
        self._registry = registry
        self._depths = QueueDepths()
        self._looked = float("-inf")
        self._turn = asyncio.Lock()
        registry.register(self._depths)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type, in the format that `accept` asks for."""
        async with self._turn:
            if time.monotonic() - self._looked >= FRESH:
                await self._look()
                self._looked = time.monotonic()
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    async def _look(self) -> None:
        try:
            pools = await self._ports.store.pools()
            self._depths.seen = {pool.name: await self._ports.queue.depth(pool.name) for pool in pools}
        except Unavailable as error:
            log.warning("the depths of the queues are unknown", error=str(error))
            self._depths.seen = {}
