"""What stands in for AWS (moto), with a clock that tests put forward: leases, delays and retentions then cost no time.

Run as a program it is the server: `python aws_clock.py PORT`.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.request import Request, urlopen

_PATH = "/moto-api/clock"


class AwsClock:
    """The clock of a server and of its clients: the wall clock, and what it was put forward by."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.ahead = self._put_forward(0)

    def __call__(self) -> float:
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead = self._put_forward(seconds)

    def _put_forward(self, seconds: float) -> float:
        with urlopen(Request(f"{self.endpoint}{_PATH}", str(seconds).encode()), timeout=30) as answer:  # noqa: S310
            return float(answer.read())


@contextmanager
def clocked_aws() -> Iterator[str]:
    """The server; yields its endpoint."""
    from antiphon_cli.bench.servers import free_port, serve

    with tempfile.TemporaryDirectory(prefix="antiphon-aws-") as directory:
        port = free_port()
        endpoint = f"http://127.0.0.1:{port}"
        command = [sys.executable, __file__, str(port)]
        with serve(command, Path(directory) / "log", {"MOTO_ACCOUNT_ID": "123456789012"}) as server:
            server.wait_until(lambda: AwsClock(endpoint).ahead == 0, "moto")
            yield endpoint


def main(port: int) -> None:
    from moto.core import utils as core
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple
    from werkzeug.wrappers import Request as Asked
    from werkzeug.wrappers import Response

    _mend()
    ahead = timedelta()

    def now() -> datetime:
        return datetime.now(UTC).replace(tzinfo=None) + ahead

    core.utcnow = now  # SQS's times are all made of it
    moto = DomainDispatcherApplication(create_backend_app)

    @Asked.application
    def clock(request: Asked) -> Response:
        nonlocal ahead
        ahead += timedelta(seconds=float(request.get_data()))
        return Response(str(ahead.total_seconds()))

    def application(environ, start):  # type: ignore[no-untyped-def]
        return (clock if environ["PATH_INFO"] == _PATH else moto)(environ, start)

    run_simple("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)


def _mend() -> None:
    """Have moto do as SQS does where our tests would notice.

    A message goes to one of those who ask at once: moto looks and takes without a lock. A long poll sees leases end:
    moto sleeps through that. The 12 hours of a lease count from the receive: moto counts them from the send.
    """
    from moto.core import utils as core
    from moto.sqs.exceptions import InvalidParameterValue, ReceiptHandleIsInvalid
    from moto.sqs.models import Message, SQSBackend

    receive, mark_received = SQSBackend.receive_message, Message.mark_received
    received_at: dict[str, float] = {}
    lock = Lock()

    def mended_receive(self: SQSBackend, name: str, count: int, wait: int, *others: Any) -> list[Any]:
        end = core.unix_time() + wait
        while True:
            with lock:
                found = receive(self, name, count, 0, *others)
            if found or core.unix_time() >= end:
                return found
            time.sleep(0.01)

    def marked(self: Message, *args: Any, **kwargs: Any) -> None:
        received_at[self.id] = core.unix_time()
        mark_received(self, *args, **kwargs)

    def hide(self: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int) -> None:
        queue = self.get_queue(queue_name)
        for message in queue._messages:
            if message.had_receipt_handle(receipt_handle):
                if core.unix_time() + visibility_timeout > received_at[message.id] + 12 * 3600:
                    raise InvalidParameterValue("Total VisibilityTimeout for the message is beyond the limit")
                message.change_visibility(visibility_timeout)
                if not visibility_timeout:
                    queue.pending_messages.discard(message)
                return
        raise ReceiptHandleIsInvalid

    SQSBackend.receive_message = mended_receive  # type: ignore[method-assign, assignment]
    SQSBackend.change_message_visibility = hide  # type: ignore[method-assign]
    Message.mark_received = marked  # type: ignore[method-assign]


if __name__ == "__main__":
    main(int(sys.argv[1]))
