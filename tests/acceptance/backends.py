"""The combinations of backends on which the main promises are kept: what an installation on each of them is set to."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from aiobotocore.session import get_session
from tests import servers

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-central-1"}


@dataclass(frozen=True, slots=True)
class Backends:
    """What the programs find in their environment, and how their queue is lost with all that is in it."""

    settings: dict[str, str]
    lose_queue: Callable[[], None]


@contextmanager
def files(_request: pytest.FixtureRequest, data: Path) -> Iterator[Backends]:
    """Embedded: everything in files."""

    def lose_queue() -> None:
        for file in (data / "files").glob("queue.db*"):
            file.unlink()

    yield Backends({}, lose_queue)


@contextmanager
def redis_and_postgresql(request: pytest.FixtureRequest, _data: Path) -> Iterator[Backends]:
    """A cluster without AWS: queue and wake-ups on Redis, the store on PostgreSQL, blobs on a shared volume."""
    store = request.getfixturevalue("postgres_url")
    with servers.redis() as url, closing(redis.Redis.from_url(url)) as client:

        def lose_queue() -> None:
            client.flushall()

        yield Backends({"ANTIPHON_STORE_URL": store, "ANTIPHON_QUEUE_URL": url, "ANTIPHON_EVENTS_URL": url}, lose_queue)


@contextmanager
def aws_and_postgresql(request: pytest.FixtureRequest, _data: Path) -> Iterator[Backends]:
    """AWS: queue on SQS, blobs on S3, the store and its wake-ups on PostgreSQL."""
    store, endpoint = request.getfixturevalue("postgres_url"), request.getfixturevalue("aws_server")
    name = f"test-{uuid.uuid4().hex[:12]}"

    async def make_bucket(s3: Any) -> None:
        place = {"LocationConstraint": AWS["AWS_REGION"]}
        await s3.create_bucket(Bucket=name, CreateBucketConfiguration=place)

    async def delete_queues(sqs: Any) -> None:
        for queue in (await sqs.list_queues(QueueNamePrefix=name))["QueueUrls"]:
            await sqs.delete_queue(QueueUrl=queue)

    _ask(endpoint, "s3", make_bucket)
    yield Backends(
        {
            **AWS,
            "AWS_ENDPOINT_URL": endpoint,
            "ANTIPHON_STORE_URL": store,
            "ANTIPHON_QUEUE_URL": f"sqs://?prefix={name}",
            "ANTIPHON_BLOBS_URL": f"s3://{name}/antiphon",
        },
        lambda: _ask(endpoint, "sqs", delete_queues),
    )


BACKENDS = {"files": files, "redis-postgresql": redis_and_postgresql, "sqs-postgresql-s3": aws_and_postgresql}


def _ask(endpoint: str, service: str, question: Callable[[Any], Awaitable[None]]) -> None:
    async def ask() -> None:
        async with get_session().create_client(
            service,  # type: ignore[call-overload]
            region_name=AWS["AWS_REGION"],
            endpoint_url=endpoint,
            aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
        ) as client:
            await question(client)

    asyncio.run(ask())
