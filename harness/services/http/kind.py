"""The kind `http`: a program of your own, declared in estate.toml."""

import secrets as random

from harness.core.service import Route
from harness.declaration import SecretSpec, ServiceKind
from harness.services.http.app import HttpService, password_of
from harness.services.http.outside import outside
from harness.services.http.table import HttpTable

KIND = ServiceKind(
    name="http",
    table=HttpTable,
    build=lambda name, table, _among: HttpService(name, table),
    route=lambda name, table: Route(table.prefix, name, strip=True, auth=table.auth),
    image=lambda table: table.image,
    outside=lambda table: tuple(outside(table.command, table.environment)),
    secrets=lambda name, table: (
        SecretSpec(
            password_of(table.role or name), lambda _others: random.token_hex(16), anew=True, role=table.role or name
        ),
    ),
)
