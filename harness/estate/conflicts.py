"""What two services of a declaration cannot share: the path of a key function, and a role."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from harness.declaration import ServiceTable
from harness.estate.kinds import KINDS, route_of, routes
from harness.traffic.declared import KeyTable
from harness.traffic.door import SITE_PATH

SLASHES = re.compile("/+")


def foreign_keys(tables: Mapping[str, ServiceTable]) -> Iterator[str]:
    """Yield a line for each declared key function whose first request another service or the gateway answers."""
    known = routes(tables)
    for service, table in tables.items():
        keys: tuple[KeyTable, ...] = getattr(table, "keys", ())
        for key in keys:
            path = key.path.partition("?")[0]
            # A gateway may decode a path and join its slashes before it looks for the route.
            for one in dict.fromkeys((path, SLASHES.sub("/", unquote(path)))):
                route = route_of(known, one)
                answers = "the gateway itself" if one == SITE_PATH else route.service if route else "no service"
                if answers != service:
                    where = f"services.{service}.keys: {key.title}"
                    yield f"{where}: {path} is answered by {answers}, not by {service}; correct the path"
                    break


def shared_roles(tables: Mapping[str, ServiceTable]) -> Iterator[str]:
    """Yield a line for each role that two services connect as with different passwords, of which the last would win."""
    first: dict[str, tuple[str, str]] = {}
    for service, table in tables.items():
        for spec in KINDS[table.kind].secrets(service, table):
            if not spec.role:
                continue
            other, secret = first.setdefault(spec.role, (service, spec.name))
            if secret != spec.name:
                yield (
                    f"services.{service}: role {spec.role!r} is that of {other} as well, and a role has one password: "
                    f"there it is the secret {secret}, here {spec.name}; give each a role of its own "
                    "(`role`, or `database` where the role has its name)"
                )
