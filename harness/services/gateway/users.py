"""The gateway's list of users, in the format of htpasswd."""

from __future__ import annotations

from Crypto.Protocol.KDF import bcrypt

from harness.core.errors import UsageError

# Traefik computes the hash at every request, so each step doubles what a request costs: 5 is 2 ms, 10 is 50 ms.
# Keys made here have 128 random bits and need no slow hash; give passwords that people think up a higher one.
COST = 5
LONGEST = 72  # bytes that bcrypt looks at


def htpasswd(user: str, password: str, cost: int = COST) -> str:
    """Return the line `user:hash`, with bcrypt (Provos and Mazieres, 1999) at `cost`, 4 to 31.

    bcrypt is the strongest of the three hashes that Traefik takes (bcrypt, MD5 and SHA-1); its code is in
    pycryptodome, which the S3 client brings along. Raises UsageError for what cannot be written that way.
    """
    secret = password.encode()
    if not user or set(user) & set(":\r\n"):
        raise UsageError("a user of the gateway has a name without colons and line breaks; choose another")
    if not secret or len(secret) > LONGEST or b"\0" in secret:
        raise UsageError(
            f"the gateway's key for {user} must have 1 to {LONGEST} bytes, none of them zero; make a new one"
        )
    return f"{user}:{bcrypt(secret, cost).decode()}"
