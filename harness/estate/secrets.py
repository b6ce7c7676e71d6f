"""The secrets of the example estate, by who may read them: a folder each, files 0600, handed on as references."""

import base64
import secrets as random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.declaration import SecretSpec
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.repository.format.recipients import new_pair
from harness.s3.server import ACCESS, SECRET

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


def make_secrets(root: Path, specs: Iterable[SecretSpec]) -> Secrets:
    """Make every secret of a new estate, its services' by `specs`; the primary gets recipients' public halves only."""
    made = Secrets(root)
    for site in ("primary", "dr"):
        # Each site has its own server and store: one site's keys open nothing on the other.
        for name in (SUPERUSER_PASSWORD, ACCESS, SECRET):
            made.put(site, name, random.token_hex(16).encode())
    for name in (ACCESS, SECRET):
        made.put("offsite", name, random.token_hex(16).encode())
    made.put("names", "tsig", base64.b64encode(random.token_bytes(32)))
    for holder in ("dr", "escrow"):
        private, public = new_pair()
        made.put(holder, "recipient.pem", private)
        made.put("primary", f"recipient-{holder}.pub", public)
    add_service_secrets(made, specs)
    return made


def add_service_secrets(made: Secrets, specs: Iterable[SecretSpec]) -> None:
    """Make the secrets of a service that are not there yet, for each of their holders the same."""
    values: dict[str, str] = {}
    for spec in specs:
        if spec.name not in made.of(spec.holders[0]):
            values[spec.name] = spec.make(values)
            for holder in spec.holders:
                made.put(holder, spec.name, values[spec.name].encode())
