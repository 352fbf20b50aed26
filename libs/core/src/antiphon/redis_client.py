"""What the adapters to Redis and Valkey share: the address, the way to connect, and what refusals mean to us.

    redis://user:password@host:6379/0                   a server
    redis+sentinel://host1:26379,host2:26379/service/0  the primary that the Sentinels name
    redis+cluster://host1:6379,host2:6379               a cluster; any of its nodes will do

Each begins with `rediss` where TLS is spoken: `rediss+cluster://...`. Parameters, as in `?prefix=staging`:

    prefix                                what all keys and channels begin with; `antiphon` if not given
    ssl_ca_certs                          a file of the authorities to trust, if not those of the system
    ssl_certfile, ssl_keyfile             our own certificate
    ssl_check_hostname=false              do not compare the server's name with that of its certificate
    sentinel_username, sentinel_password  for the Sentinels, if they want any

A user, a password or a value of a parameter that holds one of `: / ? # @ & %` has it written as `%3A` and so on.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from antiphon.errors import SettingsError, Unavailable

CONNECT_SECONDS = 5.0
"""How long a connection may take to come about."""

ANSWER_SECONDS = 10.0
"""After so long without an answer the server, or the way there, is gone. No command of ours blocks as long."""

CLUSTER_RETRIES = 1
"""In a cluster a second try finds out where the keys are by now. Elsewhere there is none: whether the first one did its
work is not known, and who reads that a message is not his must be able to rely on it."""

REFUSED = (RedisError, RedisClusterException, OSError)
"""What redis-py raises when the server refuses, and when the connection is gone. A time limit is an OSError too."""

_OLD = "unexpected symbol near '#'"
"""In what a server says to whom the flags of a script mean nothing."""

_AWAY = (RedisConnectionError, RedisTimeoutError, OSError)

# a password may hold anything but what ends it; whoever writes it otherwise must not find it in an error
_URL = re.compile(
    r"(?P<scheme>redis|rediss)(?:\+(?P<kind>sentinel|cluster))?://"
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?(?P<hosts>[^@/?#]+)(?P<path>[^@?#]*)(?:\?(?P<query>[^@#]*))?"
)
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,40}")  # braces would be a hash tag
_TLS_PARAMETERS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_SENTINEL_PARAMETERS = ("sentinel_username", "sentinel_password")
_PORTS = {None: 6379, "cluster": 6379, "sentinel": 26379}

Client = Redis | RedisCluster


@dataclass(frozen=True, slots=True)
class Server:
    """A server, the primary of a Sentinel's service, or a cluster. `shown` is its address without credentials."""

    shown: str
    prefix: str
    hosts: tuple[tuple[str, int], ...]
    kind: str | None = None
    service: str = ""
    database: int = 0
    login: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinel_login: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, url: str, setting: str) -> "Server":
        """Read a URL as described above. Raises SettingsError, which names `setting` and never a password."""
        parts = _URL.fullmatch(url)
        if parts is None:
            raise SettingsError(
                f"{setting} is no URL of Redis; write redis://host:6379/0, "
                "and the characters : / ? # @ of a password as %3A %2F %3F %23 %40"
            )
        kind, tls = parts["kind"], parts["scheme"] == "rediss"
        given = _parameters(parts["query"] or "", kind, tls, setting)
        service, database = _path(parts["path"], kind, setting)
        return cls(
            shown=f"{parts['scheme']}{f'+{kind}' if kind else ''}://{parts['hosts']}{parts['path']}",
            prefix=_prefix(given.get("prefix", "antiphon"), setting),
            hosts=_hosts(parts["hosts"], kind, setting),
            kind=kind,
            service=service,
            database=database,
            login=_login(parts["user"], parts["password"]),
            sentinel_login={
                name.removeprefix("sentinel_"): given[name] for name in _SENTINEL_PARAMETERS if name in given
            },
            tls=_tls(given) if tls else {},
        )

    def client(self) -> Client:
        """A client of what holds the keys; it connects when it is first used. End it with `close`."""
        if self.kind == "sentinel":
            return self._primary()
        if self.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in self.hosts]
            return RedisCluster(startup_nodes=nodes, **self.login, **self.tls, **_connecting(CLUSTER_RETRIES))
        return self.nodes()[0]

    def nodes(self) -> list[Redis]:
        """A client of each server that hands on what is published: the nodes of a cluster, elsewhere the only one."""
        if self.kind == "sentinel":
            return [self._primary()]
        more = {"db": self.database, **self.login, **self.tls, **_connecting()}
        return [Redis(host=host, port=port, **more) for host, port in self.hosts]

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Turn what the server refuses, and a server that is away or does not answer in time, into Unavailable."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                yield
        except REFUSED as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: BaseException) -> Unavailable:
        """What to raise when the server refuses its service, or does not answer."""
        away = isinstance(error, _AWAY) and not isinstance(error, AuthenticationError)
        verb = "does not answer" if away else "refuses its service"
        advice = "; it must be Redis 7.0 or later, or Valkey" if _OLD in str(error) else ""
        return Unavailable(f"{self.shown} {verb}: {str(error) or type(error).__name__}{advice}")

    def _primary(self) -> Redis:
        sentinel_kwargs = {**self.sentinel_login, **self.tls, **_connecting()}
        sentinels = Sentinel(self.hosts, sentinel_kwargs=sentinel_kwargs)  # type: ignore[no-untyped-call]
        primary: Redis = sentinels.master_for(self.service, db=self.database, **self.login, **self.tls, **_connecting())
        return primary


async def close(client: Client) -> None:
    """Disconnect a client, from the Sentinels too."""
    await client.aclose()
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        for sentinel in client.connection_pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _connecting(retries: int = 0) -> dict[str, Any]:
    return {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), retries),
    }


def _login(user: str | None, password: str | None) -> dict[str, str]:
    named = {"username": user, "password": password}
    return {name: unquote(value) for name, value in named.items() if value}


def _tls(given: Mapping[str, str]) -> dict[str, Any]:
    files = {name: given[name] for name in _TLS_PARAMETERS if name in given}
    return {**files, "ssl": True, "ssl_check_hostname": given.get("ssl_check_hostname", "true") == "true"}


def _parameters(query: str, kind: str | None, tls: bool, setting: str) -> dict[str, str]:
    known = ("prefix", *(_TLS_PARAMETERS if tls else ()), *(_SENTINEL_PARAMETERS if kind == "sentinel" else ()))
    given = dict(parse_qsl(query, keep_blank_values=True))
    for name in given:
        if name not in known:
            raise SettingsError(f"{setting} has the parameter {name!r}; known here are: {', '.join(known)}")
    if given.get("ssl_check_hostname", "true") not in {"true", "false"}:
        raise SettingsError(f"{setting} has an ssl_check_hostname that is neither true nor false")
    return given


def _path(path: str, kind: str | None, setting: str) -> tuple[str, int]:
    """The service and the database that a URL's path names."""
    first, _, rest = path.removeprefix("/").partition("/")
    service, database = (unquote(first), rest) if kind == "sentinel" else ("", path.removeprefix("/"))
    if kind == "sentinel" and not service:
        raise SettingsError(f"{setting} names no service; write redis+sentinel://host:26379/service/0")
    if database and not re.fullmatch(r"[0-9]{1,9}", database):
        raise SettingsError(f"{setting} has the database {database!r}, which is no number")
    if kind == "cluster" and int(database or 0) != 0:
        raise SettingsError(f"{setting} names the database {database}, but a cluster has only 0; use ?prefix= instead")
    return service, int(database or 0)


def _hosts(text: str, kind: str | None, setting: str) -> tuple[tuple[str, int], ...]:
    hosts = tuple(_host(each, _PORTS[kind], setting) for each in text.split(","))
    if kind is None and len(hosts) > 1:
        raise SettingsError(f"{setting} names several hosts; write redis+cluster:// or redis+sentinel:// before them")
    return hosts


def _host(text: str, default_port: int, setting: str) -> tuple[str, int]:
    parts = _HOST.fullmatch(text)
    if parts is None or int(parts["port"] or default_port) > 65535:
        raise SettingsError(f"{setting} has the host {text!r}; write name:port, and commas between several")
    return parts["name"].strip("[]"), int(parts["port"] or default_port)


def _prefix(text: str, setting: str) -> str:
    if not _PREFIX.fullmatch(text):
        raise SettingsError(f"{setting} has the prefix {text!r}; use 1 to 40 letters, digits and _ . : -")
    return text
