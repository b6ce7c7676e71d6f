"""Configuration from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from notifier.errors import ConfigurationError

HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Settings:
    """Connections to database and object store, the delivery target, and the address to listen on."""

    db_host: str
    db_port: int
    db_name: str
    db_user: str
    db_password: str = field(repr=False)
    s3_endpoint: str
    s3_bucket: str
    s3_access: str = field(repr=False)
    s3_secret: str = field(repr=False)
    target: str = field(repr=False)  # an apprise URL, which may contain a password
    host: str
    port: int


PORTS = ("db_port", "port")


def variable(name: str) -> str:
    """Return the environment variable of a field of Settings."""
    return f"NOTIFIER_{name.upper()}"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings; raises ConfigurationError with all missing variables."""
    names = [one.name for one in fields(Settings)]
    missing = sorted(variable(name) for name in names if not environment.get(variable(name)))
    if missing:
        raise ConfigurationError(f"not set: {', '.join(missing)}")
    values: dict[str, Any] = {name: environment[variable(name)] for name in names}
    return Settings(**values | {name: port(variable(name), values[name]) for name in PORTS})


def port(name: str, text: str) -> int:
    """Return `text` as a port number; raises ConfigurationError."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= HIGHEST_PORT:
        raise ConfigurationError(f"{name}: {text!r} is not a port")
    return int(text)
