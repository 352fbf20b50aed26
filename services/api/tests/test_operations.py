import shutil
import sqlite3
from collections.abc import Awaitable, Callable

import httpx

from antiphon.pools import Pool
from antiphon.ports import Ports
from antiphon.relay import Relay
from antiphon_api.settings import ApiSettings

Submit = Callable[..., Awaitable[httpx.Response]]


async def test_it_is_alive_whatever_its_backends_do(client: httpx.AsyncClient, settings: ApiSettings) -> None:
    shutil.rmtree(settings.data / "blobs")
    assert (await client.get("/healthz")).status_code == 200


async def test_it_is_ready_while_its_backends_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ok"}


async def test_a_backend_that_is_away_is_named(client: httpx.AsyncClient, settings: ApiSettings) -> None:
    shutil.rmtree(settings.data / "blobs")
    response = await client.get("/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.json()["detail"] == "away: blobs"
    assert response.headers["Retry-After"]


async def test_queues_are_counted_by_pool_and_priority(client: httpx.AsyncClient, submit: Submit, ports: Ports) -> None:
    await ports.store.put_pool(Pool("another", "base", frozenset({"gpu"})))
    for priority in ("high", "normal", "normal", "normal"):
        await submit(options={"priority": priority, "model": "tiny.en"})
    await Relay(ports.store, ports.queue).relay()
    taken = await ports.queue.receive(4, wait=0, lease=30)
    normal = [received for received in taken if received.message.priority.word == "normal"]
    await ports.queue.release(normal[:1], delay=60)
    await ports.queue.dead_letter(normal[1], "it failed")

    queues = (await client.get("/v1/queues")).json()["queues"]
    assert [(queue["pool"], queue["priority"]) for queue in queues] == [
        (pool, priority) for pool in ("another", "default") for priority in ("high", "normal", "low")
    ]
    assert queues[4] == {
        "pool": "default", "priority": "normal", "paused": False,
        "available": 0, "in_flight": 1, "delayed": 1, "dead": 1,
    }  # fmt: skip
    assert queues[3]["in_flight"] == 1


async def test_pools_are_listed_with_their_backlog(client: httpx.AsyncClient, submit: Submit, worker: object) -> None:
    jobs = [(await submit()).json()["id"] for _ in range(3)]
    await worker.claim(jobs[0])  # type: ignore[attr-defined]
    await worker.succeed(jobs[1])  # type: ignore[attr-defined]
    [pool] = (await client.get("/v1/pools")).json()["pools"]
    backlog = pool.pop("backlog")
    assert pool == {
        "name": "default", "model": "tiny.en", "lanes": ["cpu", "gpu"], "concurrency": 1, "target_wait": 60,
        "paused": False,
    }  # fmt: skip
    assert (backlog["queued"], backlog["running"]) == (1, 1)
    assert backlog["mean_run_seconds"] > 0
    assert backlog["oldest_due_at"] == (await client.get(f"/v1/jobs/{jobs[2]}")).json()["created_at"]


async def test_metrics_name_routes_by_their_template_and_never_by_their_path(
    client: httpx.AsyncClient, submit: Submit
) -> None:
    job = (await submit()).json()["id"]
    await client.get(f"/v1/jobs/{job}")
    await client.get("/nothing/here")
    await client.request("BREW", "/v1/jobs")
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain")
    for line in (
        'antiphon_jobs_accepted_total{pool="default"} 1.0',
        'antiphon_http_request_seconds_count{method="POST",route="/v1/jobs",status="202"} 1.0',
        'antiphon_http_request_seconds_count{method="GET",route="/v1/jobs/{job}",status="200"} 1.0',
        'antiphon_http_request_seconds_count{method="GET",route="unmatched",status="404"} 1.0',
        'antiphon_http_request_seconds_count{method="other",route="/v1/jobs",status="405"} 1.0',
    ):
        assert line in response.text
    assert job not in response.text


async def test_metrics_tell_how_full_the_queues_are_from_one_look_for_many_scrapes(
    client: httpx.AsyncClient, submit: Submit, ports: Ports
) -> None:
    waiting = 'antiphon_queue_messages{pool="default",priority="normal",state="available"}'
    await submit()
    await Relay(ports.store, ports.queue).relay()
    assert f"{waiting} 1.0" in (await client.get("/metrics")).text
    await submit()
    await Relay(ports.store, ports.queue).relay()
    assert f"{waiting} 1.0" in (await client.get("/metrics")).text  # 2 seconds have not passed


async def test_metrics_are_told_while_the_queues_are_away_but_no_old_depths(
    client: httpx.AsyncClient, settings: ApiSettings
) -> None:
    with sqlite3.connect(settings.data / "store.db") as store:
        store.execute("DROP TABLE pools")
    store.close()
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert "antiphon_queue_messages{" not in response.text


async def test_openmetrics_is_spoken_to_those_who_ask_for_it(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")
