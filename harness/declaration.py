"""Base classes of service declarations: tables of `estate.toml`, and `ServiceKind` (one value `KIND` a package)."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from harness.core.service import Arrivals, Place, PublicDoor, Route, Service, Sql
from harness.core.text import odd_in

BOTH_SITES = ("primary", "dr")
WITH_CLIENTS = ("clients", *BOTH_SITES)
LONGEST_NAME = 63  # bytes of a name in PostgreSQL
CLOSED, TEMPLATE = "template0", "template1"
INFRASTRUCTURE = ("postgres", "objects", "spool")  # volumes of a site that are no service's


def reference(value: str) -> str:
    """Return `value` if it is a secret reference; raises ValueError."""
    if not value.startswith(("env:", "file:")):
        raise ValueError("must be a reference, env:NAME or file:PATH, never the secret itself")
    return value


def beside(word: str, info: ValidationInfo) -> str:
    """Return the absolute path of a file in the folder of `estate.toml`; return any other word unchanged."""
    path = Path((info.context or {}).get("folder", "."), word)
    return str(path.absolute()) if path.is_file() else word


def postgres_name(value: str) -> str:
    """Return `value` if PostgreSQL may have a database or a role of that name; raises ValueError."""
    if not 0 < len(value.encode()) <= LONGEST_NAME:
        raise ValueError(f"a name in PostgreSQL has 1 to {LONGEST_NAME} bytes")
    return value


def database_name(value: str) -> str:
    """Return `value` if there may be a database of that name to connect to; raises ValueError."""
    if value == CLOSED:
        raise ValueError(f"{value!r} takes no connections: it is PostgreSQL's own; give the database another name")
    return postgres_name(value)


def plain_name(value: str) -> str:
    """Return a name in PostgreSQL that settings files and environments can have as well; raises ValueError."""
    if odd := odd_in(value):
        raise ValueError(f"{value!r} must be one line without control characters ({odd})")
    if value != value.strip():
        raise ValueError(f"{value!r} has white space at its begin or end; remove it")
    if "@{" in value:
        raise ValueError(f"{value!r} has @{{ in it, which begins a placeholder; give it another name")
    return postgres_name(value)


def role_name(value: str) -> str:
    """Return `value` if the role of a service may have that name; raises ValueError."""
    if value in ("public", "none") or value.startswith("pg_"):
        raise ValueError(f"{value!r} is no name of a role: PostgreSQL has reserved it")
    return plain_name(value)


def service_database(value: str) -> str:
    """Return `value` if a service may own a database of that name; raises ValueError."""
    if value == TEMPLATE:
        raise ValueError(f"{value!r} is PostgreSQL's template of new databases; give the database another name")
    return plain_name(database_name(value))


def volume_name(value: str) -> str:
    """Return `value` if a service may have a volume of that name; raises ValueError."""
    if value in INFRASTRUCTURE:
        raise ValueError(f"{value!r} is the volume of the site's own {value}; give it another name")
    return value


def no_double(what: str, names: Iterable[str]) -> None:
    """Raise ValueError for a name that is declared twice; `what`: the key of the table that has them."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: {name} is declared twice; remove one")
        seen.add(name)


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
DatabaseName = Annotated[str, AfterValidator(database_name)]
ServiceDatabase = Annotated[str, AfterValidator(service_database)]
RoleName = Annotated[str, AfterValidator(role_name)]
VolumeName = Annotated[Name, AfterValidator(volume_name)]
Reference = Annotated[str, AfterValidator(reference)]
Word = Annotated[str, AfterValidator(beside)]


class Table(BaseModel):
    """A table of `estate.toml`: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def exact(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a number in quotes, `true` for 1, `nan`, and a zero byte, which no program and no server takes."""
        types = set(_types(cls.model_fields[info.field_name or ""].annotation))
        if types & {int, float}:
            inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else (value,)
            for one in inside:
                if isinstance(one, bool) and bool not in types:
                    raise ValueError(f"must be a number, not {str(one).lower()}")
            if isinstance(value, str) and str not in types:
                raise ValueError("must be a number, without quotes")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"must be a finite number, not {value}")
        if any("\0" in text for text in _texts(value)):
            raise ValueError("has a zero byte in it; remove it")
        return value


def _types(annotation: Any) -> Iterator[Any]:
    """Yield every type in an annotation."""
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def _texts(value: object) -> Iterator[str]:
    """Yield a text, or those in a list and in a table of texts; inner tables are asked themselves."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))
    elif isinstance(value, dict):
        yield from (one for pair in value.items() for one in pair if isinstance(one, str))


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
    anew: bool = False  # whether a DR site that is made for a test may have another value than production's
    role: str = ""  # the database role whose password it is
    needed: bool = True  # whether a restored service or its key functions need it


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Context in which a service is built. `routes`: of all services; `arrivals`: messages that a drill received."""

    routes: tuple[Route, ...] = ()
    arrivals: Arrivals | None = None


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """How numbered writes are sent to a service and read back. Data loss (RPO) is measured with them."""

    sender: Callable[[PublicDoor, Mapping[str, str]], Callable[[int], bool]]  # sends write N: was it acknowledged?
    survivors: Callable[[PublicDoor, Mapping[str, str]], frozenset[int]]  # numbers behind the front door
    restored: Callable[[Sql], frozenset[int]]  # write numbers found on a restored database server


@dataclass(frozen=True, slots=True)
class StoreClients:
    """Clients that write to one store of a service during a drill. Each has a ledger of its own, `name`."""

    name: str
    sender: Callable[[PublicDoor, Mapping[str, str]], Callable[[int], bool]]  # writes N: was it acknowledged?
    survivors: Callable[[PublicDoor, Mapping[str, str], Place], frozenset[int]]  # numbers that a site has
    in_bucket: bool = False  # each write has an object: the replication copies objects in rounds, in no order


@dataclass(frozen=True, slots=True)
class ServiceKind:
    """A kind of service."""

    name: str
    build: Callable[[str, Any, Surroundings], Service]  # from its name and table
    table: type[ServiceTable] = ServiceTable  # its keys in `estate.toml`
    route: Callable[[str, Any], Route | None] = lambda _name, _table: None  # its route through the gateway
    image: Callable[[Any], str] = lambda _table: ""  # the image that its nodes run
    parts: tuple[str, ...] = ()  # the parts that its nodes and its seeding need
    secrets: Callable[[str, Any], tuple[SecretSpec, ...]] = lambda _name, _table: ()  # the secrets of a new service
    messages: tuple[str, ...] = ()  # the mission's numbers of its start, its connection and its key function
    seeds: tuple[str, ...] = ()  # modules of its package that determine the example data
    example: bool = False  # whether the example estate has one
    entry: bool = False  # whether clients reach a site through it
    passive: bool = False  # whether it has no outbound actions
    sink: str = ""  # the name of the receiver of its outbound actions
    outside: Callable[[Any], tuple[str, ...]] = lambda _table: ()  # paths outside its volumes that it may write to
    target: Callable[[Any], str] = lambda _table: ""  # URL of that receiver in a real recovery
    load: ClientLoad | None = None
    stores: Callable[[str, Any], tuple[StoreClients, ...]] = lambda _name, _table: ()  # whose loss is measured as well
