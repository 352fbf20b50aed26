"""What the queue on Redis needs of its server and of its user there, and what a look at both finds.

https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from collections.abc import Mapping, Sequence
from itertools import compress

from antiphon.resource import Finding, Verdict

NEEDED: Mapping[str, str] = {
    "eval": "eval script 0",
    "evalsha": "evalsha digest 0",
    "time": "time",
    "hget": "hget {key} f",
    "hmget": "hmget {key} f",
    "hset": "hset {key} f v",
    "hdel": "hdel {key} f",
    "xadd": "xadd {key} * f v",
    "xack": "xack {key} g 0-1",
    "xdel": "xdel {key} 0-1",
    "xlen": "xlen {key}",
    "xrange": "xrange {key} - +",
    "xpending": "xpending {key} g",
    "xclaim": "xclaim {key} g c 0 0-1",
    "xautoclaim": "xautoclaim {key} g c 0 0",
    "xreadgroup": "xreadgroup group g c streams {key} >",
    "xgroup|create": "xgroup create {key} g 0",
    "xinfo|groups": "xinfo groups {key}",
    "exists": "exists {key}",
    "get": "get {key}",
    "set": "set {key} v",
    "del": "del {key}",
    "expire": "expire {key} 1",
    "zadd": "zadd {key} 0 m",
    "zrem": "zrem {key} m",
    "zcard": "zcard {key}",
    "zcount": "zcount {key} 0 1",
    "zscore": "zscore {key} m",
    "zrange": "zrange {key} 0 0",
    "zrangebyscore": "zrangebyscore {key} 0 1",
    "bzpopmin": "bzpopmin {key} 1",
}
"""Rights in the words of an ACL, each with a command that uses it."""

BESIDES = ("select", "info")
"""To choose a database, and for the examination."""

TOO_MUCH: Mapping[str, str] = {
    "flushall": "flushall",
    "flushdb": "flushdb",
    "keys": "keys *",
    "config|set": "config set maxmemory 1",
    "acl|setuser": "acl setuser somebody",
    "shutdown": "shutdown",
    "reach keys of others": "get key-of-somebody-else",
}
"""What nobody needs who only works with the queue, and what would hurt most."""


def commands(which: Mapping[str, str], key: str) -> list[list[str]]:
    """The commands, as words, with `key` for their keys."""
    return [[word.replace("{key}", key) for word in command.split()] for command in which.values()]


def acl_line(prefix: str) -> str:
    """The rights that suffice, as a command for the server."""
    rights = " ".join(f"+{name}" for name in (*NEEDED, *BESIDES))
    return f"ACL SETUSER antiphon on >PASSWORD resetkeys ~{prefix}:* resetchannels -@all {rights}"


def judged_rights(prefix: str, needed: Sequence[bool], too_much: Sequence[bool]) -> list[Finding]:
    """What it means which of the commands of NEEDED and of TOO_MUCH are allowed."""
    missing = list(compress(NEEDED, (not allowed for allowed in needed)))
    if missing:
        return [Finding(Verdict.FAIL, f"the user may not {', '.join(missing)}", f"Allow it: {acl_line(prefix)}")]
    excess = list(compress(TOO_MUCH, too_much))
    if excess:
        found = f"the user may {', '.join(excess)}, which the queue does not need"
        return [Finding(Verdict.WARN, found, f"Give it a user of its own: {acl_line(prefix)}")]
    return [Finding(Verdict.OK, "the user has the rights that the queue needs, and none of those that would hurt")]


def judged_server(info: Mapping[str, object]) -> list[Finding]:
    """What the answer to INFO says about how well the server keeps messages."""
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info.get('redis_version')}"
    return [Finding(Verdict.OK, name), _persistence(info), _eviction(info)]


def _persistence(info: Mapping[str, object]) -> Finding:
    if info.get("aof_enabled"):
        return Finding(Verdict.OK, "the append-only file is on: a restart keeps the messages")
    return Finding(
        Verdict.WARN,
        "the append-only file is off: a restart loses the messages since the last snapshot, if there are any snapshots",
        "Set `appendonly yes`. Without it the sweeper sends again from the store what was lost, some time later.",
    )


def _eviction(info: Mapping[str, object]) -> Finding:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if not info.get("maxmemory"):
        return Finding(Verdict.OK, "no limit of memory is set, so no message is evicted")
    if policy.startswith("allkeys"):
        return Finding(
            Verdict.FAIL,
            f"the policy {policy} evicts messages when the memory is full",
            "Set `maxmemory-policy noeviction`: a full server then refuses new messages, which stay in the store.",
        )
    return Finding(Verdict.OK, f"the policy {policy} evicts no message when the memory is full")
