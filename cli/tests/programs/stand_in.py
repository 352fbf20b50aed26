"""A small program of the kind that the supervisor runs: ready over HTTP, ends on SIGTERM and with its lifeline."""

import argparse
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def end_with(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lifeline", type=int, required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--fd", type=int)
    parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--exit", type=int, help="say why and exit at once")
    parser.add_argument("--orphan", action="store_true", help="start a process that outlives this one if it may")
    arguments = parser.parse_args()
    if arguments.exit is not None:
        sys.exit(f"the reason for {arguments.exit}") if arguments.exit == 1 else refuse(arguments.exit)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if arguments.deaf else end)
    threading.Thread(target=end_with, args=[arguments.lifeline], daemon=True).start()
    if arguments.orphan and os.fork() == 0:
        os.close(arguments.lifeline)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.alarm(60)  # whatever becomes of the test, it does not stay for ever
        signal.pause()
    server = HTTPServer(("127.0.0.1", arguments.port or 0), Answers, bind_and_activate=arguments.fd is None)
    if arguments.fd is not None:
        server.socket = socket.socket(fileno=arguments.fd)
    server.serve_forever()


def refuse(code: int) -> None:
    sys.stderr.write(f"the reason for {code}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
