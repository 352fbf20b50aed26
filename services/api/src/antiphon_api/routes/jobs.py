"""Submit recordings, and see, cancel, redo or delete jobs."""

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Header, Query, Request, Response

from antiphon import lifecycle
from antiphon.errors import (
    IdempotencyMismatch,
    JobDeleted,
    JobHeld,
    JobNotFound,
    JobNotTerminal,
    JobSucceeded,
    JobTerminal,
    NoPool,
    Unavailable,
)
from antiphon.jobs import Job, State
from antiphon.lifecycle import Change
from antiphon_api import dead_letters, submission
from antiphon_api.context import Here, JobId, Tenant
from antiphon_api.errors import (
    FieldsInvalid,
    MediaTypeNotSupported,
    MultipartInvalid,
    RequestIncomplete,
)
from antiphon_api.multipart import boundary_of
from antiphon_api.openapi import form_body
from antiphon_api.parameters import Cursor, Moment, cursor_after, seconds
from antiphon_api.problems import responses
from antiphon_api.schemas import Accepted, JobOut, JobPage
from antiphon_speech.errors import AudioEmpty, AudioTooLarge, NotAvailable

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

log = structlog.get_logger(__name__)

_ACCEPTED: dict[str, Any] = {
    "headers": {
        "Location": {"description": "The job.", "schema": {"type": "string"}},
        "Idempotency-Replayed": {
            "description": "`true` if the idempotency key is known, and this is the job that it first gave.",
            "schema": {"type": "string"},
        },
    }
}


@router.post(
    "",
    operation_id="submitJob",
    summary="Submit a recording",
    status_code=202,
    openapi_extra={"requestBody": form_body()},
    response_description="The job is on disk, and will end.",
    responses={
        202: _ACCEPTED,
        **responses(
            RequestIncomplete,
            MultipartInvalid,
            AudioTooLarge,
            MediaTypeNotSupported,
            FieldsInvalid,
            NotAvailable,
            NoPool,
            AudioEmpty,
            IdempotencyMismatch,
            Unavailable,
        ),
    },
)
async def submit_job(
    request: Request,
    response: Response,
    here: Here,
    tenant: Tenant,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern=r"^[\x20-\x7e]*$",
            description="Within 24 hours, the same key with the same recording and options gives the job that it first "
            "gave; with another request it is refused. 1 to 255 printable ASCII characters.",
        ),
    ] = None,
    traceparent: Annotated[
        str | None, Header(description="W3C trace context; the trace goes on through queue and worker.")
    ] = None,
    content_type: Annotated[str | None, Header(include_in_schema=False)] = None,
    content_length: Annotated[int | None, Header(include_in_schema=False)] = None,
) -> Accepted:
    """Takes a recording and says where to follow its analysis.

    The form's parts may come in any order. The recording is stored while it arrives; the answer comes once it and the
    job are safely on disk. What is not accepted leaves nothing behind.
    """
    origin = submission.Origin(
        tenant=tenant,
        boundary=boundary_of(content_type),
        length=content_length,
        idempotency_key=idempotency_key,
        traceparent=submission.traceparent(traceparent),
    )
    taken = await submission.submit(here.ports, origin, request.stream(), here.settings.terms())
    if taken.new:
        here.hooks.accepted(taken.job)
    else:
        response.headers["Idempotency-Replayed"] = "true"
    accepted = Accepted.of(taken.job, taken.outlook.position, taken.outlook.eta_seconds)
    response.headers["Location"] = accepted.links.self
    return accepted


@router.get("", operation_id="listJobs", summary="List jobs", responses=responses(FieldsInvalid, Unavailable))
@router.head("", include_in_schema=False)
async def list_jobs(
    here: Here,
    tenant: Tenant,
    state: Annotated[list[State], Query(description="Only jobs in one of these states; may be repeated.")] = [],  # noqa: B006
    created_after: Annotated[Moment | None, Query(description="Only jobs created then or later.")] = None,
    created_before: Annotated[Moment | None, Query(description="Only jobs created before then.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs on a page.")] = 20,
    cursor: Annotated[Cursor | None, Query(max_length=100, description="`next_cursor` of the page before.")] = None,
) -> JobPage:
    """The newest jobs first, a page at a time."""
    found = await here.ports.store.jobs(
        tenant,
        limit=limit + 1,
        states=state,
        created_after=seconds(created_after),
        created_before=seconds(created_before),
        before=cursor,
    )
    page = found[:limit]
    return JobPage(
        jobs=[JobOut.of(job) for job in page],
        next_cursor=cursor_after(page[-1].id) if len(found) > limit else None,
    )


@router.get(
    "/{job}", operation_id="getJob", summary="See a job", responses=responses(JobNotFound, JobDeleted, Unavailable)
)
@router.head("/{job}", include_in_schema=False)
async def get_job(here: Here, tenant: Tenant, job: JobId) -> JobOut:
    """How the job stands."""
    return JobOut.of(await here.ports.store.job(tenant, job))


@router.post(
    "/{job}/cancel",
    operation_id="cancelJob",
    summary="Cancel a job",
    responses=responses(JobNotFound, JobDeleted, JobTerminal, Unavailable),
)
async def cancel_job(here: Here, tenant: Tenant, job: JobId) -> JobOut:
    """Ends a job that waits or runs; whoever works on it stops. Again on a cancelled job changes nothing."""
    ended = False

    def cancel(standing: Job, now: float) -> Change:
        nonlocal ended
        change = lifecycle.cancel(standing, now)
        ended = change.event is not None
        return change

    cancelled = await here.ports.store.change(tenant, job, cancel)
    if ended:
        here.hooks.ended(cancelled)
    return JobOut.of(cancelled)


@router.post(
    "/{job}/redrive",
    operation_id="redriveJob",
    summary="Try a job again",
    status_code=202,
    response_description="The job waits again, in a new round.",
    responses=responses(JobNotFound, JobDeleted, JobNotTerminal, JobSucceeded, Unavailable),
)
async def redrive_job(here: Here, tenant: Tenant, job: JobId) -> JobOut:
    """Opens a new round for a job that ended without success. Stages that are done do not run again."""
    queued = await here.ports.store.change(tenant, job, lifecycle.redrive)
    await dead_letters.forget(here.ports.queue, queued)
    return JobOut.of(queued)


@router.delete(
    "/{job}",
    operation_id="deleteJob",
    summary="Delete a job",
    status_code=204,
    response_description="Nothing is left but the fact that there was such a job.",
    responses=responses(JobNotFound, JobDeleted, JobHeld, Unavailable),
)
async def delete_job(here: Here, tenant: Tenant, job: JobId) -> None:
    """Cancels the job if it still runs, and erases its recording, its results and its history.

    A job under a legal hold is not deleted.
    """
    deleted = await here.ports.store.change(tenant, job, lifecycle.delete)
    try:
        await here.ports.blobs.delete_prefix(deleted.blob_prefix)
    except Unavailable as error:
        log.warning("a deleted job's blobs are still there; the sweeper will erase them", job=job, error=str(error))
