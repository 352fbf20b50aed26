"""Every setting of the programs that run here, with its value and where that comes from."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import get_args

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from antiphon.ports import PortSettings
from antiphon.resource import Verdict
from antiphon_api.settings import ApiSettings
from antiphon_cli import token
from antiphon_cli.doctor.check import Check
from antiphon_cli.masking import masked
from antiphon_cli.parameters import DEFAULT_URL
from antiphon_cli.settings import faults, variable
from antiphon_worker.settings import WorkerSettings

_PROGRAMS: dict[str, type[PortSettings]] = {"api": ApiSettings, "worker": WorkerSettings}
_PREFIX = "ANTIPHON_"


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable, what it is set to (secrets masked), by whom, and which programs read it."""

    variable: str
    value: str
    source: str
    programs: tuple[str, ...]
    description: str


def settings(environment: Mapping[str, str] = os.environ) -> list[Setting]:
    """All of them, those that several programs read once."""
    found: dict[str, Setting] = {}
    for program, kind in _PROGRAMS.items():
        values = _values(kind)
        for name, field in kind.model_fields.items():
            key = variable(kind, name)
            programs = (*found[key].programs, program) if key in found else (program,)
            raw = environment.get(key)
            value = _secret(raw) if _is_secret(field) else _shown(values.get(name, raw))
            found[key] = Setting(key, value, _source(raw), programs, field.description or "")
    found[token.VARIABLE] = replace(found[token.VARIABLE], programs=("api", "cli"))
    url = environment.get("ANTIPHON_URL")
    found["ANTIPHON_URL"] = Setting(
        "ANTIPHON_URL", masked(url or DEFAULT_URL), _source(url), ("cli",), "Server that the commands talk to."
    )
    return sorted(found.values(), key=lambda setting: (len(setting.programs) == 1, setting.programs))


def wrong_settings() -> list[Check]:
    """A check for each program's settings, and one for variables that nobody reads."""
    checks = []
    for program, kind in _PROGRAMS.items():
        name = f"settings of the {program}"
        try:
            kind()
        except ValidationError as error:
            checks += [Check(name, Verdict.FAIL, f"{key}: {message}") for key, message in faults(kind, error)]
        else:
            checks.append(Check(name, Verdict.OK, "valid"))
    known = {setting.variable for setting in settings()}
    strangers = sorted(key for key in os.environ if key.startswith(_PREFIX) and key not in known)
    if strangers:
        finding = f"set, but nobody reads {'it' if len(strangers) == 1 else 'them'}: {', '.join(strangers)}"
        checks.append(Check("environment", Verdict.WARN, finding, "Check the spelling against the settings above."))
    return checks


def _values(kind: type[PortSettings]) -> dict[str, object]:
    """The effective values; only the defaults if one that is set is wrong."""
    try:
        settings = kind()
    except ValidationError as error:
        wrong = {str(fault["loc"][0]) for fault in error.errors()}
        return {name: _default(field) for name, field in kind.model_fields.items() if name not in wrong}
    derived = {
        "store_url": settings.store(),
        "queue_url": settings.queue(),
        "blobs_url": settings.blobs(),
        "events_url": settings.events(),
    }
    return {name: derived.get(name, getattr(settings, name)) for name in kind.model_fields}


def _shown(value: object) -> str:
    return "" if value is None else masked(str(value))


def _secret(raw: str | None) -> str:
    """Whether there is one; also of one that is wrong nothing is told."""
    return "***" if raw else ""


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _default(field: FieldInfo) -> object:
    return field.get_default(call_default_factory=True)


def _source(raw: str | None) -> str:
    return "default" if raw is None else "environment"
