"""Whether this process is well, for those who run it."""

import asyncio
from dataclasses import fields
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from antiphon.errors import Unavailable
from antiphon.ports import Ports
from antiphon.resource import Resource
from antiphon_api.context import Here
from antiphon_api.errors import BackendsAway
from antiphon_api.problems import responses
from antiphon_api.schemas import Health

PING_SECONDS = 2.0

_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="getHealth", summary="Is it alive?", responses=responses())
@router.head("/healthz", include_in_schema=False)
async def get_health() -> Health:
    """Answers as long as the process does; touches nothing else, so that a backend's trouble restarts nobody."""
    return Health()


@router.get("/readyz", operation_id="getReadiness", summary="Can it work?", responses=responses(BackendsAway))
@router.head("/readyz", include_in_schema=False)
async def get_readiness(here: Here) -> Health:
    """Answers 200 if store, queue, blobs and events do; otherwise it names those that are away."""
    names = [field.name for field in fields(Ports)]
    answers = await asyncio.gather(*(_answers(getattr(here.ports, name)) for name in names))
    away = [name for name, answered in zip(names, answers, strict=True) if not answered]
    if away:
        raise BackendsAway(away)
    return Health()


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={**_METRICS, **responses()},
)
async def get_metrics(here: Here, accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
    """The metrics of this process, and the depths of the queues from a look that is at most 2 seconds old."""
    content, content_type = await here.scrape.render(accept)
    return Response(content, headers={"Content-Type": content_type})


async def _answers(port: Resource) -> bool:
    try:
        async with asyncio.timeout(PING_SECONDS):
            await port.ping()
    except (Unavailable, TimeoutError):
        return False
    return True
