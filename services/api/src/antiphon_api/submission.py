"""Takes a new job: the recording goes to the blob store while it arrives, then the job goes to the store."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import structlog

from antiphon.admission import eta_seconds
from antiphon.blobs.base import Blob, Blobs
from antiphon.errors import InDoubt, Unavailable
from antiphon.ids import new_id
from antiphon.jobs import Job, Source, State
from antiphon.pools import Pool
from antiphon.ports import Ports
from antiphon.retention import RetentionClass, blob_prefix
from antiphon.store.base import Store
from antiphon_api import filenames
from antiphon_api.errors import FieldError, FieldsInvalid, MultipartInvalid
from antiphon_api.multipart import Part, parts
from antiphon_api.new_jobs import Terms, new_job
from antiphon_api.options import MAX_OPTIONS_BYTES, JobOptions
from antiphon_speech.errors import AudioEmpty, AudioTooLarge

FORM_BYTES = MAX_OPTIONS_BYTES + 64 * 1024
"""What a form may hold besides the recording: options, boundaries, headers of the parts."""

# https://www.w3.org/TR/trace-context/#traceparent-header: ids are not all zeros, and there is no version ff
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose submission it is, and what its headers say. `length` is None for a body that comes in chunks."""

    tenant: str
    boundary: bytes
    length: int | None = None
    idempotency_key: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A submission once it is complete, and its recording safe."""

    recording: Blob
    filename: str
    options: JobOptions


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a job may expect; None where it is not known."""

    position: int | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """An accepted job. It is not `new` if its idempotency key is known: then it is the job that the key first gave."""

    job: Job
    new: bool
    outlook: Outlook


async def submit(
    ports: Ports,
    origin: Origin,
    body: AsyncIterable[bytes],
    terms: Terms,
    *,
    given: JobOptions | None = None,
    completed: Callable[[Job], Job] = lambda job: job,
) -> Submitted:
    """Take the recording and the options in `body` as a job, on these `terms`.

    Where the options are `given` otherwise, the form's other parts are left alone. `completed` may add to the job what
    is known of it besides, once its recording is safe. Whatever is surely not accepted leaves no blob behind. Raises
    what is wrong with the request, and Unavailable.
    """
    limit = terms.max_bytes
    if origin.length is not None and origin.length > limit + FORM_BYTES:
        raise AudioTooLarge(origin.length, limit)
    pools = await ports.store.pools()  # before the upload: a store that is away should not cost one
    job_id = new_id()
    prefixes = {kind: blob_prefix(kind, origin.tenant, job_id) for kind in RetentionClass}
    keys = {kind: f"{prefix}/source" for kind, prefix in prefixes.items()}
    try:
        form = await receive(_bounded(body, limit), origin.boundary, ports.blobs, keys, limit, given)
        job = completed(_of_form(job_id, origin, form, pools, terms))
    except BaseException:  # who leaves in the middle of an upload may do so by cancellation
        await _discard(ports.blobs, *prefixes.values())
        raise
    try:
        accepted = await ports.store.accept(job)
    except InDoubt:
        raise  # the recording stays: a job without one is worse than a recording without a job
    except Exception:  # not cancellation, after which the store may still commit
        await _discard(ports.blobs, job.blob_prefix)
        raise
    new = accepted.id == job_id
    if not new:
        await _discard(ports.blobs, job.blob_prefix)
    return Submitted(accepted, new, await outlook(ports.store, accepted, pools))


async def receive(
    body: AsyncIterable[bytes],
    boundary: bytes,
    blobs: Blobs,
    keys: Mapping[RetentionClass, str],
    limit: int,
    given: JobOptions | None = None,
) -> Form:
    """The form in `body`, its parts in any order, its recording stored under the one of `keys` that it asks for.

    A recording that comes before the options waits for them under the key of the standard class.
    """
    recording: Blob | None = None
    options = given
    filename = ""
    async for part in parts(body, boundary):
        match part.name:
            case "file" if recording is None:
                filename = filenames.clean(part.filename)
                kind = RetentionClass.STANDARD if options is None else options.retention_class
                recording = await blobs.put(keys[kind], _recording(part, limit))
            case "file":
                raise MultipartInvalid("the form has the part `file` twice")
            case _ if given is not None:
                await part.skip()
            case "options" if options is None:
                options = await _options(part)
            case "options":
                raise MultipartInvalid("the form has the part `options` twice")
            case _:
                raise MultipartInvalid("the form has a part that is neither `file` nor `options`")
    if recording is None:
        raise MultipartInvalid("the form has no part `file`, which holds the recording")
    if recording.size == 0:
        raise AudioEmpty("the recording holds no bytes")
    options = options or JobOptions()
    key = keys[options.retention_class]
    if recording.key != key:
        await blobs.move(recording.key, key)
    return Form(replace(recording, key=key), filename, options)


async def outlook(store: Store, job: Job, pools: Iterable[Pool]) -> Outlook:
    """What `job` may expect. Nothing is known while the store is away, which does not undo an acceptance."""
    slots = next((pool.concurrency for pool in pools if pool.name == job.pool), 1)
    try:
        position = await store.position(job)
        backlog = await store.backlog(job.pool)
    except Unavailable as error:
        log.warning("a job was accepted, and its outlook is unknown", job=job.id, error=str(error))
        return Outlook()
    return Outlook(position, eta_seconds(position, backlog, slots) if job.state is State.QUEUED else None)


def traceparent(header: str | None) -> str | None:
    """`header`, if it is a W3C trace context; one that is not is ignored, as the standard asks."""
    return header if header is not None and _TRACEPARENT.fullmatch(header) else None


def _of_form(job_id: str, origin: Origin, form: Form, pools: Iterable[Pool], terms: Terms) -> Job:
    recording = form.recording
    job = new_job(
        job_id,
        origin.tenant,
        Source(recording.key, form.filename, recording.size, recording.sha256),
        form.options,
        pools,
        terms,
    )
    return replace(
        job,
        traceparent=origin.traceparent,
        idempotency_key=origin.idempotency_key,
        fingerprint=form.options.fingerprint(recording.sha256),
    )


async def _discard(blobs: Blobs, *prefixes: str) -> None:
    """Remove the blobs of a job that was not accepted; why it was not matters more than whether this works."""
    for prefix in prefixes:
        try:
            await blobs.delete_prefix(prefix)
        except Unavailable as error:
            log.warning("a blob of no job is left behind", prefix=prefix, error=str(error))


async def _bounded(body: AsyncIterable[bytes], limit: int) -> AsyncIterator[bytes]:
    """`body`, which a client may send without telling its length."""
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > limit + FORM_BYTES:
            raise AudioTooLarge(size, limit)
        if chunk:
            yield chunk


async def _recording(part: Part, limit: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in part:
        size += len(chunk)
        if size > limit:
            raise AudioTooLarge(size, limit)
        yield chunk


async def _options(part: Part) -> JobOptions:
    text = await part.text(MAX_OPTIONS_BYTES)
    if text is None:
        raise FieldsInvalid([FieldError("/options", f"at most {MAX_OPTIONS_BYTES} bytes are taken")])
    return JobOptions.parse(text)
