"""The kind `odoo`."""

import secrets as random
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from harness.core.service import Route
from harness.declaration import (
    WITH_CLIENTS,
    RoleName,
    SecretSpec,
    ServiceKind,
    ServiceTable,
    no_double,
    service_database,
)
from harness.services.odoo.app import Odoo
from harness.services.odoo.keys import LOGIN, built_in
from harness.services.odoo.load import store_clients
from harness.services.odoo.program import ADMIN_SECRET, DATABASE_SECRET, IMAGE, ROLE
from harness.traffic.declared import KeyTable, one_line

PREFIX = "/"

# Odoo takes a list of names that are separated by commas, and makes folders of them.
DatabaseName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*$"), AfterValidator(service_database)]


class OdooTable(ServiceTable):
    """A table of kind `odoo`. `databases`: each has its own filestore; `role`: who owns them.

    `login`: whose password the secret `odoo-admin` is. `keys`: key functions of one's own data, in place of those that
    expect the example shop.
    """

    databases: Annotated[tuple[DatabaseName, ...], Field(min_length=1)] = ("odoo",)
    role: RoleName = ROLE
    login: Annotated[str, Field(min_length=1), AfterValidator(one_line)] = LOGIN
    keys: tuple[KeyTable, ...] = ()

    @model_validator(mode="after")
    def keys_are_its_own(self) -> Self:
        """Refuse two databases or keys of one name, and `reads`: attachments are opened without it."""
        if self.login != LOGIN and not self.keys:
            raise ValueError(f"login: the example shop has {LOGIN!r} alone; add [[keys]] of your own, or remove it")
        no_double("databases", self.databases)
        titles = [key.title for key in self.keys]
        no_double("keys", titles)
        for name in built_in(self.databases):
            if name in titles:
                raise ValueError(f"keys: {name!r} is the name of a key function that every Odoo has; give it another")
        if reads := [name for key in self.keys for name in key.reads]:
            raise ValueError(f"keys: reads: the newest attachments are opened anyway; remove {', '.join(reads)}")
        return self


KIND = ServiceKind(
    name="odoo",
    table=OdooTable,
    build=lambda name, table, _among: Odoo(
        name, table.databases, needs=table.needs, role=table.role, login=table.login, own_keys=table.keys
    ),
    route=lambda name, _table: Route(PREFIX, name, strip=False, auth=False),
    image=lambda _table: IMAGE,
    parts=("odoo", "odoo-python"),
    secrets=lambda _name, table: (
        SecretSpec(DATABASE_SECRET, lambda _others: random.token_hex(16), anew=True, role=table.role),
        SecretSpec(ADMIN_SECRET, lambda _others: random.token_hex(16), WITH_CLIENTS),
    ),
    stores=lambda name, table: (
        () if table.keys else store_clients(name, table.databases)
    ),  # they enter orders of the shop
    messages=("2.6.1", "2.6.1.1", "2.8.1"),
    seeds=("example", "shop", "program"),
    example=True,
)
