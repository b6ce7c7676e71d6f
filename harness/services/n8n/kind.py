"""The kind `n8n`."""

import secrets as random
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from harness.core.service import Route
from harness.declaration import (
    WITH_CLIENTS,
    SecretSpec,
    ServiceDatabase,
    ServiceKind,
    ServiceTable,
    no_double,
    role_name,
)
from harness.services.n8n.app import DATABASE, IMAGE, KEY, N8n
from harness.services.n8n.load import store_clients
from harness.traffic.declared import KeyTable

PREFIX = "/webhook"


class N8nTable(ServiceTable):
    """A table of kind `n8n`. `binary_data`: where the files of executions are, in the database or on the volume.

    `database`: its name, and that of the role that owns it. `keys`: key functions of one's own workflows, in place of
    those that expect the example workflow. `packages`: whether DR's n8n has community nodes and own ones on its volume,
    or elsewhere: in its image, in folders of N8N_CUSTOM_EXTENSIONS, or installed at its start.
    """

    binary_data: Literal["database", "filesystem"] = "database"
    database: Annotated[ServiceDatabase, AfterValidator(role_name)] = DATABASE
    keys: tuple[KeyTable, ...] = ()
    packages: Literal["volume", "elsewhere"] | None = None

    @model_validator(mode="after")
    def keys_are_its_own(self) -> Self:
        """Refuse two keys of one name, and `reads`: answers of n8n show no file of a volume."""
        no_double("keys", (key.title for key in self.keys))
        if reads := [name for key in self.keys for name in key.reads]:
            raise ValueError(f"keys: reads: no answer of an n8n shows a file of its volume; remove {', '.join(reads)}")
        return self


KIND = ServiceKind(
    name="n8n",
    table=N8nTable,
    build=lambda name, table, _among: N8n(
        name,
        table.database,
        needs=table.needs,
        binary_data=table.binary_data,
        own_keys=table.keys,
        packages=table.packages,
    ),
    route=lambda name, _table: Route(PREFIX, name, strip=False, auth=True),
    image=lambda _table: IMAGE,
    parts=("node", "n8n"),
    secrets=lambda name, table: (
        SecretSpec(f"{name}-db", lambda _others: random.token_hex(16), anew=True, role=table.database),
        SecretSpec(KEY, lambda _others: random.token_hex(24)),
        SecretSpec("n8n-owner", lambda _others: random.token_hex(12) + "Aa1!", needed=False),
        SecretSpec("shop-token", lambda _others: random.token_hex(16), WITH_CLIENTS, needed=not table.keys),
    ),
    # They start the example workflow.
    stores=lambda name, table: () if table.keys else store_clients(name, table.database),
    messages=("2.6.2", "2.6.2.1", "2.8.2"),
    seeds=("example", "app"),
    example=True,
)
