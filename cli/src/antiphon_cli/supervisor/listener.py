"""The listening socket that the supervisor binds, so that it outlives every restart of the API."""

import errno
import socket
import time

from antiphon_cli.errors import PortTaken, SupervisorError

_BACKLOG = 1024
_WILDCARDS = {"0.0.0.0", "::", ""}  # noqa: S104 - recognised here, not bound


def listen(host: str, port: int, *, patience: float = 0.0) -> socket.socket:
    """Listen at the address; port 0 takes a free one. A port in use is asked for again for `patience` seconds.

    Raises PortTaken, SupervisorError.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return _bind(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SupervisorError(f"cannot listen on {host} port {port}: {_reason(error)}") from None
            if time.monotonic() >= until:
                raise PortTaken(
                    f"port {port} on {host} is in use; choose another with --port (0 takes a free one)"
                ) from None
        time.sleep(0.05)


def url_of(listener: socket.socket) -> str:
    """The address under which a client of this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    if host in _WILDCARDS:
        host = "127.0.0.1" if listener.family is socket.AF_INET else "::1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def open_to_others(listener: socket.socket) -> bool:
    """Whether other machines reach the socket as well."""
    host = str(listener.getsockname()[0])
    return not (host.startswith("127.") or host == "::1")


def free_port() -> int:
    """A port of this machine that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bind(host: str, port: int) -> socket.socket:
    [(family, _, _, _, address), *_] = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return socket.create_server(address, family=family, backlog=_BACKLOG)


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "this is no address of this machine, nor a name that can be resolved (--host)"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address (--host)"
    if error.errno == errno.EACCES:
        return "this port is reserved for the system; choose one above 1023 (--port)"
    return error.strerror or str(error)
