"""Registry of the declared services: builds them from their kinds."""

from collections.abc import Mapping, Sequence

from harness.core.errors import UsageError
from harness.core.service import Arrivals, Containable, Service
from harness.declaration import ClientLoad, ServiceKind, StoreClients, Surroundings
from harness.estate.client_load import DeclaredLoad
from harness.estate.config import Config
from harness.estate.kinds import KINDS, route_of, routes
from harness.parts.recipes import recipe
from harness.parts.table import PARTS


def kind_of(config: Config, service: str) -> ServiceKind:
    """Return the kind of a declared service."""
    return KINDS[config.services[service].kind]


def build_services(config: Config, arrivals: Arrivals | None = None) -> tuple[Service, ...]:
    """Return the declared services in declaration order. `arrivals`: messages that a drill received."""
    surroundings = Surroundings(routes(config.services), arrivals)
    return tuple(kind_of(config, name).build(name, table, surroundings) for name, table in config.services.items())


def entry_of(config: Config) -> str:
    """Return the name of the service through which clients reach a site; raises UsageError without one."""
    for name in config.services:
        if kind_of(config, name).entry:
            return name
    kinds = ", ".join(kind.name for kind in KINDS.values() if kind.entry)
    raise UsageError(f"estate {config.estate.name}: no service takes client requests; declare one of kind {kinds}")


def start_messages(config: Config) -> Mapping[str, tuple[str, str]]:
    """Return the mission's message numbers for start and connection, by service name."""
    return {n: (m[0], m[1]) for n in config.services if (m := kind_of(config, n).messages)}


def absent_messages(config: Config) -> Mapping[str, tuple[str, ...]]:
    """Return the mission's message numbers of service kinds that this estate lacks, by kind."""
    declared = {table.kind for table in config.services.values()}
    return {name: kind.messages for name, kind in KINDS.items() if kind.messages and name not in declared}


def sinks_of(config: Config) -> Mapping[str, str]:
    """Return the targets of outbound actions in a real recovery: name of the sink -> URL; raises UsageError."""
    kinds = ((kind_of(config, name), table) for name, table in config.services.items())
    return {kind.sink: kind.target(table) for kind, table in kinds if kind.sink}


def sinks_at(config: Config, url: str) -> Mapping[str, str]:
    """Return the targets of outbound actions in a drill: every sink is the drill's receiver at `url`."""
    return {kind.sink: url for name in config.services if (kind := kind_of(config, name)).sink}


def client_load(config: Config) -> ClientLoad | None:
    """Return the client load of this estate: as declared under [clients], else of a kind that has one; None without."""
    if config.clients is not None:
        route = route_of(routes(config.services), config.clients.write.path)
        return DeclaredLoad(config.clients, auth=route is not None and route.auth).load
    return next((load for name in config.services if (load := kind_of(config, name).load)), None)


def load_service(config: Config) -> str | None:
    """Return the name of the service that takes the client load, None without one."""
    if config.clients is not None:
        route = route_of(routes(config.services), config.clients.write.path)
        return route.service if route else None
    return next((name for name in config.services if kind_of(config, name).load), None)


def store_clients(config: Config) -> tuple[StoreClients, ...]:
    """Return the clients of all stores of this estate that have a ledger besides that of the client load."""
    return tuple(one for name, table in config.services.items() for one in kind_of(config, name).stores(name, table))


def without_ledger(config: Config) -> tuple[str, ...]:
    """Return the names of the services to which no client of a drill writes; gateways are left out."""
    written = {load_service(config)}
    return tuple(
        name
        for name, table in config.services.items()
        if name not in written and not kind_of(config, name).passive and not kind_of(config, name).stores(name, table)
    )


def parts_of(config: Config) -> tuple[str, ...]:
    """Return the names of the parts that this estate needs: all, without those that only undeclared kinds run."""
    declared = {part for name in config.services for part in kind_of(config, name).parts}
    others = {part for kind in KINDS.values() for part in kind.parts} - declared
    needed = {one.name for one in PARTS} - others
    needed |= {need for name in needed for need in recipe(name).needs}
    return tuple(one.name for one in PARTS if one.name in needed)


def not_contained(config: Config, services: Sequence[Service]) -> tuple[str, ...]:
    """Return one line for each service that has outbound actions and no containment."""
    return tuple(
        f"containment: {service.name} is not contained; kind {kind.name} has no containment"
        for service in services
        if not (kind := kind_of(config, service.name)).passive and not isinstance(service, Containable)
    )


def first_bucket(services: Sequence[Service]) -> str:
    """Return the bucket whose tag names the estate: the first that a service declares, "" without one."""
    return next((objects.bucket for service in services for objects in service.sources().objects), "")
