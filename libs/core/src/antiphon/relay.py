"""Sends what the outbox promises. Runs in every API replica and worker; rows are shared out by lease."""

import math
from random import Random

import structlog

from antiphon.errors import Unavailable
from antiphon.queue.base import Queue, SendOutcome
from antiphon.store.base import Store

BATCH = 100
LEASE = 5.0
"""Seconds that a relay has to send a batch before another one tries; a relay that dies delays its batch by as much."""

IDLE = 2.0
"""Seconds after which a relay looks for what others promised and did not send: their process may have died."""

log = structlog.get_logger(__name__)


class Relay:
    """Moves messages from the store's outbox to the queue, at least once."""

    def __init__(self, store: Store, queue: Queue, *, random: Random | None = None) -> None:
        self._store = store
        self._queue = queue
        self._random = random or Random()

    async def run(self) -> None:
        """Relay until cancelled. While a backend is away it waits, longer each time, up to IDLE."""
        failures = 0
        while True:
            try:
                while await self.relay():
                    failures = 0
                pause = IDLE
            except Unavailable as error:
                failures += 1
                log.warning("relay waits for a backend; nothing is lost", error=str(error), failures=failures)
                pause = self._random.uniform(0, min(IDLE, 0.1 * math.exp2(min(failures, 10))))
            await self._store.wait_for_outbox(pause)

    async def relay(self) -> int:
        """Send one batch; how many messages went out. What failed is tried again once its lease has ended."""
        rows = await self._store.take_outbox(BATCH, lease=LEASE)
        if not rows:
            return 0
        outcomes = await self._queue.send([row.message for row in rows])
        sent = [row.id for row, outcome in zip(rows, outcomes, strict=True) if outcome is not SendOutcome.FAILED]
        if len(sent) < len(rows):
            log.warning("the queue refused messages; they will be sent again", refused=len(rows) - len(sent))
        await self._store.drop_outbox(sent)
        return len(sent)
