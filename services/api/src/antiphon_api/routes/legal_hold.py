"""Keep a job whatever anybody wants and however long ago it ended, or no longer."""

import structlog
from fastapi import APIRouter

from antiphon import lifecycle
from antiphon.errors import JobDeleted, JobEphemeral, JobNotFound, Unavailable
from antiphon_api import internal
from antiphon_api.context import Here, JobId, Tenant
from antiphon_api.problems import responses
from antiphon_api.schemas import JobOut

router = APIRouter(prefix="/v1/jobs/{job}/legal-hold", tags=["jobs"], dependencies=[internal.TOKEN])

log = structlog.get_logger(__name__)


@router.put(
    "",
    operation_id="holdJob",
    summary="Put a job under a legal hold",
    responses=responses(JobNotFound, JobDeleted, JobEphemeral, Unavailable, *internal.ERRORS),
)
async def hold_job(here: Here, tenant: Tenant, job: JobId) -> JobOut:
    """Keeps recording, results and history until the hold is lifted: time does not erase them, and `DELETE` is refused.

    For holders of the internal token. Again on a held job changes nothing.
    """
    held = await here.ports.store.change(tenant, job, lifecycle.hold)
    log.info("a job is under a legal hold", job=job)
    return JobOut.of(held)


@router.delete(
    "",
    operation_id="liftHold",
    summary="Lift a legal hold",
    responses=responses(JobNotFound, JobDeleted, Unavailable, *internal.ERRORS),
)
async def lift_hold(here: Here, tenant: Tenant, job: JobId) -> JobOut:
    """Lets time go on: a job whose `retained_until` has passed is erased within seconds.

    For holders of the internal token. On a job that is not held it changes nothing.
    """
    lifted = await here.ports.store.change(tenant, job, lifecycle.lift)
    log.info("the legal hold of a job is lifted", job=job)
    return JobOut.of(lifted)
