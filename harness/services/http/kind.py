"""The kind `http`: a program of your own, declared in estate.toml."""

import secrets as random

from harness.core.service import Route
from harness.declaration import SecretSpec, ServiceKind
from harness.services.http.app import HttpService, HttpTable

KIND = ServiceKind(
    name="http",
    table=HttpTable,
    build=lambda name, table, _among: HttpService(name, table),
    route=lambda name, table: Route(table.prefix, name, strip=True, auth=table.auth),
    image=lambda table: table.image,
    secrets=lambda name: (SecretSpec(f"{name}-db", lambda _others: random.token_hex(16)),),
)
