"""Addresses without their secrets, fit to be shown."""

import re

_PASSWORD = re.compile(r"://([^:/@?#]*):.*@")
_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|token|key|sig|credential)[^=&]*=)[^&#]*", re.IGNORECASE)


def masked(url: str) -> str:
    """The URL with `***` for its password, and for parameters whose names sound like a secret."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"://\1:***@", url))
