"""What an estate declares services with: closed tables, and the kinds of service (one value `KIND` in each package)."""

from __future__ import annotations

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
    """Return the absolute path of a file that lies in the folder of `estate.toml`, any other word as it is."""
    path = Path((info.context or {}).get("folder", "."), word)
    return str(path.absolute()) if path.is_file() else word


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Reference = Annotated[str, AfterValidator(reference)]
Word = Annotated[str, AfterValidator(beside)]


class Table(BaseModel):
    """A table of `estate.toml`: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceTable(Table):
    """A table [services.NAME]; each kind may have a table with more keys."""

    kind: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecretSpec:
    """A secret of a new example estate: its holders, and a function that makes it from those made before."""

    name: str
    make: Callable[[Mapping[str, str]], str]
    holders: tuple[str, ...] = BOTH_SITES


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is built among. `routes`: of all services; `arrivals`: what came to a drill's receiver."""

    routes: tuple[Route, ...] = ()
    arrivals: Arrivals | None = None


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """How numbered writes are sent to a service and read back: what the loss of a disaster is measured on.

    `sender`: from the front door and the clients' secrets, a function that sends write N and returns whether it was
    acknowledged (raises OSError). `survivors`: the numbers that the system behind the front door has. `restored`: the
    numbers that a restored database server has.
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

    `table`: its keys in `estate.toml`; `build`: makes a service from its name and table; `route`: how the entry leads
    requests to it; `image`: the image that its nodes run; `parts`: programs that must be installed before it is seeded;
    `secrets`: those of a new service of a name; `messages`: the mission's numbers of its start, its connection and its
    key function; `seeds`: modules of its package that decide the example data; `example`: whether the example estate
    has one; `entry`: whether clients reach a site through it; `passive`: whether its copy does nothing by itself;
    `sink`: the name of the place where its outward actions go, and `target` that place's URL in a real recovery.
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
