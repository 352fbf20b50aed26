"""The URLs of Redis, and that what they lead to works: a server with TLS, Sentinels, a cluster."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from tests.redis_server import redis_server as running

from antiphon.errors import SettingsError, Unavailable
from antiphon.events import open_events
from antiphon.messages import Message
from antiphon.queue import SendOutcome, open_queue
from antiphon.redis_client import Server
from antiphon.resource import Verdict
from antiphon_cli.bench.servers import free_port

LONG = 60.0
SETTING = "ANTIPHON_QUEUE_URL"

URLS: dict[str, dict[str, Any]] = {
    "redis://host": {"hosts": (("host", 6379),), "database": 0, "prefix": "antiphon", "login": {}, "tls": {}},
    "redis://host:7000/3?prefix=staging": {"hosts": (("host", 7000),), "database": 3, "prefix": "staging"},
    "redis://user:p%40ss%2F@host/": {"login": {"username": "user", "password": "p@ss/"}, "shown": "redis://host/"},
    "redis://:secret@[::1]:7000": {"login": {"password": "secret"}, "hosts": (("::1", 7000),)},
    "rediss://host": {"tls": {"ssl": True, "ssl_check_hostname": True}},
    "rediss://host?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_check_hostname=false": {
        "tls": {
            "ssl": True,
            "ssl_check_hostname": False,
            "ssl_ca_certs": "/ca.pem",
            "ssl_certfile": "/c.pem",
            "ssl_keyfile": "/k.pem",
        }
    },
    "redis+sentinel://a,b:26380/main/2?sentinel_username=watcher&sentinel_password=w": {
        "kind": "sentinel",
        "hosts": (("a", 26379), ("b", 26380)),
        "service": "main",
        "database": 2,
        "sentinel_login": {"username": "watcher", "password": "w"},
    },
    "rediss+sentinel://a/main": {"kind": "sentinel", "tls": {"ssl": True, "ssl_check_hostname": True}},
    "redis+cluster://a:7000,b/": {"kind": "cluster", "hosts": (("a", 7000), ("b", 6379)), "database": 0},
    "rediss+cluster://user:secret@a/0": {"kind": "cluster", "shown": "rediss+cluster://a/0"},
}

WRONG = {
    "redis://": "no URL of Redis",
    "redis:///0": "no URL of Redis",
    "redis://user:sec/ret@host": "%2F",
    "redis://user:sec?ret@host": "%3F",
    "redis://user:sec@ret@host": "%40",
    "redis://user:123/sec@ret:5": "%40",
    "redis://a,b": r"redis\+cluster",
    "redis://host:99999": "host",
    "redis://host:port": "host",
    "redis://host/zero": "number",
    "redis://host?db=3": "'db'; known here are: prefix",
    "redis://host?ssl_ca_certs=/ca.pem": "known here are: prefix",
    "rediss://host?ssl_check_hostname=maybe": "ssl_check_hostname",
    "redis://host?prefix={a}": "prefix",
    "redis://host?prefix=": "prefix",
    "redis+sentinel://host:26379": "service",
    "redis+cluster://host/1": "only 0",
}


@pytest.mark.parametrize(("url", "expected"), URLS.items(), ids=list(URLS))
def test_a_url_says_where_to_connect_and_how(url: str, expected: dict[str, Any]) -> None:
    server = Server.at(url, SETTING)
    assert {name: getattr(server, name) for name in expected} == expected


@pytest.mark.parametrize(("url", "reason"), WRONG.items(), ids=list(WRONG))
def test_a_wrong_url_stops_the_start_with_a_sentence_that_names_the_setting(url: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as raised:
        open_queue(url)
    assert SETTING in str(raised.value)
    assert "sec" not in str(raised.value)
    with pytest.raises(SettingsError, match="ANTIPHON_EVENTS_URL"):
        open_events(url)


def test_no_password_is_ever_shown() -> None:
    url = "rediss+sentinel://user:first-secret@host/main?sentinel_password=second-secret"
    server = Server.at(url, SETTING)
    assert "secret" not in repr(server)
    assert "secret" not in str(server.unavailable(AuthenticationError("invalid username-password pair")))


def test_what_a_server_answers_is_told_apart_from_silence() -> None:
    server = Server.at("redis://host", SETTING)
    assert str(server.unavailable(ResponseError("OOM"))) == "redis://host refuses its service: OOM"
    assert str(server.unavailable(TimeoutError())) == "redis://host does not answer: TimeoutError"
    assert str(server.unavailable(OSError("no route"))) == "redis://host does not answer: no route"


async def test_a_server_that_is_too_old_is_told_to_be_so() -> None:
    # what Redis 6 says to a script that begins with flags
    error = ResponseError("Error compiling script (new function): user_script:1: unexpected symbol near '#'")
    assert "must be Redis 7.0 or later" in str(Server.at("redis://host", SETTING).unavailable(error))


@pytest.mark.parametrize("opened", [open_queue, open_events])
async def test_a_wrong_password_is_said_without_it(opened: Any) -> None:
    with running("--requirepass", "right") as server:
        url = server.url.replace("://", "://:wrong-secret@")
        with pytest.raises(Unavailable, match=r"refuses its service: invalid username-password") as raised:
            await opened(url).__aenter__()
        assert "secret" not in str(raised.value)
        async with opened(server.url.replace("://", "://:right@")) as port:
            await port.ping()


async def command(port: int, *words: Any) -> Any:
    async with Redis(port=port) as client:
        return await client.execute_command(*words)  # type: ignore[no-untyped-call]


async def until(act: Callable[[], Awaitable[Any]]) -> None:
    """Try until it works."""
    async with asyncio.timeout(LONG):
        while True:
            with suppress(RedisError, Unavailable):
                await act()
                return
            await asyncio.sleep(0.02)


async def works(url: str) -> None:
    """Assert that a message and a notification arrive."""
    async with open_queue(url) as queue, open_queue(url) as other:
        sent = [Message("job", 1, 0), Message("elsewhere", 1, 0, pool="gpu")]
        assert await queue.send(sent) == [SendOutcome.SENT] * 2
        [received] = await other.receive(1, wait=LONG, lease=LONG)
        assert received.message.job == "job"
        assert await other.ack([received]) == [True]
        assert await other.receive(1, wait=0.01, lease=LONG) == []
        assert len(await other.peek(9, pool="gpu")) == 1
        findings = await queue.examine()
        assert "Redis" in findings[0].finding or "Valkey" in findings[0].finding
        assert [each for each in findings if each.verdict is Verdict.FAIL] == []
    async with open_events(url) as events, open_events(url) as others, events.listen("job") as listener:
        await others.notify(["job"])
        assert await listener.wait(LONG)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that is its own authority."""
    directory = tmp_path_factory.mktemp("certificates")
    names = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    subject = ["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*command, "-days", "2", *names, *subject], check=True, capture_output=True)
    return directory


@pytest.fixture
async def tls_port(certificates: Path, redis_server: str) -> AsyncIterator[int]:
    """The port where TLS is spoken, before a server that may have been built without it."""
    port = urlsplit(redis_server).port

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, server_writer), copy(server_reader, writer), return_exceptions=True)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_tls_works_with_an_authority_of_ones_own(tls_port: int, certificates: Path) -> None:
    await works(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={certificates}/cert.pem&prefix=tls")


async def test_an_authority_that_is_not_known_is_not_trusted(tls_port: int) -> None:
    with pytest.raises(Unavailable, match="certificate verify failed"):
        await open_queue(f"rediss://127.0.0.1:{tls_port}").__aenter__()


async def test_the_name_in_the_certificate_counts_unless_told_otherwise(tls_port: int, certificates: Path) -> None:
    url = f"rediss://localhost:{tls_port}?ssl_ca_certs={certificates}/cert.pem"
    with pytest.raises(Unavailable, match="Hostname mismatch"):
        await open_queue(url).__aenter__()
    async with open_queue(f"{url}&ssl_check_hostname=false") as queue:
        await queue.ping()


@pytest.fixture
async def cluster() -> AsyncIterator[str]:
    """A cluster of one node, which holds all slots."""
    with running("--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        await command(server.port, "CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await until(lambda: command(server.port, "SET", "written", "by us"))
        yield f"redis+cluster://127.0.0.1:1,127.0.0.1:{server.port}"  # nobody is at the first


async def test_a_cluster_works(cluster: str) -> None:
    await works(cluster)


async def test_sentinels_lead_to_the_primary_whichever_it_is(tmp_path: Path) -> None:
    with running() as primary, running("--replicaof", "127.0.0.1", str(primary.port)) as replica:
        with pytest.raises(Unavailable, match="read only"):
            await open_queue(replica.url).__aenter__()
        settings = tmp_path / "sentinel.conf"
        settings.write_text(f"sentinel monitor main 127.0.0.1 {primary.port} 1\n")
        with running(str(settings), "--sentinel") as sentinel:
            with pytest.raises(Unavailable, match="No master found for 'other'"):
                await open_queue(f"redis+sentinel://127.0.0.1:{sentinel.port}/other").__aenter__()
            url = f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main/0"
            await works(url)
            async with open_queue(url) as queue:
                await until(lambda: command(sentinel.port, "SENTINEL", "FAILOVER", "main"))
                await until(lambda: command(replica.port, "SET", "written", "by us"))
                primary.stop()
                await until(lambda: queue.send([Message("after", 1, 0)]))
                assert await command(replica.port, "XLEN", "antiphon:{default}:normal") == 1
