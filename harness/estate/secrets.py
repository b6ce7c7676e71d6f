"""Secrets of the example estate: one folder for each holder, files with mode 0600, used by reference."""

import base64
import re
import secrets as random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.declaration import SecretSpec
from harness.pem import fingerprint
from harness.postgres.server import SUPERUSER_PASSWORD
from harness.repository.format.recipients import new_pair
from harness.s3.server import ACCESS, SECRET
from harness.signing import new_signing_pair, read_verify_key


def recipient_name(holder: str) -> str:
    """Return the file name of the public key whose private half `holder` keeps: `dr` or `escrow`."""
    return f"recipient-{holder}.pub"


HOLDERS = ("dr", "escrow")
RECIPIENTS = tuple(map(recipient_name, HOLDERS))
PRIVATE_KEY = "recipient.pem"  # the secret that opens backups
SIGNING_KEY = "writer.pem"  # the secret of the primary that signs backups
VERIFY_KEY = re.compile(r"writer-[^/]*\.pub")  # names of the keys whose backups a site trusts


def verify_key_name(public: bytes) -> str:
    """Return the file name of a writer's public key: each writer has its own, so that keys can be replaced."""
    return f"writer-{fingerprint(read_verify_key(public))[:8]}.pub"


def verify_keys(secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Return the references to the public keys of writers among a site's secrets."""
    return tuple(reference for name, reference in secrets.items() if VERIFY_KEY.fullmatch(name))


@dataclass(frozen=True, slots=True)
class Secrets:
    """Folder of the secrets, with one subfolder for each holder."""

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
        """References to the public keys that backups are sealed to: of the DR site and of the offline recipient."""
        return self.recipients_of("primary")

    def recipients_of(self, live: str) -> tuple[str, ...]:
        """Return the references to the public keys that the backups of a live site are sealed to."""
        other = "dr" if live == "primary" else "primary"
        return tuple(f"file:{self.root / live / recipient_name(holder)}" for holder in (other, "escrow"))

    def turn_round(self) -> None:
        """Give DR what writes backups, and the primary what opens them: new keys, beside those of the offline one."""
        private, public = new_pair()
        self.put("primary", PRIVATE_KEY, private)
        self.put("dr", recipient_name("primary"), public)
        escrow = recipient_name("escrow")
        self.put("dr", escrow, (self.root / "primary" / escrow).read_bytes())
        private, public = new_signing_pair()
        self.put("dr", SIGNING_KEY, private)
        for site in ("primary", "dr"):
            self.put(site, verify_key_name(public), public)


def make_secrets(root: Path, specs: Iterable[SecretSpec]) -> Secrets:
    """Create all secrets of a new estate and its services; the primary gets only the public keys of recipients."""
    made = Secrets(root)
    for site in ("primary", "dr"):
        # Each site has its own keys: they give no access to the other site.
        make_site_secrets(made, site)
    for name in (ACCESS, SECRET):
        made.put("offsite", name, random.token_hex(16).encode())
    made.put("names", "tsig", base64.b64encode(random.token_bytes(32)))
    for holder in HOLDERS:
        private, public = new_pair()
        made.put(holder, PRIVATE_KEY, private)
        made.put("primary", recipient_name(holder), public)
    private, public = new_signing_pair()
    made.put("primary", SIGNING_KEY, private)
    for site in ("primary", "dr"):
        made.put(site, verify_key_name(public), public)
    add_service_secrets(made, specs)
    return made


def make_site_secrets(made: Secrets, site: str) -> tuple[str, ...]:
    """Create the keys of a site's own database server and object store; return their names."""
    names = (SUPERUSER_PASSWORD, ACCESS, SECRET)
    for name in names:
        made.put(site, name, random.token_hex(16).encode())
    return names


def add_service_secrets(made: Secrets, specs: Iterable[SecretSpec]) -> None:
    """Create the missing secrets of a service, with the same value for each holder."""
    values: dict[str, str] = {}
    for spec in specs:
        if spec.name not in made.of(spec.holders[0]):
            values[spec.name] = spec.make(values)
            for holder in spec.holders:
                made.put(holder, spec.name, values[spec.name].encode())
