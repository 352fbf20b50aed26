"""What the API lets its operator choose."""

import re

from pydantic import Field, SecretStr, field_validator

from antiphon.ports import PortSettings
from antiphon.retention import EPHEMERAL_SECONDS, LONGEST, SHORTEST, STANDARD_SECONDS, RetentionClass
from antiphon.telemetry.logs import Level
from antiphon_api.new_jobs import Terms

# what an Authorization header can carry: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,}=*")


class ApiSettings(PortSettings):
    """Where the API listens and what it takes, besides where work is kept.

    Not `ANTIPHON_PORT`: Kubernetes sets that variable, to `tcp://...`, in every pod beside a service called `antiphon`.
    """

    listen_host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    listen_port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 for a free one.")
    max_upload_bytes: int = Field(default=512 << 20, ge=1, description="Largest recording that is taken, in bytes.")
    retention_seconds: int = Field(
        default=STANDARD_SECONDS,
        ge=SHORTEST,
        le=LONGEST,
        description="How long jobs and their results are kept once they have ended; of new jobs without another wish.",
    )
    ephemeral_seconds: int = Field(
        default=EPHEMERAL_SECONDS,
        ge=SHORTEST,
        le=LONGEST,
        description="The same for new jobs whose option `retention` is `ephemeral`.",
    )
    shutdown_seconds: int = Field(
        default=3, ge=0, description="How long a stop waits for requests that are being answered."
    )
    log_level: Level = Field(default="info", description="debug, info, warning or error.")
    internal_token: SecretStr | None = Field(
        default=None,
        description="Bearer token that /v1/internal and legal holds take; without one nobody may use them.",
    )

    def terms(self) -> Terms:
        """On which new jobs are taken."""
        kept = {RetentionClass.STANDARD: self.retention_seconds, RetentionClass.EPHEMERAL: self.ephemeral_seconds}
        return Terms(self.max_upload_bytes, kept)

    @field_validator("internal_token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None or not token.get_secret_value():
            return None
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("a token is made of 16 or more letters, digits and -._~+/, without spaces around it")
        return token
