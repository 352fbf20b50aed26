"""Supervises a program on a socket that this process binds: `socket_owner.py PROGRAM LOGS`."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from antiphon_cli.supervisor.happenings import Happening
from antiphon_cli.supervisor.listener import listen, url_of
from antiphon_cli.supervisor.program import LIFELINE, Program
from antiphon_cli.supervisor.supervisor import supervise


def main() -> None:
    with listen("127.0.0.1", 0) as listener:
        where = {"url": url_of(listener), "port": listener.getsockname()[1]}

        def tell(happening: Happening) -> None:
            line = {"event": type(happening).__name__.lower(), **where, **asdict(happening)}
            sys.stdout.write(json.dumps(line) + "\n")
            sys.stdout.flush()

        command = (sys.executable, sys.argv[1], "--lifeline", LIFELINE, "--fd", str(listener.fileno()))
        api = Program("api", command, url_of(listener), inherits=(listener.fileno(),))
        asyncio.run(supervise([api], logs=Path(sys.argv[2]), tell=tell))


if __name__ == "__main__":
    main()
