"""The kind `n8n`."""

import secrets as random
from typing import Literal

from harness.core.service import Route
from harness.declaration import WITH_CLIENTS, SecretSpec, ServiceKind, ServiceTable
from harness.services.n8n.app import IMAGE, KEY, N8n
from harness.services.n8n.load import store_clients


class N8nTable(ServiceTable):
    """A table of kind `n8n`. `binary_data`: where the files of executions are, in the database or on the volume."""

    binary_data: Literal["database", "filesystem"] = "database"


KIND = ServiceKind(
    name="n8n",
    table=N8nTable,
    build=lambda name, table, _among: N8n(name, needs=table.needs, binary_data=table.binary_data),
    route=lambda name, _table: Route("/webhook", name, strip=False, auth=True),
    image=lambda _table: IMAGE,
    parts=("node", "n8n"),
    secrets=lambda name, _table: (
        SecretSpec(f"{name}-db", lambda _others: random.token_hex(16), anew=True, role=name),
        SecretSpec(KEY, lambda _others: random.token_hex(24)),
        SecretSpec("n8n-owner", lambda _others: random.token_hex(12) + "Aa1!", needed=False),
        SecretSpec("shop-token", lambda _others: random.token_hex(16), WITH_CLIENTS),
    ),
    stores=lambda name, _table: store_clients(name, name),
    messages=("2.6.2", "2.6.2.1", "2.8.2"),
    seeds=("example", "app"),
    example=True,
)
