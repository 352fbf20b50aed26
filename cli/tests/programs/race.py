"""Stops in the middle of a race, with everything started: for tests that end it there."""

import json
import signal
import sys

from antiphon_cli.bench import servers
from antiphon_cli.bench.programs import stand
from antiphon_cli.bench.queue.peers.systems import OURS
from antiphon_cli.bench.queue.race import Team

with servers.redis() as url, stand() as here, Team.started(here, OURS, url, processes=2) as team:
    team.warm_up()
    with team.held():
        held = {"event": "held", "workers": [worker.process.pid for worker in team.workers]}
        sys.stdout.write(f"{json.dumps(held)}\n")
        sys.stdout.flush()
        signal.pause()
