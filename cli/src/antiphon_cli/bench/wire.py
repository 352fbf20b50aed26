"""HTTP with as little client as possible, since the client's time counts against whoever is measured."""

import http.client
import json
import secrets
import select
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from antiphon_cli.bench.report import BenchError

TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body, made before the clock runs."""

    head: bytes
    tail: bytes
    boundary: str

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Self:
        """A submission's form around the recording that is still to come."""
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="options"\r\n\r\n{json.dumps(options)}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="recording.wav"\r\n'
            "Content-Type: audio/wav\r\n\r\n"
        )
        return cls(head.encode(), f"\r\n--{boundary}--\r\n".encode(), boundary)

    def around(self, recording: bytes) -> bytes:
        return self.head + recording + self.tail

    def headers(self, recording: int) -> dict[str, str]:
        """For a recording of so many bytes."""
        return {
            "Content-Type": f"multipart/form-data; boundary={self.boundary}",
            "Content-Length": str(len(self.head) + recording + len(self.tail)),
        }


class Connection:
    """One connection, kept alive; opened again where the server has closed it while nobody used it."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._http = http.client.HTTPConnection(address.host, address.port, timeout=TIMEOUT)

    def get(self, path: str) -> bytes:
        """Raises BenchError unless it is answered with 200."""
        return self._exchange(200, "GET", path)

    def post(self, path: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> bytes:
        """Raises BenchError unless it is answered with 202."""
        return self._exchange(202, "POST", path, body, headers)

    def delete(self, path: str) -> None:
        """Raises BenchError unless it is answered with 204."""
        self._exchange(204, "DELETE", path)

    def submit(self, form: Form, recording: bytes) -> str:
        """The id of the accepted job."""
        return str(json.loads(self.post("/v1/jobs", form.around(recording), form.headers(len(recording))))["id"])

    def job(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get(f"/v1/jobs/{job}"))
        return found

    def close(self) -> None:
        self._http.close()

    @contextmanager
    def chunks(self, path: str) -> Iterator[Iterator[bytes]]:
        """What a stream sends, as it comes, on a connection of its own."""
        streaming = http.client.HTTPConnection(self._address.host, self._address.port, timeout=TIMEOUT)
        try:
            streaming.request("GET", path, headers={"Accept": "text/event-stream"})
            answer = streaming.getresponse()
            _require(200, answer.status, "GET", path, b"")
            yield iter(lambda: answer.read1(1 << 16), b"")
        finally:
            streaming.close()

    def _exchange(
        self,
        wanted: int,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        self._leave_if_closed()
        try:
            self._http.request(method, path, body, dict(headers or {}))
            answer = self._http.getresponse()
            content = answer.read()
        except OSError as error:  # http.client's own errors for a broken connection are of this kind
            self._http.close()
            raise BenchError(f"{method} {path} was not answered: {error}") from error
        _require(wanted, answer.status, method, path, content)
        return content

    def _leave_if_closed(self) -> None:
        """A server that has nothing to say, and whose socket can be read, has hung up."""
        if self._http.sock is not None and select.select([self._http.sock], [], [], 0)[0]:
            self._http.close()


def _require(wanted: int, status: int, method: str, path: str, content: bytes) -> None:
    if status != wanted:
        raise BenchError(f"{method} {path} was answered with {status}, not {wanted}: {content[:500].decode()}")
