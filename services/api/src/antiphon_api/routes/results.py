"""What the analysis found: the result, and the files beside it."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request, Response

from antiphon.errors import JobDeleted, JobNotFound, JobNotTerminal, JobTerminal, Unavailable
from antiphon.jobs import Artifact, Job, State
from antiphon.ports import Ports
from antiphon_api import downloads
from antiphon_api.context import Here, JobId, Tenant
from antiphon_api.errors import ArtifactGone, ArtifactNotFound, RangeNotSatisfiable
from antiphon_api.openapi import of_model
from antiphon_api.problems import responses
from antiphon_api.schemas import ArtifactList, ArtifactOut

RESULT = "result.json"

router = APIRouter(prefix="/v1/jobs/{job}", tags=["results"])

IfNoneMatch = Annotated[str | None, Header(description="An ETag; the answer is 304 if the file is still that one.")]
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The file is the one that If-None-Match names."}}
_NOT_READABLE = (JobNotFound, JobDeleted, JobTerminal, JobNotTerminal, Unavailable)
_ETAG = {"ETag": {"description": "The SHA-256 of the bytes, quoted.", "schema": {"type": "string"}}}


@router.get(
    "/artifacts",
    operation_id="listArtifacts",
    summary="List a job's files",
    responses=responses(*_NOT_READABLE),
)
@router.head("/artifacts", include_in_schema=False)
async def list_artifacts(here: Here, tenant: Tenant, job: JobId) -> ArtifactList:
    """Everything that the stages left, once the job has succeeded."""
    done, artifacts = await _artifacts(here.ports, tenant, job)
    return ArtifactList(artifacts=[ArtifactOut.of(done, artifact) for artifact in artifacts])


@router.get(
    "/result",
    operation_id="getResult",
    summary="Get a job's result",
    response_class=Response,
    responses={
        200: {"description": "The result.", "content": of_model("Result"), "headers": _ETAG},
        **_UNCHANGED,
        **responses(*_NOT_READABLE, ArtifactNotFound, ArtifactGone),
    },
)
@router.head("/result", include_in_schema=False)
async def get_result(
    request: Request, here: Here, tenant: Tenant, job: JobId, if_none_match: IfNoneMatch = None
) -> Response:
    """Text, words, pitch and sentiment in one document; the parts that were not asked for are null."""
    artifact = await _artifact(here.ports, tenant, job, RESULT)
    download = downloads.Download(artifact, method=request.method, if_none_match=if_none_match)
    return await download.response(here.ports.blobs)


@router.get(
    "/result/{artifact}",
    operation_id="getArtifact",
    summary="Get one of a job's files",
    response_class=Response,
    responses={
        200: {
            "description": "The file, in its own media type.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
            "headers": _ETAG,
        },
        206: {
            "description": "The part that Range asks for.",
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {"Content-Range": {"schema": {"type": "string"}, "description": "`bytes 0-99/1234`"}},
        },
        **_UNCHANGED,
        **responses(*_NOT_READABLE, ArtifactNotFound, ArtifactGone, RangeNotSatisfiable),
    },
)
@router.head("/result/{artifact}", include_in_schema=False)
async def get_artifact(
    request: Request,
    here: Here,
    tenant: Tenant,
    job: JobId,
    artifact: Annotated[str, Path(description="The file's name.", examples=["transcript.srt"])],
    if_none_match: IfNoneMatch = None,
    range: Annotated[str | None, Header(description="One range of bytes: `bytes=0-99`.")] = None,  # noqa: A002
    if_range: Annotated[str | None, Header(description="An ETag; Range counts only if the file is that one.")] = None,
) -> Response:
    """Any file by its name, whole or in part."""
    found = await _artifact(here.ports, tenant, job, artifact)
    download = downloads.Download(
        found, method=request.method, if_none_match=if_none_match, range=range, if_range=if_range, attached=True
    )
    return await download.response(here.ports.blobs)


async def _artifacts(ports: Ports, tenant: str, job_id: str) -> tuple[Job, list[Artifact]]:
    """Files can be read once the job has succeeded: before, an attempt that may still fail could have left them."""
    job = await ports.store.job(tenant, job_id)
    if not job.state.terminal:
        raise JobNotTerminal(job.id, job.state)
    if job.state is not State.SUCCEEDED:
        raise JobTerminal(job.id, job.state)
    return job, await ports.store.artifacts(tenant, job_id)


async def _artifact(ports: Ports, tenant: str, job_id: str, name: str) -> Artifact:
    _, artifacts = await _artifacts(ports, tenant, job_id)
    for artifact in artifacts:
        if artifact.name == name:
            return artifact
    raise ArtifactNotFound([artifact.name for artifact in artifacts])
