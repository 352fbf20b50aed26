"""One process of a system in the race: `python -m antiphon_cli.bench.queue.peers SYSTEM URL [TALLY]`.

With TALLY, the file that it counts its jobs in, it works. Without, it answers each number on standard input by sending
so many jobs, and a line.
"""

import sys
from pathlib import Path

from antiphon_cli.bench.queue.peers.systems import SYSTEMS
from antiphon_cli.bench.queue.tally import Tally
from antiphon_cli.bench.tethered import tether


def main(name: str, url: str, tally: str = "") -> None:
    tether()
    system = SYSTEMS[name]
    if tally:
        system.open(url, Tally(Path(tally)).add).work()
        return
    sender = system.open(url, lambda: None)
    for line in sys.stdin:
        sender.send(int(line))
        print("sent", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
