"""The services of a declared estate, made from the kinds that they are of."""

from collections.abc import Mapping, Sequence

from harness.core.errors import UsageError
from harness.core.service import Arrivals, Containable, Route, Service
from harness.declaration import ClientLoad, ServiceKind, Surroundings
from harness.estate.config import Config
from harness.estate.kinds import KINDS


def kind_of(config: Config, service: str) -> ServiceKind:
    """Return the kind of a declared service."""
    return KINDS[config.services[service].kind]


def build_services(config: Config, arrivals: Arrivals | None = None) -> tuple[Service, ...]:
    """Return the declared services, in the order of the declaration. `arrivals`: what came to a drill's receiver."""
    among = Surroundings(routes(config), arrivals)
    return tuple(kind_of(config, name).build(name, table, among) for name, table in config.services.items())


def routes(config: Config) -> tuple[Route, ...]:
    """Return the routes of the entry, one for each service that takes requests from outside."""
    found = (kind_of(config, name).route(name, table) for name, table in config.services.items())
    return tuple(route for route in found if route is not None)


def entry_of(config: Config) -> str:
    """Return the name of the service through which clients reach a site; raises UsageError when there is none."""
    for name in config.services:
        if kind_of(config, name).entry:
            return name
    kinds = ", ".join(kind.name for kind in KINDS.values() if kind.entry)
    raise UsageError(f"estate {config.estate.name}: clients could not reach it; declare a service of kind {kinds}")


def start_messages(config: Config) -> Mapping[str, tuple[str, str]]:
    """Return the mission's numbers for start and connection, by service name."""
    return {n: (m[0], m[1]) for n in config.services if (m := kind_of(config, n).messages)}


def absent_messages(config: Config) -> Mapping[str, tuple[str, ...]]:
    """Return the mission's messages that need a kind of service which this estate has none of, by kind."""
    declared = {table.kind for table in config.services.values()}
    return {name: kind.messages for name, kind in KINDS.items() if kind.messages and name not in declared}


def sinks_of(config: Config) -> Mapping[str, str]:
    """Return where outward actions go in a real recovery: name of the sink -> URL. Raises UsageError."""
    kinds = ((kind_of(config, name), table) for name, table in config.services.items())
    return {kind.sink: kind.target(table) for kind, table in kinds if kind.sink}


def sinks_at(config: Config, url: str) -> Mapping[str, str]:
    """Return where outward actions go in a drill: every sink is the drill's own receiver at `url`."""
    return {kind.sink: url for name in config.services if (kind := kind_of(config, name)).sink}


def client_load(config: Config) -> ClientLoad | None:
    """Return how clients write to this estate; None when no service of it takes numbered writes."""
    return next((load for name in config.services if (load := kind_of(config, name).load)), None)


def not_contained(config: Config, services: Sequence[Service]) -> tuple[str, ...]:
    """Return, by name, the services whose restored copies nothing keeps from acting on the world."""
    return tuple(
        f"containment: {service.name} is not contained, kind {kind.name} has no way to do it"
        for service in services
        if not (kind := kind_of(config, service.name)).passive and not isinstance(service, Containable)
    )


def first_bucket(services: Sequence[Service]) -> str:
    """Return the bucket whose tag says which estate it belongs to: the first that a service has; "" without one."""
    return next((objects.bucket for service in services for objects in service.sources().objects), "")
