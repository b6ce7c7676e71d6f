"""The kinds of service, discovered in the packages under `harness.services`."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence

from harness import services
from harness.core.service import Route
from harness.declaration import ServiceKind, ServiceTable

_names = (f"{services.__name__}.{package.name}.kind" for package in pkgutil.iter_modules(services.__path__))
_kinds: Iterator[ServiceKind] = (importlib.import_module(name).KIND for name in _names)
KINDS: Mapping[str, ServiceKind] = {kind.name: kind for kind in _kinds}
EXAMPLES = tuple(kind for kind in KINDS.values() if kind.example)


def routes(tables: Mapping[str, ServiceTable]) -> tuple[Route, ...]:
    """Return the routes of the gateway to the services of these tables, one for each that takes requests of clients."""
    found = (KINDS[table.kind].route(name, table) for name, table in tables.items())
    return tuple(route for route in found if route is not None)


def route_of(known: Sequence[Route], path: str) -> Route | None:
    """Return the route that a path takes through the gateway, that of the longest prefix; None without one."""
    below = [r for r in known if f"{path.partition('?')[0]}/".startswith(f"{r.prefix.rstrip('/')}/")]
    return max(below, key=lambda route: len(route.prefix), default=None)
