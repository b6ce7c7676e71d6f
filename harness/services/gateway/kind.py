"""The kind `gateway`: the API gateway, through which clients reach a site."""

import secrets as random

from harness.core.errors import UsageError
from harness.declaration import WITH_CLIENTS, SecretSpec, ServiceKind
from harness.services.gateway.app import IMAGE, USERS, Gateway
from harness.traffic.door import CLIENTS, GATEWAY_KEY

# Traefik computes the hash for every request, and each step doubles its cost: 2 ms with 5, 50 ms with 10.
# Generated keys have 128 random bits and need no slow hash; passwords chosen by people do.
COST = 5
LONGEST = 72  # bytes that bcrypt uses


def htpasswd(user: str, password: str, cost: int = COST) -> str:
    """Return the line `user:hash` with bcrypt (Provos and Mazieres, 1999) at `cost`, 4 to 31.

    bcrypt is the strongest of the three hashes that Traefik supports (bcrypt, MD5 and SHA-1). Raises UsageError for an
    invalid user name or password.
    """
    from Crypto.Protocol.KDF import bcrypt  # noqa: PLC0415 - a tenth of a second, which only who makes a key needs

    secret = password.encode()
    if not user or set(user) & set(":\r\n"):
        raise UsageError(f"gateway user {user!r}: empty, or with a colon or line break; choose another name")
    if not secret or len(secret) > LONGEST or b"\0" in secret:
        raise UsageError(f"key of gateway user {user}: must have 1 to {LONGEST} bytes without NUL; create a new one")
    return f"{user}:{bcrypt(secret, cost).decode()}"


KIND = ServiceKind(
    name="gateway",
    build=lambda name, table, among: Gateway(name, routes=among.routes, needs=table.needs),
    image=lambda _table: IMAGE,
    parts=("traefik",),
    secrets=lambda _name, _table: (
        SecretSpec(GATEWAY_KEY, lambda _others: random.token_hex(16), WITH_CLIENTS, anew=True),
        SecretSpec(USERS, lambda others: htpasswd(CLIENTS, others[GATEWAY_KEY]), anew=True),
    ),
    example=True,
    entry=True,
    passive=True,
)
