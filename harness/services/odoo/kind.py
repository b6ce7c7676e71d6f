"""The kind `odoo`."""

import secrets as random

from harness.core.service import Route
from harness.declaration import WITH_CLIENTS, SecretSpec, ServiceKind
from harness.services.odoo.app import Odoo
from harness.services.odoo.program import ADMIN_SECRET, IMAGE, ROLE

KIND = ServiceKind(
    name="odoo",
    build=lambda name, table, _among: Odoo(name, needs=table.needs),
    route=lambda name, _table: Route("/", name, strip=False, auth=False),
    image=lambda _table: IMAGE,
    parts=("odoo", "odoo-python"),
    secrets=lambda name, _table: (
        SecretSpec(f"{name}-db", lambda _others: random.token_hex(16), anew=True, role=ROLE),
        SecretSpec(ADMIN_SECRET, lambda _others: random.token_hex(16), WITH_CLIENTS),
    ),
    messages=("2.6.1", "2.6.1.1", "2.8.1"),
    seeds=("example", "shop", "program"),
    example=True,
)
