"""The kind `gateway`: the API gateway, through which clients reach a site."""

import secrets as random

from harness.declaration import WITH_CLIENTS, SecretSpec, ServiceKind
from harness.services.gateway.app import IMAGE, USERS, Gateway
from harness.services.gateway.users import htpasswd
from harness.traffic.door import CLIENTS, GATEWAY_KEY

KIND = ServiceKind(
    name="gateway",
    build=lambda name, table, among: Gateway(name, routes=among.routes, needs=table.needs),
    image=lambda _table: IMAGE,
    secrets=lambda _name: (
        SecretSpec(GATEWAY_KEY, lambda _others: random.token_hex(16), WITH_CLIENTS),
        SecretSpec(USERS, lambda others: htpasswd(CLIENTS, others[GATEWAY_KEY])),
    ),
    example=True,
    entry=True,
    passive=True,
)
