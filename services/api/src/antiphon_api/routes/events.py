"""Follow a job while it runs."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from antiphon.errors import JobDeleted, JobNotFound, Unavailable
from antiphon_api import feed
from antiphon_api.context import Here, JobId, Tenant
from antiphon_api.errors import LastEventIdInvalid
from antiphon_api.openapi import of_events
from antiphon_api.problems import responses
from antiphon_api.schemas import JobOut

KEEP_ALIVE = 15
"""Seconds between comments that keep proxies from closing a silent connection."""

STUCK = 60
"""Seconds after which a listener that reads nothing is given up."""

_NUMBER = {"pattern": "^[0-9]{1,18}$"}

router = APIRouter(prefix="/v1/jobs/{job}", tags=["events"])


@router.get(
    "/events",
    operation_id="followJob",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Server-Sent Events; the data of each is the job as it then stood.",
            "content": of_events(JobOut.__name__),
        },
        204: {"description": "The job has ended and the listener has seen it all: there is nothing to come back for."},
        **responses(JobNotFound, JobDeleted, LastEventIdInvalid, Unavailable),
    },
)
async def follow_job(
    here: Here,
    tenant: Tenant,
    job: JobId,
    last_event_id: Annotated[
        str | None,
        Header(
            alias="Last-Event-ID",
            description="The `id` of the last event that was seen; the stream goes on after it.",
            json_schema_extra=_NUMBER,
        ),
    ] = None,
    since: Annotated[
        str | None,
        Query(
            alias="last_event_id",
            description="The same, for those who cannot set headers. The header wins.",
            json_schema_extra=_NUMBER,
        ),
    ] = None,
) -> Response:
    """Every change of the job, its history first, as Server-Sent Events; ends when the job does.

    `state` and `result` events are numbered; `result` tells of success. `progress` comes between them, without a
    number, at most once a second. A browser's EventSource comes back by itself with Last-Event-ID, misses nothing, and
    stops once it is told 204.
    """
    seen = feed.last_event_id(last_event_id or since)
    standing = await here.ports.store.job(tenant, job)
    if standing.state.terminal and seen >= standing.events:
        return Response(status_code=204)
    stream = feed.follow(here.ports, tenant, job, min(seen, standing.events), here.closing)
    return EventSourceResponse(
        stream,
        ping=KEEP_ALIVE,
        ping_message_factory=lambda: ServerSentEvent(comment="keep-alive", sep="\n"),
        send_timeout=STUCK,
        sep="\n",
    )
