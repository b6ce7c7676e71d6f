"""The kind `n8n`."""

import secrets as random

from harness.core.service import Route
from harness.declaration import WITH_CLIENTS, SecretSpec, ServiceKind
from harness.services.n8n.app import IMAGE, KEY, N8n

KIND = ServiceKind(
    name="n8n",
    build=lambda name, table, _among: N8n(name, needs=table.needs),
    route=lambda name, _table: Route("/webhook", name, strip=False, auth=True),
    image=lambda _table: IMAGE,
    parts=("node", "n8n"),
    secrets=lambda name, _table: (
        SecretSpec(f"{name}-db", lambda _others: random.token_hex(16), anew=True, role=name),
        SecretSpec(KEY, lambda _others: random.token_hex(24)),
        SecretSpec("n8n-owner", lambda _others: random.token_hex(12) + "Aa1!", needed=False),
        SecretSpec("shop-token", lambda _others: random.token_hex(16), WITH_CLIENTS),
    ),
    messages=("2.6.2", "2.6.2.1", "2.8.2"),
    seeds=("example", "app"),
    example=True,
)
