"""Parser of `estate.toml`. An unknown key is an error that names the nearest valid key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime, time
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from harness.core.service import Sources
from harness.declaration import INFRASTRUCTURE, DatabaseName, Name, ServiceTable, Surroundings, Table
from harness.estate.backup_config import BackupTable, Reason
from harness.estate.conflicts import foreign_keys, shared_roles
from harness.estate.existing_config import ExistingTable
from harness.estate.kinds import KINDS, route_of, routes
from harness.estate.mistakes import explain, mistakes, nearest, parse_toml, spelled, wrong_needs
from harness.estate.notify_config import NotifyTable
from harness.estate.server_tables import Bandwidth
from harness.postgres.allowed import ALLOWABLE, LEFT_OUT, Allowed
from harness.traffic.declared import ClientsTable

REMEDY = "name another with --config"  # for a declaration that cannot be read


def address(value: str) -> str:
    """Return `value` if it is an IPv4 address; raises ValueError."""
    return str(IPv4Address(value))


def service_name(value: str) -> str:
    """Return `value` if a service may have that name; raises ValueError."""
    if value in INFRASTRUCTURE:
        raise ValueError(f"{value!r} is the site's own server of that name; give the service another name")
    return value


IPv4 = Annotated[str, AfterValidator(address)]
Labels = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$", max_length=253)]  # RFC 1035


ServiceName = Annotated[Name, AfterValidator(service_name)]


class EstateTable(Table):
    """Name of the estate, and its public name: `host` in the DNS zone `zone`."""

    name: Name
    zone: Labels
    host: Labels = "www"


def named(kinds: Collection[str]) -> Callable[[str], str]:
    """Return a function that returns `KIND NAME` of one of the kinds, and raises ValueError for anything else."""

    def check(value: str) -> str:
        if not any(value.startswith(f"{kind} ") and value != f"{kind} " for kind in kinds):
            raise ValueError(f"{value!r} is none of {', '.join(f'`{kind} NAME`' for kind in kinds)}")
        return value

    return check


class RestoreTable(Table):
    """What a restore makes although it gives power over the server, and what it leaves out, each with its reason.

    `bandwidth`: bytes per second that are read from the repository at most; 0: no limit.
    """

    bandwidth: Bandwidth = 0
    allow: dict[Annotated[str, AfterValidator(named(ALLOWABLE))], Reason] = Field(default_factory=dict)
    exclude: dict[Annotated[str, AfterValidator(named(LEFT_OUT))], Reason] = Field(default_factory=dict)

    @property
    def allowed(self) -> Allowed:
        """Both as one value."""
        return Allowed(tuple(self.allow.items()), tuple(self.exclude.items()))

    @model_validator(mode="after")
    def decided_once(self) -> RestoreTable:
        """Refuse a name that is allowed and excluded."""
        for name in self.allow.keys() & self.exclude.keys():
            raise ValueError(f"{name!r} is in `allow` and in `exclude`; keep it in one of them")
        return self


class DataTable(Table):
    """Size of the bulk database that is seeded beside the data of the services."""

    bulk_mb: Annotated[int, Field(ge=0, le=100_000)] = 0


class SiteTable(Table):
    """One site: the IPv4 address that its clients use, and what of DR runs before a disaster."""

    edge: IPv4
    strategy: Literal["pilot-light", "cold", "warm"] = "pilot-light"


class SitesTable(Table):
    """The two sites."""

    primary: SiteTable
    dr: SiteTable

    @model_validator(mode="after")
    def two_addresses(self) -> SitesTable:
        """Refuse two sites with the same address: a traffic switch could not be verified."""
        if self.primary.edge == self.dr.edge:
            raise ValueError(f"primary.edge and dr.edge are both {self.dr.edge}; give each site its own address")
        return self


class AssertionTable(Table):
    """A query that is asked of a restored database, and what it must return.

    `returns`: the only value of the only row, or a list: of the values of its only column, or of rows. `at_least`: a
    limit of the only value.
    """

    query: Annotated[str, Field(min_length=1)]
    name: str = ""
    returns: bool | int | float | str | date | time | datetime | tuple[Any, ...] | None = None
    at_least: int | float | None = None

    @model_validator(mode="after")
    def expects_something(self) -> AssertionTable:
        """Refuse a query without an expected result, and one with two."""
        if (self.returns is None) == (self.at_least is None):
            raise ValueError(f"query {self.query!r}: needs `returns` or `at_least`, and not both")
        return self


class DatabaseTable(Table):
    """A table [databases.NAME]: what must hold in that database after every restore."""

    assertions: tuple[AssertionTable, ...] = ()


def of_kind(value: object, _inner: ValidatorFunctionWrapHandler, info: ValidationInfo) -> ServiceTable:
    """Return the table of a service, validated by the model of its kind; raises ValueError for an unknown kind."""
    if isinstance(value, ServiceTable):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be a table")  # noqa: TRY004 - pydantic takes it for a mistake of the file
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is none of {', '.join(sorted(KINDS))}{spelled(str(kind), KINDS)}")
    return KINDS[kind].table.model_validate(value, context=info.context)


class Config(Table):
    """All tables of `estate.toml`."""

    estate: EstateTable
    backup: BackupTable = BackupTable()
    restore: RestoreTable = RestoreTable()
    data: DataTable = DataTable()
    sites: SitesTable
    services: dict[ServiceName, Annotated[ServiceTable, WrapValidator(of_kind)]]
    clients: ClientsTable | None = None
    databases: dict[DatabaseName, DatabaseTable] = Field(default_factory=dict)
    existing: ExistingTable | None = None
    notify: NotifyTable = NotifyTable()

    @property
    def public_name(self) -> str:
        """The fully qualified name that clients use."""
        return f"{self.estate.host}.{self.estate.zone}"

    @model_validator(mode="after")
    def needs_are_known(self) -> Config:
        """Refuse an undeclared name in `needs`, and a circular dependency."""
        for line in wrong_needs({name: table.needs for name, table in self.services.items()}):
            raise ValueError(line)
        return self

    @model_validator(mode="after")
    def clients_reach_a_service(self) -> Config:
        """Refuse writes of clients that reach no service, and a database that none has."""
        if self.clients is None:
            return self
        known = routes(self.services)
        for what, path in (("write", self.clients.write.path), ("read", self.clients.read.path)):
            if route_of(known, path) is None:
                there = ", ".join(sorted(route.prefix for route in known)) or "none"
                raise ValueError(f"clients.{what}.path: no service is at {path}; prefixes of services: {there}")
        databases = {database for sources in self.sources().values() for database in sources.databases}
        if (database := self.clients.restored.database) not in databases:
            raise ValueError(f"clients.restored.database: no service has {database!r}{nearest(database, databases)}")
        return self

    @model_validator(mode="after")
    def data_is_declared_once(self) -> Config:
        """Refuse a folder or a bucket that two services declare: it would be backed up and restored twice."""
        buckets: dict[str, str] = {}
        folders: list[tuple[str, str, str]] = []
        for service, sources in self.sources().items():
            for bucket in dict.fromkeys(objects.bucket for objects in sources.objects):
                if bucket in buckets:
                    raise ValueError(twice(service, f"bucket {bucket}", buckets[bucket]))
                buckets[bucket] = service
            own = [(tree.volume, f"{tree.folder.strip('/')}/".lstrip("/"), service) for tree in sources.trees]
            for volume, folder, _ in own:
                for other, inside, first in folders:
                    if volume == other and (folder.startswith(inside) or inside.startswith(folder)):
                        raise ValueError(twice(service, f"volume {volume}, folder {folder or '/'}", first))
            folders += own
        return self

    @model_validator(mode="after")
    def prefixes_differ(self) -> Config:
        """Refuse two services at one prefix: which of them answers would depend on chance."""
        first: dict[str, str] = {}
        for route in routes(self.services):
            prefix = route.prefix.rstrip("/")
            if prefix in first:
                where = f"services.{route.service}: prefix {prefix or '/'}"
                raise ValueError(f"{where} is that of {first[prefix]} as well; give each a prefix of its own")
            first[prefix] = route.service
        return self

    @model_validator(mode="after")
    def keys_ask_their_service(self) -> Config:
        """Refuse a key function that would pass although its own service is down."""
        for line in foreign_keys(self.services):
            raise ValueError(line)
        return self

    @model_validator(mode="after")
    def roles_have_one_password(self) -> Config:
        """Refuse two services with one role and two secrets for its password."""
        for line in shared_roles(self.services):
            raise ValueError(line)
        return self

    def sources(self) -> dict[str, Sources]:
        """Return what of each service is backed up, by its name."""
        built = ((n, KINDS[table.kind].build(n, table, Surroundings())) for n, table in self.services.items())
        return {name: service.sources() for name, service in built}


def twice(service: str, what: str, first: str) -> str:
    """Return the message for data that two services declare."""
    return (
        f"services.{service}: {what} is declared by {first} as well; keep it in one of them, "
        "and give the other the volume under `volumes`, or the store in its environment"
    )


def read_config(path: Path) -> tuple[Config | None, tuple[str, ...]]:
    """Return the declared estate and no line, or None and a line for every mistake in it; raises UsageError (TOML)."""
    data = parse_toml(path, REMEDY)
    try:
        return Config.model_validate(data, context={"folder": path.parent}), ()
    except ValidationError as error:
        # The tables of an estate are compared with each other only once each of them is right.
        needs = (" ".join(line.split()) for line in wrong_needs(_needs_in(data)))
        return None, tuple(dict.fromkeys((*mistakes(error, Config, data), *needs)))


def _needs_in(data: Mapping[str, Any]) -> Mapping[str, Sequence[str]]:
    services = data.get("services")
    tables = {n: t for n, t in services.items() if isinstance(t, dict)} if isinstance(services, dict) else {}
    lists = {name: needs if isinstance(needs := table.get("needs"), list) else [] for name, table in tables.items()}
    return {name: [need for need in needs if isinstance(need, str)] for name, needs in lists.items()}


def load_config(path: Path) -> Config:
    """Return the estate that the file `path` declares; raises UsageError, one line with file and key."""
    data = parse_toml(path, REMEDY)
    try:
        return Config.model_validate(data, context={"folder": path.parent})
    except ValidationError as error:
        raise explain(error, Config, path, data) from None
