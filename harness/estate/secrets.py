"""The secrets of the example estate, by who may read them: a folder each, files 0600, handed on as references."""

from __future__ import annotations

import base64
import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.repository.format.recipients import new_pair
from harness.services.gateway.users import htpasswd

RECIPIENTS = ("recipient-dr.pub", "recipient-escrow.pub")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where each holder's secrets lie."""

    root: Path

    def of(self, holder: str) -> Mapping[str, str]:
        """Return the references of one holder, by name."""
        folder = self.root / holder
        return {p.name: f"file:{p}" for p in sorted(folder.iterdir())} if folder.is_dir() else {}

    def put(self, holder: str, name: str, value: bytes) -> None:
        """Write one secret, 0600."""
        path = self.root / holder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(value)

    @property
    def recipients(self) -> tuple[str, ...]:
        """References to the public keys that backups are sealed to: the DR site's and the offline one's."""
        return tuple(f"file:{self.root / 'primary' / name}" for name in RECIPIENTS)


def make_secrets(root: Path, services: tuple[str, ...]) -> Secrets:
    """Make every secret of a new estate under `root`; the primary gets public halves of recipients only."""
    made = Secrets(root)
    for site in ("primary", "dr"):
        # Each site has its own server and store: one site's keys open nothing on the other.
        for name in ("postgres-superuser", "s3-access", "s3-secret"):
            made.put(site, name, random.token_hex(16).encode())
    for name in ("s3-access", "s3-secret"):
        made.put("offsite", name, random.token_hex(16).encode())
    made.put("names", "tsig", base64.b64encode(random.token_bytes(32)))
    key, token, admin = (random.token_hex(16) for _ in range(3))
    shared = {f"{service}-db": random.token_hex(16) for service in services}
    shared |= {"n8n-key": random.token_hex(24), "odoo-admin": admin, "shop-token": token}
    shared |= {"gateway-users": htpasswd("clients", key), "n8n-owner": random.token_hex(12) + "Aa1!"}
    for name, value in shared.items():
        for site in ("primary", "dr"):
            made.put(site, name, value.encode())
    for name, value in (("gateway-key", key), ("shop-token", token), ("odoo-admin", admin)):
        made.put("clients", name, value.encode())
        made.put("primary", name, value.encode())
        made.put("dr", name, value.encode())
    for holder in ("dr", "escrow"):
        private, public = new_pair()
        made.put(holder, "recipient.pem", private)
        made.put("primary", f"recipient-{holder}.pub", public)
    return made


def add_service_secrets(made: Secrets, service: str) -> None:
    """Give a service of the reader's own the password of its database role, on both sites."""
    value = random.token_hex(16).encode()
    for site in ("primary", "dr"):
        made.put(site, f"{service}-db", value)
