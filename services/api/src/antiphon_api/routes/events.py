"""Follow a job while it runs."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from antiphon.errors import JobDeleted, JobNotFound, Unavailable
from antiphon_api import feed
from antiphon_api.context import Here, JobId, Tenant
from antiphon_api.errors import LastEventIdInvalid
from antiphon_api.problems import responses

KEEP_ALIVE = 15
"""Seconds between comments that keep proxies from closing a silent connection."""

STUCK = 60
"""Seconds after which a listener that reads nothing is given up."""

_EXAMPLE = """\
id: 2
event: state
data: {"id": "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11", "state": "running", "progress": 0.0, ...}

event: progress
data: {"id": "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11", "state": "running", "progress": 42.0, ...}

id: 3
event: result
data: {"id": "01936d3c-7b5e-7e3a-9d51-3c0f3b6f2a11", "state": "succeeded", "progress": 100.0, ...}
"""

router = APIRouter(prefix="/v1/jobs/{job}", tags=["events"])


@router.get(
    "/events",
    operation_id="followJob",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Server-Sent Events; the data of each is the job as it then stood.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
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
            alias="Last-Event-ID", description="The `id` of the last event that was seen; the stream goes on after it."
        ),
    ] = None,
    since: Annotated[
        str | None,
        Query(alias="last_event_id", description="The same, for those who cannot set headers. The header wins."),
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
