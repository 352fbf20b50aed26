"""What the API lets its operator choose."""

from pydantic import Field

from antiphon.ports import PortSettings
from antiphon.telemetry.logs import Level


class ApiSettings(PortSettings):
    """Where the API listens and what it takes, besides where work is kept.

    Not `ANTIPHON_PORT`: Kubernetes sets that variable, to `tcp://...`, in every pod beside a service called `antiphon`.
    """

    listen_host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    listen_port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 for a free one.")
    max_upload_bytes: int = Field(default=512 << 20, ge=1, description="Largest recording that is taken, in bytes.")
    shutdown_seconds: int = Field(
        default=3, ge=0, description="How long a stop waits for requests that are being answered."
    )
    log_level: Level = Field(default="info", description="debug, info, warning or error.")
