"""Supervises the programs that standard input names as JSON, and tells what happens as JSON lines."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from antiphon_cli.errors import GaveUp
from antiphon_cli.supervisor.happenings import Happening
from antiphon_cli.supervisor.program import Program
from antiphon_cli.supervisor.restarts import RestartPolicy
from antiphon_cli.supervisor.supervisor import supervise


def tell(happening: Happening) -> None:
    line({"event": type(happening).__name__.lower(), **asdict(happening)})


def line(fields: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def main() -> None:
    told = json.load(sys.stdin)
    programs = [Program(**{**fields, "command": tuple(fields["command"])}) for fields in told["programs"]]
    try:
        asyncio.run(
            supervise(programs, logs=Path(told["logs"]), tell=tell, policy=RestartPolicy(**told.get("policy", {})))
        )
    except GaveUp as error:
        line({"event": "gaveup", "message": str(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()
