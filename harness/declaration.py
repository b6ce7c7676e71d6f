"""Base classes of service declarations: tables of `estate.toml`, and `ServiceKind` (one value `KIND` a package)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from harness.core.service import Arrivals, PublicDoor, Route, Service, Sql

BOTH_SITES = ("primary", "dr")
WITH_CLIENTS = ("clients", *BOTH_SITES)


def reference(value: str) -> str:
    """Return `value` if it is a secret reference; raises ValueError."""
    if not value.startswith(("env:", "file:")):
        raise ValueError("must be a reference, env:NAME or file:PATH, never the secret itself")
    return value


def beside(word: str, info: ValidationInfo) -> str:
    """Return the absolute path of a file in the folder of `estate.toml`; return any other word unchanged."""
    path = Path((info.context or {}).get("folder", "."), word)
    return str(path.absolute()) if path.is_file() else word


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Reference = Annotated[str, AfterValidator(reference)]
Word = Annotated[str, AfterValidator(beside)]


class Table(BaseModel):
    """A table of `estate.toml`: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceTable(Table):
    """A table [services.NAME]. A kind can subclass it to add keys."""

    kind: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """A secret of a new example estate: its holders, and a function that makes it from the secrets made before it."""

    name: str
    make: Callable[[Mapping[str, str]], str]
    holders: tuple[str, ...] = BOTH_SITES


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Context in which a service is built. `routes`: of all services; `arrivals`: messages that a drill received."""

    routes: tuple[Route, ...] = ()
    arrivals: Arrivals | None = None


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """How numbered writes are sent to a service and read back. Data loss (RPO) is measured with them.

    `sender`: from the front door and the clients' secrets, a function that sends write N and returns whether it was
    acknowledged (raises OSError). `survivors`: write numbers in the system behind the front door. `restored`: write
    numbers found on a restored database server.
    """

    sender: Callable[[PublicDoor, Mapping[str, str]], Callable[[int], bool]]
    survivors: Callable[[PublicDoor, Mapping[str, str]], frozenset[int]]
    restored: Callable[[Sql], frozenset[int]]


def _no_route(_name: str, _table: Any) -> Route | None:
    return None


def _no_image(_table: Any) -> str:
    return ""


def _no_secrets(_name: str) -> tuple[SecretSpec, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """A kind of service.

    `table`: its keys in `estate.toml`; `build`: makes a service from its name and table; `route`: its route through the
    gateway; `image`: the image that its nodes run; `parts`: programs that are installed before it is seeded;
    `secrets`: the secrets of a new service; `messages`: the mission's numbers of its start, its connection and its
    key function; `seeds`: modules of its package that determine the example data; `example`: whether the example
    estate has one; `entry`: whether clients reach a site through it; `passive`: whether it has no outbound actions;
    `sink`: the name of the receiver of its outbound actions; `target`: URL of that receiver in a real recovery.
    """

    name: str
    build: Callable[[str, Any, Surroundings], Service]
    table: type[ServiceTable] = ServiceTable
    route: Callable[[str, Any], Route | None] = _no_route
    image: Callable[[Any], str] = _no_image
    parts: tuple[str, ...] = ()
    secrets: Callable[[str], tuple[SecretSpec, ...]] = _no_secrets
    messages: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    example: bool = False
    entry: bool = False
    passive: bool = False
    sink: str = ""
    target: Callable[[Any], str] = _no_image
    load: ClientLoad | None = None
