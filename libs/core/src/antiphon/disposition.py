"""How a download is named: the header Content-Disposition."""

from urllib.parse import quote


def attachment(filename: str) -> str:
    """A file to be saved under this name. RFC 6266: plain for names that are, encoded for the others."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in filename)
    encoded = "" if plain == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'attachment; filename="{plain}"{encoded}'
