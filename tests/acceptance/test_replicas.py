"""Several replicas of the API are one: what one of them does, those who listen to another hear."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from tests.acceptance.installation import PATIENCE, Installation


def test_who_listens_to_one_replica_hears_what_another_did(anywhere: Installation, short_recording: Path) -> None:
    anywhere.start_api()
    one = anywhere.url
    job = anywhere.submit(short_recording)
    anywhere.start_api()
    other = anywhere.url
    with (
        httpx.Client(base_url=one, timeout=PATIENCE) as client,
        ThreadPoolExecutor(1) as thread,
        httpx.Client(base_url=other, timeout=PATIENCE) as listener,
        listener.stream("GET", f"/v1/jobs/{job}/events") as stream,
    ):
        lines = stream.iter_lines()
        assert "event: state" in next(lines, "") + next(lines, "")  # the history: it was queued
        rest = thread.submit(list, lines)
        client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        heard = "\n".join(rest.result(PATIENCE))  # a look without a wake-up comes only after 60 s
    assert '"state":"cancelled"' in heard
