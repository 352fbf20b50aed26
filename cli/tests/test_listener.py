import socket
import threading
import time

import pytest

from antiphon_cli.errors import PortTaken, SupervisorError
from antiphon_cli.supervisor.listener import free_port, listen, open_to_others, url_of


def test_port_0_is_a_free_one_under_the_address_that_is_told() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_port_in_use_is_told_with_the_way_out() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is in use; choose another with --port"):
            listen("127.0.0.1", port)


def test_with_patience_a_port_is_taken_as_soon_as_it_is_free() -> None:
    first = listen("127.0.0.1", 0)
    port = first.getsockname()[1]
    threading.Timer(0.2, first.close).start()
    began = time.monotonic()
    with listen("127.0.0.1", port, patience=10.0):
        assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    ("host", "reason"),
    [("no-such-host.invalid", "no address of this machine"), ("192.0.2.1", "no such address")],  # RFC 2606, RFC 5737
)
def test_an_address_that_is_not_ours_is_told(host: str, reason: str) -> None:
    with pytest.raises(SupervisorError, match=reason):
        listen(host, free_port())


def test_every_interface_is_reached_at_this_machine_and_open_to_others() -> None:
    with listen("0.0.0.0", 0) as everywhere, listen("127.0.0.1", 0) as here:  # noqa: S104 - what is tested
        assert url_of(everywhere).startswith("http://127.0.0.1:")
        assert open_to_others(everywhere)
        assert not open_to_others(here)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_stands_in_brackets() -> None:
    with listen("::1", 0) as listener:
        assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"
        assert not open_to_others(listener)
