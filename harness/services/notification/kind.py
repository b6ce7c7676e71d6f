"""The kind `notification`: the Notification Service, whose acknowledged messages are what loss is measured on."""

import secrets as random

from harness.core.service import Route
from harness.declaration import Reference, SecretSpec, ServiceKind, ServiceTable
from harness.services.notification.app import IMAGE, SINK, Notification
from harness.services.notification.client import PREFIX
from harness.services.notification.load import LOAD, store_clients
from harness.vault import read_text_secret

NOWHERE = "json://127.0.0.1:9/"  # the discard port: messages without a target are kept, and tried again


class NotificationTable(ServiceTable):
    """A table of kind `notification`. `target`: where messages go after a recovery (reference to an apprise URL)."""

    target: Reference | None = None


KIND = ServiceKind(
    name="notification",
    table=NotificationTable,
    build=lambda name, table, among: Notification(name, needs=table.needs, arrivals=among.arrivals),
    route=lambda name, _table: Route(PREFIX, name, strip=True, auth=True, ready=f"{PREFIX}/ready"),
    image=lambda _table: IMAGE,
    secrets=lambda name, _table: (
        SecretSpec(f"{name}-db", lambda _others: random.token_hex(16), anew=True, role=name),
    ),
    seeds=("example", "seed"),
    example=True,
    sink=SINK,
    target=lambda table: read_text_secret(table.target) if table.target else NOWHERE,
    load=LOAD,
    stores=lambda name, _table: store_clients(name),
)
