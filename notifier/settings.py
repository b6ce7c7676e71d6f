"""Configuration from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from notifier.errors import ConfigurationError

HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Settings:
    """Connections to database and object store, the delivery target, and the address to listen on.

    `target`: an apprise URL, which may contain a password. Secrets are not in the repr.
    """

    db_host: str
    db_port: int
    db_name: str
    db_user: str
    db_password: str = field(repr=False)
    s3_endpoint: str
    s3_bucket: str
    s3_access: str = field(repr=False)
    s3_secret: str = field(repr=False)
    target: str = field(repr=False)
    host: str
    port: int


TEXTS = {
    "db_host": "NOTIFIER_DB_HOST",
    "db_name": "NOTIFIER_DB_NAME",
    "db_user": "NOTIFIER_DB_USER",
    "db_password": "NOTIFIER_DB_PASSWORD",
    "s3_endpoint": "NOTIFIER_S3_ENDPOINT",
    "s3_bucket": "NOTIFIER_S3_BUCKET",
    "s3_access": "NOTIFIER_S3_ACCESS",
    "s3_secret": "NOTIFIER_S3_SECRET",
    "target": "NOTIFIER_TARGET",
    "host": "NOTIFIER_HOST",
}
PORTS = {"db_port": "NOTIFIER_DB_PORT", "port": "NOTIFIER_PORT"}


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings; raises ConfigurationError with all missing variables."""
    missing = [name for name in (*TEXTS.values(), *PORTS.values()) if not environment.get(name)]
    if missing:
        raise ConfigurationError(f"not set: {', '.join(sorted(missing))}")
    texts = {field_name: environment[name] for field_name, name in TEXTS.items()}
    ports = {field_name: port(name, environment[name]) for field_name, name in PORTS.items()}
    return Settings(
        db_host=texts["db_host"],
        db_port=ports["db_port"],
        db_name=texts["db_name"],
        db_user=texts["db_user"],
        db_password=texts["db_password"],
        s3_endpoint=texts["s3_endpoint"],
        s3_bucket=texts["s3_bucket"],
        s3_access=texts["s3_access"],
        s3_secret=texts["s3_secret"],
        target=texts["target"],
        host=texts["host"],
        port=ports["port"],
    )


def port(name: str, text: str) -> int:
    """Return `text` as a port number; raises ConfigurationError."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= HIGHEST_PORT:
        raise ConfigurationError(f"{name}: {text!r} is not a port")
    return int(text)
