"""Checks of the machine: Python, packages, disk, model, port."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from antiphon.resource import Verdict
from antiphon_cli.client import Client
from antiphon_cli.doctor.check import Check
from antiphon_cli.errors import CommandError, PortTaken, SupervisorError
from antiphon_cli.masking import masked
from antiphon_cli.supervisor.listener import listen
from antiphon_speech.errors import EngineUnavailable
from antiphon_speech.transcribe.models import locate_model

_OURS = ("antiphon", "antiphon-speech", "antiphon-api", "antiphon-worker", "antiphon-cli")
_OUR_EXTRA = re.compile(r"extra\s*==\s*['\"](engines|aws|postgresql|redis)['\"]")
_OLDEST = (3, 11)
_LITTLE = 2 << 30
_NOTHING = 200 << 20


def python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST:
        return Check("python", Verdict.FAIL, found, "Antiphon needs Python 3.11 or newer.")
    return Check("python", Verdict.OK, f"{found} at {sys.executable}")


def packages() -> Check:
    """Whether everything is installed that our distributions require."""
    missing = sorted({name for ours in _OURS for name in (ours, *_required(ours)) if not _installed(name)})
    if missing:
        return Check("packages", Verdict.FAIL, f"missing: {', '.join(missing)}", "Install them with pip.")
    return Check("packages", Verdict.OK, f"antiphon {version('antiphon')}, and everything that it requires")


def data_directory(data: Path) -> Check:
    """Whether work can be kept there, and how much."""
    place = next(directory for directory in (data.absolute(), *data.absolute().parents) if directory.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Check("data directory", Verdict.FAIL, f"{data}: cannot be written", "Name another with ANTIPHON_DATA.")
    free = shutil.disk_usage(place).free
    finding = f"{data}: writable, {free / (1 << 30):.1f} GiB free"
    if free < _NOTHING:
        return Check("data directory", Verdict.FAIL, finding, "Make room, or name another one with ANTIPHON_DATA.")
    if free < _LITTLE:
        return Check("data directory", Verdict.WARN, finding, "An hour of recordings takes some 100 MB; make room.")
    return Check("data directory", Verdict.OK, finding)


def model(name: str) -> Check:
    """Whether the model is on this machine. Looks, but downloads nothing."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        return Check("model", Verdict.OK, f"{name} at {locate_model(name)}")
    except EngineUnavailable as error:
        if before is not None:
            return Check("model", Verdict.FAIL, str(error))
        advice = "The first start tries to download it from the Hugging Face hub; ANTIPHON_MODEL names another."
        return Check("model", Verdict.WARN, f"{name} is not on this machine", advice)
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]


def address(host: str, port: int) -> Check:
    """Whether `antiphon up` can listen there, or does already."""
    name, where = "address", f"{host} port {port}"
    try:
        listen(host, port).close()
    except PortTaken:
        return _who_answers(name, f"http://{host}:{port}")
    except SupervisorError as error:
        return Check(name, Verdict.FAIL, str(error), "Set ANTIPHON_LISTEN_HOST and ANTIPHON_LISTEN_PORT.")
    return Check(name, Verdict.OK, f"{where} is free")


def server(url: str) -> Check:
    """Whether the server that the commands are to talk to does answer."""
    try:
        with Client(url, timeout=3.0) as client:
            ready = client.ready()
    except CommandError as error:
        return Check("server", Verdict.FAIL, str(error).partition("\n")[0], "Start it, or correct ANTIPHON_URL.")
    if ready:
        return Check("server", Verdict.OK, f"{masked(url)} is ready")
    return Check("server", Verdict.FAIL, f"{masked(url)} answers, but is not ready", "Its /readyz says what is away.")


def _who_answers(name: str, url: str) -> Check:
    try:
        with Client(url, timeout=3.0) as client:
            client.queues()
    except CommandError:
        advice = "End it, or set ANTIPHON_LISTEN_PORT (or `antiphon up --port`) to another port."
        return Check(name, Verdict.WARN, f"another program listens at {url}", advice)
    return Check(name, Verdict.OK, f"Antiphon answers at {url}")


def _required(distribution: str) -> Iterator[str]:
    """What it requires, engines and backends included. Markers of other extras and platforms are left out."""
    try:
        found = requires(distribution) or []
    except PackageNotFoundError:
        return
    for requirement in found:
        name, _, marker = requirement.partition(";")
        if not marker or _OUR_EXTRA.fullmatch(marker.strip()):
            yield re.split(r"[\s\[<>=!~(]", name.strip(), maxsplit=1)[0]


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
