"""Service interface: nodes, backup sources, key functions, containment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from harness.core.node import Address, NodeSpec, Ready, Site

Containment = Literal["disposable", "reversible"]


REGION = "us-east-1"  # of an object store that has no regions


@dataclass(frozen=True, slots=True)
class SqlTls:
    """How connections to a PostgreSQL server are encrypted: libpq's `sslmode`; paths of PEM files, "" for none."""

    mode: str = "prefer"
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Sql:
    """Connection to a PostgreSQL server. `inside`: for nodes of its site; `outside`: for the harness.

    `database`: for statements that belong to no database. `others`: further hosts, inside and outside; whichever of
    all is the primary is used.
    """

    inside: Address
    outside: Address
    user: str
    password_ref: str
    database: str = "postgres"
    others: tuple[Address, ...] = ()
    tls: SqlTls = SqlTls()
    superuser: bool = True  # whether `user` is one

    def __str__(self) -> str:
        return ",".join(map(str, (self.outside, *self.others)))


@dataclass(frozen=True, slots=True)
class S3:
    """Connection to an object store. The key references are resolved when they are used.

    `ca`: path of a PEM file, "" for the certificates that the system trusts. `path_style`: whether the bucket is in the
    path and not in the host name; None as the host name suggests.
    """

    inside: Address
    outside: Address
    access_key_ref: str
    secret_key_ref: str
    tls: bool = False
    ca: str = ""
    region: str = REGION
    path_style: bool | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Environment of a service on a site: database server, object store, secrets."""

    site: Site
    sql: Sql
    s3: S3
    secrets: Mapping[str, str]  # name -> reference, of this site
    peers: Mapping[str, Address] = field(default_factory=dict)  # started service -> address inside the site
    sinks: Mapping[str, str] = field(default_factory=dict)  # name -> URL of the receiver of outbound actions


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of files: Odoo's filestore. `folder`: in the volume, "" for all of it."""

    name: str
    volume: str
    folder: str
    database: str = ""
    referenced: str = ""  # a query on `database`: one relative path a row, of a file that must exist; "": every file
    sha1_named: bool = False  # its name is its SHA-1, which is checked
    without: tuple[str, ...] = ()  # folders in `folder` that belong to other trees
    disposable: tuple[str, ...] = ()  # patterns of paths in it that are left out: `sessions`, `logs/*.log`
    found: bool = False  # no service declares it
    optional: bool = False  # its program makes the folder only when it has a file for it


@dataclass(frozen=True, slots=True)
class Objects:
    """A bucket. `referenced`: a query on `database` that returns one object key a row; "": every object."""

    bucket: str
    database: str = ""
    referenced: str = ""
    found: bool = False  # no service declares it


@dataclass(frozen=True, slots=True)
class Sources:
    """What of a service is backed up, and its replicated buckets. `fingerprints`: secrets kept as a digest only."""

    databases: tuple[str, ...] = ()
    trees: tuple[Tree, ...] = ()
    fingerprints: tuple[str, ...] = ()  # names of secrets of which only a digest is backed up
    objects: tuple[Objects, ...] = ()
    volumes: tuple[str, ...] = ()  # all volumes that its programs write to
    disposable: tuple[tuple[str, str], ...] = ()  # volume, pattern of what its programs make anew: sessions, caches
    role: str = ""  # that its programs connect to the databases as, "" for the owner of each
    read: tuple[str, ...] = ()  # volumes and buckets whose content a key function reads
    volatile: tuple[str, ...] = ()  # tables, `schema.name`, whose rows its programs remove by themselves


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response: status, body, headers in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class PublicDoor(Protocol):
    """A client outside both sites, which resolves the public name at every request."""

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] = ...,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        """Send one request, with `json` or `body`, over a new connection; return the answer. Raises OSError.

        Requests of one `session` share cookies.
        """


@dataclass(frozen=True, slots=True)
class KeyFunction:
    """An operation that must work after a recovery. `check` returns a line for the record or raises Finding."""

    name: str
    service: str
    message: str
    check: Callable[[PublicDoor], str]


@dataclass(frozen=True, slots=True)
class Route:
    """Route of requests below `prefix` to `service`."""

    prefix: str
    service: str
    strip: bool  # remove the prefix
    auth: bool  # require the clients' key
    ready: str = ""  # a path, prefix included, that answers 200 to a request with the key


class Arrivals(Protocol):
    """Deliveries at the customers' receiver, by reference."""

    def seen(self, reference: str) -> Sequence[object]:
        """Return the deliveries with that reference; empty without any."""


class Service(Protocol):
    """A service of the estate that is backed up and recovered."""

    @property
    def name(self) -> str:
        """Its name in estate.toml."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the services that must be ready before it starts."""

    def nodes(self, place: Place) -> Sequence[NodeSpec]:
        """Return its nodes in start order; raises UsageError for a missing secret."""

    def sources(self) -> Sources:
        """Return the data that is backed up."""

    def key_functions(self, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
        """Return its key functions. `secrets`: references of the clients' secrets."""


@dataclass(frozen=True, slots=True)
class Contained:
    """Contained actions of a service, one entry for each action, as `release` needs them."""

    service: str
    actions: tuple[str, ...]


@runtime_checkable
class Containable(Protocol):
    """A service with outbound actions (mail, deliveries, schedules) that can be contained."""

    def contain(self, place: Place, containment: Containment) -> Contained:
        """Block a restored copy's outbound actions; return them. `reversible`: it stays. Raises HarnessError."""

    def release(self, place: Place, contained: Contained) -> Sequence[str]:
        """Undo a reversible `contain`, more than once too; raises HarnessError.

        Return a line for all that could not come back, as somebody removed it since, and for what else follows.
        """


SAID = {True: "", False: "FAILED: ", None: "UNKNOWN: "}


@dataclass(frozen=True, slots=True)
class AssertionResult:
    """What one assertion on a restored database found. `detail`: what is there, or why it has no result.

    `passed`: None where nothing shows whether it does; the verdict is UNKNOWN.
    """

    database: str
    name: str
    passed: bool | None
    detail: str

    @property
    def line(self) -> str:
        """One line for the record, and for a finding or a doubt."""
        return f"database {self.database}: {self.name}: {SAID[self.passed]}{self.detail}"


@runtime_checkable
class Asserting(Protocol):
    """A service that looks at restored data which its programs read only when somebody needs them."""

    def assertions(self, place: Place) -> Sequence[AssertionResult]:
        """Return what it finds, before its programs start. What cannot be asked is a failed assertion."""


@runtime_checkable
class Probed(Protocol):
    """A service whose port `http` is probed on sites where another hand starts it."""

    @property
    def ready(self) -> Ready:
        """The probe."""


@runtime_checkable
class Seedable(Protocol):
    """A service of the example estate that can fill itself with example data."""

    def seed(self, place: Place) -> None:
        """Create its databases, roles, files and example data on an empty site; raises HarnessError."""


REACHED = "reached"


@runtime_checkable
class CallsOutside(Protocol):
    """A service that can be told to call an address: a drill shows with it that a restored copy reaches nothing."""

    def call_outside(self, door: PublicDoor, secrets: Mapping[str, str], at: Address, to: Address) -> str:
        """Have the service at `at` call an address; return REACHED, or what it says. Raises HarnessError, Finding."""
