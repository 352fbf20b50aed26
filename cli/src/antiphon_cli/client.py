"""The API over HTTP. Every method raises Unreachable, Refused or NotFound besides what it says."""

import ipaddress
import json
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from antiphon_cli.errors import (
    AnswerLost,
    CommandError,
    NotFound,
    Refused,
    ServerUnavailable,
    TokenRefused,
    Unreachable,
    UsageError,
)
from antiphon_cli.masking import masked
from antiphon_cli.sse import events
from antiphon_cli.views import (
    Accepted,
    DeadLetterList,
    Job,
    JobPage,
    MessageList,
    Pool,
    Purged,
    Queue,
    QueueList,
    Redriven,
    Update,
)

_REFUSALS = {401: TokenRefused, 404: NotFound, 410: NotFound, 503: ServerUnavailable}
_TRIES = 3
_UPLOAD = httpx.Timeout(30.0, read=120.0)
"""The answer comes once the recording is safely on the server's disk."""
_LONG = httpx.Timeout(10.0, read=60.0)
"""A purge takes some ten seconds, and backends may be slow."""
_PAUSE = 0.5
_PATIENCE = 30.0
"""Seconds for which a followed job's server may be away."""
_SILENCE = 45.0
"""Seconds without even a keep-alive after which a stream counts as broken."""
_PAGE = 100

V = TypeVar("V", bound=BaseModel)


class Client:
    """A connection to one server; close it, or use it as a context manager.

    `token` is the server's internal one, which goes along with nothing but what wants it.
    """

    def __init__(self, url: str, *, timeout: float = 30.0, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = token
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise UsageError(f"{masked(url)!r} is no address of a server: {error}") from None
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise UsageError(
                f"{masked(url)!r} is no address of a server; write http://host:port (--url or ANTIPHON_URL)"
            )
        # a proxy could not reach this machine's own addresses
        self._http = httpx.Client(base_url=self.url, timeout=timeout, trust_env=not _is_here(parsed.host))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, recording: Path, options: Mapping[str, object]) -> Accepted:
        """Send a recording. The same idempotency key goes with every try, so that a lost answer makes no second job.

        Raises CommandError if the file cannot be read.
        """
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        form = {"options": json.dumps(options)} if options else {}
        with _opened(recording) as file:

            def send() -> Accepted:
                parts = {"file": (recording.name, file)}
                answer = self._request("POST", "/v1/jobs", files=parts, data=form, headers=headers, timeout=_UPLOAD)
                return self._parsed(Accepted, _checked(answer).content)

            for _ in range(_TRIES - 1):
                try:
                    return send()
                except (AnswerLost, ServerUnavailable):
                    time.sleep(_PAUSE)
            return send()

    def job(self, job: str) -> Job:
        return self._parsed(Job, self._get(_path(job)).content)

    def jobs(self, *, states: Collection[str] = (), limit: int) -> Iterator[Job]:
        """The newest first, at most `limit`."""
        cursor: str | None = None
        while limit > 0:
            query: dict[str, Any] = {"limit": min(limit, _PAGE), "state": list(states)}
            answer = self._get("/v1/jobs", params=query if cursor is None else {**query, "cursor": cursor})
            page = self._parsed(JobPage, answer.content)
            yield from page.jobs[:limit]
            limit -= len(page.jobs)
            cursor = page.next_cursor
            if cursor is None:
                return

    def cancel(self, job: str) -> Job:
        return self._parsed(Job, self._send("POST", f"{_path(job)}/cancel").content)

    def redrive(self, job: str) -> Job:
        """Open a new round of a job that failed."""
        return self._parsed(Job, self._send("POST", f"{_path(job)}/redrive").content)

    def delete(self, job: str) -> None:
        self._send("DELETE", _path(job))

    def artifact(self, job: str, name: str) -> bytes:
        """The bytes of an artifact, such as `transcript.srt`."""
        return self._get(f"{_path(job)}/result/{quote(name, safe='')}").content

    def queues(self) -> list[Queue]:
        """The depths of every pool's queues."""
        return self._parsed(QueueList, self._get("/v1/queues").content).queues

    def peek(self, pool: str, *, limit: int) -> MessageList:
        """What waits in the pool's queue. Raises TokenRefused, as do all that follow."""
        return self._parsed(MessageList, self._internal("GET", pool, "messages", params={"limit": limit}).content)

    def dead(self, pool: str, *, limit: int) -> DeadLetterList:
        """The oldest dead letters of the pool."""
        return self._parsed(DeadLetterList, self._internal("GET", pool, "dead", params={"limit": limit}).content)

    def redrive_dead(self, pool: str, *, ids: Collection[str] | None, limit: int) -> Redriven:
        """Try these dead letters again, or the oldest `limit`."""
        wish = {"limit": limit} if ids is None else {"ids": list(ids)}
        return self._parsed(Redriven, self._internal("POST", pool, "redrive", json=wish).content)

    def purge(self, pool: str, *, priority: str | None) -> Purged:
        """Cancel what waits for the pool, of one priority or of all; to be repeated until it is complete."""
        wish = {} if priority is None else {"priority": priority}
        return self._parsed(Purged, self._internal("POST", pool, "purge", json=wish).content)

    def pause(self, pool: str, *, paused: bool) -> Pool:
        """Keep the pool's workers from beginning anything, or let them again."""
        return self._parsed(Pool, self._internal("POST", pool, "pause" if paused else "resume").content)

    def ready(self) -> bool:
        """Whether the server can work."""
        return self._request("GET", "/readyz").status_code == httpx.codes.OK

    def follow(self, job: str) -> Iterator[Update]:
        """What happened and happens to the job in its present round, until it has ended.

        Reconnects where the stream breaks, for as long as the server is not away for more than half a minute.
        """
        present = self.job(job)
        if present.terminal:
            yield Update("result" if present.state == "succeeded" else "state", present)
        last_id: str | None = None
        lost_at: float | None = None
        while not present.terminal:
            try:
                with self._stream(job, last_id) as chunks:
                    for event in events(chunks):
                        lost_at, last_id = None, event.id or last_id
                        told = self._parsed(Job, event.data)
                        if told.round < present.round:
                            continue  # the stream begins with the job's whole history
                        present = told
                        yield Update(event.event, present)
                        if present.terminal:
                            return
            except httpx.TransportError as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > _PATIENCE:
                    raise self._unreachable(error) from None
            time.sleep(_PAUSE)

    @contextmanager
    def _stream(self, job: str, last_id: str | None) -> Iterator[Iterator[bytes]]:
        headers = {"Accept": "text/event-stream"} | ({} if last_id is None else {"Last-Event-ID": last_id})
        timeout = httpx.Timeout(10.0, read=_SILENCE)
        with self._http.stream("GET", f"{_path(job)}/events", headers=headers, timeout=timeout) as answer:
            if answer.is_error:
                answer.read()
                _checked(answer)
            yield answer.iter_bytes()

    def _get(self, path: str, **options: Any) -> httpx.Response:
        return _checked(self._request("GET", path, **options))

    def _send(self, method: str, path: str) -> httpx.Response:
        return _checked(self._request(method, path))

    def _internal(self, method: str, pool: str, what: str, **options: Any) -> httpx.Response:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        path = f"/v1/internal/queues/{quote(pool, safe='')}/{what}"
        return _checked(self._request(method, path, headers=headers, timeout=_LONG, **options))

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _parsed(self, view: type[V], content: bytes | str) -> V:
        try:
            return view.model_validate_json(content)
        except ValueError:
            raise Unreachable(self.url, "what answers there is not Antiphon") from None

    def _unreachable(self, error: httpx.TransportError) -> Unreachable:
        reason = "no answer in time" if isinstance(error, httpx.TimeoutException) else str(error) or "no connection"
        never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        return (Unreachable if never_arrived else AnswerLost)(self.url, reason)


def _path(job: str) -> str:
    return f"/v1/jobs/{quote(job, safe='')}"


@contextmanager
def _opened(recording: Path) -> Iterator[IO[bytes]]:
    try:
        file = recording.open("rb")
    except OSError as error:
        raise CommandError(f"{recording}: {error.strerror}") from None
    with file:
        yield file


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    raise _refusal(answer)


def _refusal(answer: httpx.Response) -> Refused:
    """The problem document in the answer; a proxy on the way may have sent something else."""
    kind = _REFUSALS.get(answer.status_code, Refused)
    try:
        problem = answer.json()
        fields = [(str(each.get("pointer", "")), str(each["message"])) for each in problem.get("errors") or ()]
        sentence = problem["title" if fields else "detail"]  # the fields tell the detail
        return kind(answer.status_code, problem["code"], sentence, fields)
    except (ValueError, KeyError, TypeError, AttributeError):
        detail = f"the server, or a proxy before it, answered {answer.reason_phrase or 'with an error'}"
        return kind(answer.status_code, f"http_{answer.status_code}", detail)


def is_here(url: str) -> bool:
    """Whether the server at `url` is on this machine."""
    try:
        return _is_here(httpx.URL(url).host)
    except httpx.InvalidURL:
        return False


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
