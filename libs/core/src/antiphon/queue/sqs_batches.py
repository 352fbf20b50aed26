"""How much goes into one call to SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

ENTRIES = 10
BYTES = 1024 * 1024
"""Of all bodies and attributes together; as much as a single message may have."""

T = TypeVar("T")


def batches(items: Sequence[T], size: Callable[[T], int] = lambda _: 0) -> Iterator[list[T]]:
    """Split `items`, in order, so that each part fits into one call; `size` in bytes.

    What is too large for any call is left alone in its part, where it spoils nothing but itself.
    """
    batch: list[T] = []
    total = 0
    for item in items:
        weight = size(item)
        if batch and (len(batch) == ENTRIES or total + weight > BYTES):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += weight
    if batch:
        yield batch
