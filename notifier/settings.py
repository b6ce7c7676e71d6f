"""Configuration from environment variables, and from files that they name."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
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
FROM_FILES = ("db_password", "s3_access", "s3_secret", "target")  # what an environment would show to others


def variable(name: str) -> str:
    """Return the environment variable of a field of Settings."""
    return f"NOTIFIER_{name.upper()}"


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings; raises ConfigurationError with all missing variables, or for a file that cannot be read.

    A field of FROM_FILES may be in a file instead, without its last line break; the variable with `_FILE` names it.
    """
    names = [one.name for one in fields(Settings)]
    found = {name: _value(environment, name) for name in names}
    if missing := sorted(variable(name) for name in names if not found[name]):
        raise ConfigurationError(f"not set: {', '.join(missing)}")
    values: dict[str, Any] = dict(found)
    return Settings(**values | {name: port(variable(name), values[name]) for name in PORTS})


def _value(environment: Mapping[str, str], name: str) -> str:
    plain, file = variable(name), f"{variable(name)}_FILE"
    path = environment.get(file, "")
    if not path or name not in FROM_FILES:
        return environment.get(plain, "")
    if environment.get(plain):
        raise ConfigurationError(f"{plain} and {file} are both set; remove one")
    try:
        text = Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigurationError(f"{file}: {path} cannot be read ({reason})") from None
    if not text:
        raise ConfigurationError(f"{file}: {path} is empty")
    return text


def port(name: str, text: str) -> int:
    """Return `text` as a port number; raises ConfigurationError."""
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= HIGHEST_PORT:
        raise ConfigurationError(f"{name}: {text!r} is not a port")
    return int(text)
