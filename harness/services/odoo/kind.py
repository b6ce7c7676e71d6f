"""The kind `odoo`."""

import secrets as random
from typing import Annotated

from pydantic import Field

from harness.core.service import Route
from harness.declaration import WITH_CLIENTS, SecretSpec, ServiceKind, ServiceTable
from harness.services.odoo.app import Odoo
from harness.services.odoo.load import store_clients
from harness.services.odoo.program import ADMIN_SECRET, IMAGE, ROLE

# Odoo takes a list of names that are separated by commas, and makes folders of them.
DatabaseName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$")]


class OdooTable(ServiceTable):
    """A table of kind `odoo`. `databases`: each has its own filestore."""

    databases: Annotated[tuple[DatabaseName, ...], Field(min_length=1)] = ("odoo",)


KIND = ServiceKind(
    name="odoo",
    table=OdooTable,
    build=lambda name, table, _among: Odoo(name, table.databases, needs=table.needs),
    route=lambda name, _table: Route("/", name, strip=False, auth=False),
    image=lambda _table: IMAGE,
    parts=("odoo", "odoo-python"),
    secrets=lambda name, _table: (
        SecretSpec(f"{name}-db", lambda _others: random.token_hex(16), anew=True, role=ROLE),
        SecretSpec(ADMIN_SECRET, lambda _others: random.token_hex(16), WITH_CLIENTS),
    ),
    stores=lambda name, table: store_clients(name, table.databases),
    messages=("2.6.1", "2.6.1.1", "2.8.1"),
    seeds=("example", "shop", "program"),
    example=True,
)
