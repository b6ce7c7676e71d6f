"""Which kind of service is which code. Nothing else knows their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.core.errors import UsageError
from harness.core.service import Containable, Service
from harness.estate.config import Config, ServiceTable
from harness.services.gateway.app import Gateway
from harness.services.gateway.configuration import Route
from harness.services.http.app import HttpDeclaration, HttpService
from harness.services.n8n.app import N8n
from harness.services.notification.app import Notification
from harness.services.notification.keys import Arrivals
from harness.services.odoo.app import Odoo
from harness.vault import read_text_secret

# Where the gateway sends what, for the kinds that come with a path of their own.
PATHS = {
    "odoo": ("/", False, False, ""),
    "n8n": ("/webhook", False, True, ""),
    "notification": ("/notify", True, True, "/notify/ready"),
}
# The mission numbers the start of these two, and their connection to the database.
KEY_MESSAGES = {"odoo": "2.8.1", "n8n": "2.8.2"}
START_MESSAGES = {"odoo": ("2.6.1", "2.6.1.1"), "n8n": ("2.6.2", "2.6.2.1")}


def build_services(config: Config, arrivals: Arrivals | None = None) -> tuple[Service, ...]:
    """Return the services that `config` declares, in the order in which it does.

    `arrivals`: the customers' side of the notification service, where there is one to ask.
    """
    return tuple(build(name, table, config, arrivals) for name, table in config.services.items())


def build(name: str, table: ServiceTable, config: Config, arrivals: Arrivals | None) -> Service:
    """Return one service."""
    if table.kind == "odoo":
        return Odoo(name)
    if table.kind == "n8n":
        return N8n(name)
    if table.kind == "notification":
        return Notification(name, arrivals=arrivals)
    if table.kind == "gateway":
        return Gateway(name, routes=routes(config), needs=table.needs)
    return HttpService(declaration(name, table))


def routes(config: Config) -> tuple[Route, ...]:
    """Return the gateway's routes, one for each service that takes requests from outside."""
    found = []
    for name, table in config.services.items():
        if table.kind in PATHS:
            prefix, strip, auth, ready = PATHS[table.kind]
            found.append(Route(prefix, name, strip, auth, ready))
        elif table.kind == "http":
            found.append(Route(table.prefix, name, strip=True, auth=table.auth))
    return tuple(found)


def declaration(name: str, table: ServiceTable) -> HttpDeclaration:
    """Return what the reader declared of a service of his own."""
    key = table.key
    if key is None:
        raise AssertionError("estate.toml is checked when it is read")
    return HttpDeclaration(
        name=name,
        command=table.command,
        environment=table.environment,
        image=table.image,
        ready=table.ready,
        databases=table.databases,
        volumes=table.volumes,
        needs=table.needs,
        secrets=table.secrets,
        method=key.method,
        path=key.path,
        json=key.json_body,
        headers=key.headers,
        auth=table.auth,
        status=key.status,
        contains=key.contains,
    )


def start_messages(config: Config) -> Mapping[str, tuple[str, str]]:
    """Return the mission's numbers for start and connection, by service name."""
    return {n: START_MESSAGES[t.kind] for n, t in config.services.items() if t.kind in START_MESSAGES}


def sinks_of(config: Config) -> Mapping[str, str]:
    """Return where outward actions go in mode real: an apprise URL for notifications, by reference.

    Without a `target` messages are kept and tried again: nothing listens on the discard port.
    """
    targets = [t.target for t in config.services.values() if t.kind == "notification" and t.target]
    return {"notifications": read_text_secret(targets[0]) if targets else "json://127.0.0.1:9/"}


def entry_of(config: Config) -> str:
    """Return the name of the service through which clients reach a site; raises UsageError when there is none."""
    for name, table in config.services.items():
        if table.kind == "gateway":
            return name
    raise UsageError(f"estate {config.estate.name}: no service of kind gateway; clients could not reach it")


def absent_messages(config: Config) -> Mapping[str, tuple[str, ...]]:
    """Return the mission's messages that need a kind of service which this estate has none of, by kind."""
    kinds = {table.kind for table in config.services.values()}
    return {kind: (*START_MESSAGES[kind], KEY_MESSAGES[kind]) for kind in START_MESSAGES if kind not in kinds}


def not_contained(config: Config, services: Sequence[Service]) -> tuple[str, ...]:
    """Return, by name, the services whose restored copies nothing keeps from acting on the world."""
    return tuple(
        f"containment: {service.name} is not contained, kind {config.services[service.name].kind} has no way to do it"
        for service in services
        if config.services[service.name].kind == "http" and not isinstance(service, Containable)
    )
