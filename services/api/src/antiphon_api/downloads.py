"""Artifacts as HTTP responses: whole or in part, or the word that the caller has them already."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from starlette.responses import Response, StreamingResponse

from antiphon.blobs.base import Blobs
from antiphon.disposition import attachment
from antiphon.errors import BlobNotFound
from antiphon.jobs import Artifact
from antiphon_api import ranges
from antiphon_api.errors import ArtifactGone

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Download:
    """One request for an artifact."""

    artifact: Artifact
    method: str = "GET"
    if_none_match: str | None = None
    range: str | None = None
    if_range: str | None = None
    attached: bool = False
    """To be saved under its name, and never shown by a browser as if it were a page of ours."""

    async def response(self, blobs: Blobs) -> Response:
        """Raises RangeNotSatisfiable, ArtifactGone."""
        artifact = self.artifact
        etag = f'"{artifact.sha256}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if ranges.unchanged(self.if_none_match, etag):
            return Response(status_code=304, headers=headers)
        if self.attached:
            headers["Content-Disposition"] = attachment(artifact.name)
            headers["Accept-Ranges"] = "bytes"
        asked = self.range if self.method == "GET" else None  # RFC 9110, section 14.2
        span = ranges.requested(asked, self.if_range, etag, artifact.size)
        if span is not None:
            headers["Content-Range"] = span.content_range
        whole = ranges.Span(0, artifact.size, artifact.size)
        part = span or whole
        headers["Content-Length"] = str(part.length)
        status = 200 if span is None else 206
        headers["Content-Type"] = artifact.media_type  # as a header, since Starlette adds a charset to a media type
        if self.method == "HEAD":
            return Response(status_code=status, headers=headers)
        try:
            content = await _begun(blobs.read(artifact.key, start=part.start, end=part.end))
        except BlobNotFound:
            log.warning("an artifact has lost its bytes, or its job is being deleted", key=artifact.key)
            raise ArtifactGone(artifact.name) from None
        return StreamingResponse(content, status, headers)


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """`chunks`, the first of them already read: a blob that is missing must show before the response starts."""
    first = await anext(chunks, b"")

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return all_of_them()
