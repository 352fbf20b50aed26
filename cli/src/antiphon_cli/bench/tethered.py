"""A program that dies with whoever started it: `python -m antiphon_cli.bench.tethered USER PROGRAM ...`.

A bench ends its servers itself; the kernel does it for the bench that is killed. USER is the number of the account to
run as, or empty. The kernel forgets the wish when the account changes, but not over an exec: PR_SET_PDEATHSIG in
https://man7.org/linux/man-pages/man2/prctl.2.html. It goes by the thread that started the program, so that thread has
to stay. Where there is no such call, the program runs untethered.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(user: str, program: str, *arguments: str) -> None:
    if user:
        os.setuid(int(user))
    tether()
    os.execvp(program, [program, *arguments])  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
