"""The scripts by which the queue on Redis changes and reads several keys at once, as one step and in one round trip.

They are the files of `lua/`; each begins with its flags (https://redis.io/docs/latest/develop/programmability/lua-api/#script-flags)
and has `pool.lua` before it. What they are asked and what they answer is MessagePack: one string costs the client a
fraction of what a hundred cost, which its parser reads one by one.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha1
from importlib import resources

import msgspec


@dataclass(frozen=True, slots=True)
class Script:
    """The text that a server runs, and the digest by which it knows a text that it has seen."""

    text: bytes
    digest: str


@cache
def script(name: str) -> Script:
    """The script in `lua/<name>.lua`."""
    folder = resources.files("antiphon.queue") / "lua"
    flags, _, steps = (folder / f"{name}.lua").read_bytes().partition(b"\n")
    text = b"\n".join([flags, (folder / "pool.lua").read_bytes(), steps])
    return Script(text, sha1(text, usedforsecurity=False).hexdigest())


encode = msgspec.msgpack.Encoder().encode

outcomes = msgspec.msgpack.Decoder(list[bool], strict=False).decode
count = msgspec.msgpack.Decoder(int).decode
taken = msgspec.msgpack.Decoder(tuple[list[tuple[int, str, int, int, msgspec.Raw]], float]).decode
peeked = msgspec.msgpack.Decoder(list[tuple[int, int, msgspec.Raw]]).decode
depths = msgspec.msgpack.Decoder(list[tuple[int, int, int, int]]).decode


def body(raw: msgspec.Raw) -> str:
    """The text of a message. Raises UnicodeDecodeError for what is not UTF-8, which others may have put there."""
    return msgspec.msgpack.decode(raw, type=str)


def shown(raw: msgspec.Raw) -> str:
    """The text of a message, for somebody to look at."""
    try:
        return body(raw)
    except UnicodeDecodeError as error:
        return error.object.decode(errors="replace")
