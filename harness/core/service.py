"""The one port for services: what a thing is made of, what of it is backed up, how one knows that it works."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from harness.core.node import Address, NodeSpec, Site

Containment = Literal["disposable", "reversible"]


@dataclass(frozen=True, slots=True)
class Sql:
    """How to reach a PostgreSQL server: as its superuser from the harness, as its peers from inside the site."""

    inside: Address
    outside: Address
    user: str
    password_ref: str


@dataclass(frozen=True, slots=True)
class S3:
    """How to reach an object store. The key references are read only where they are used."""

    inside: Address
    outside: Address
    access_key_ref: str
    secret_key_ref: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is put: the site, its database server, its object store, what it may know.

    `secrets`: name -> reference, those of this site. `peers`: service name -> address inside the site, of
    the services already started. `sinks`: name -> URL, where outward actions of a rehearsal go.
    """

    site: Site
    sql: Sql
    s3: S3
    secrets: Mapping[str, str]
    peers: Mapping[str, Address] = field(default_factory=dict)
    sinks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of files that belongs to a database: Odoo's filestore.

    `volume` and `folder` say where it lies; `referenced` is a query on `database` that returns one relative
    path a row: each must be in the folder, and be whole where `sha1_named` says that its name is its SHA-1.
    """

    name: str
    volume: str
    folder: str
    database: str
    referenced: str
    sha1_named: bool = False


@dataclass(frozen=True, slots=True)
class Objects:
    """A bucket that a database refers to: `referenced` is a query that returns one object key a row."""

    bucket: str
    database: str
    referenced: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What of a service is backed up, and its replicated buckets. `fingerprints`: secrets kept as a digest only."""

    databases: tuple[str, ...] = ()
    trees: tuple[Tree, ...] = ()
    fingerprints: tuple[str, ...] = ()
    objects: tuple[Objects, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: HTTP status, body, headers in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class PublicDoor(Protocol):
    """A client outside both sites: resolves the public name at every request."""

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        headers: Mapping[str, str] = ...,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        """Send one request over a new connection; requests of one `session` share cookies. Raises OSError."""


@dataclass(frozen=True, slots=True)
class KeyFunction:
    """Something a client must be able to do again. `check` returns a line for the record or raises Finding."""

    name: str
    service: str
    message: str
    check: Callable[[PublicDoor], str]


@dataclass(frozen=True, slots=True)
class Route:
    """Requests below `prefix` go to `service`; `strip`: without the prefix; `auth`: only with the clients' key.

    `ready`: a path of the service, prefix and all, that answers 200 to a request with the key.
    """

    prefix: str
    service: str
    strip: bool
    auth: bool
    ready: str = ""


class Arrivals(Protocol):
    """The customers' side: which messages came, if any, under which reference."""

    def seen(self, reference: str) -> Sequence[object]:
        """Return what came under that reference; empty when nothing did."""


class Service(Protocol):
    """A thing on a site that must come back."""

    @property
    def name(self) -> str:
        """Its name in estate.toml."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the services that must be ready before it starts."""

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Its nodes, in the order in which they start."""

    def sources(self) -> Sources:
        """What of it is backed up."""

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """What clients must be able to do again; `secrets` are references of the clients' own."""


@dataclass(frozen=True, slots=True)
class Contained:
    """What was contained of a service, so that it can be released: one entry an action, as `release` reads it."""

    service: str
    actions: tuple[str, ...]


@runtime_checkable
class Containable(Protocol):
    """A service that would act on the world when its copy starts."""

    def contain(self, place: Place, containment: Containment) -> Contained:
        """Keep a restored copy from acting on the world; called after the restore and before it starts.

        `disposable`: the copy is thrown away, so what cannot be undone is allowed; `reversible`: for what stays.
        """

    def release(self, place: Place, contained: Contained) -> None:
        """Undo a reversible `contain`."""


@runtime_checkable
class Seedable(Protocol):
    """A service of the example estate that can fill itself with example data."""

    def seed(self, place: Place) -> None:
        """Make its databases, roles, files and example data on an empty site; leaves nothing running."""
