"""COMMIT, which makes a backup complete: a clear note about it in an envelope that its writer signed.

It names what it follows by the SHA-256 of that one's bytes: the backups of an estate are a chain.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from harness.core.errors import Unreadable
from harness.repository.chain import MOST
from harness.repository.format.layout import BACKUP_ID, ESTATE, FORMAT, check_binding
from harness.repository.format.manifest import canonical, explained
from harness.repository.format.recipients import FEWEST
from harness.signing import read_envelope, sign

KIND = "application/vnd.blackstart.commit+json"
LARGEST_COMMIT = 64 << 10  # bytes
LARGEST_MANIFEST = 256 << 20  # bytes before compression; a larger one is refused before it is decompressed
MOST_RECIPIENTS = 32

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Id = Annotated[str, Field(pattern=rf"^{BACKUP_ID.pattern}$")]
Number = Annotated[int, Field(ge=1, lt=1 << 53)]
STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
Size = Annotated[int, Field(ge=0, lt=1 << 63)]


class Predecessor(BaseModel):
    """A backup that another one follows; `digest`: of its COMMIT."""

    model_config = STRICT

    sequence: Number
    backup_id: Id
    digest: Digest


class BaseRange(BaseModel):
    """The WAL that a base backup needs to be consistent: from `start` to `stop` of a timeline.

    `parent`: the backup that an incremental one builds on; None of a full one, where the field is left out.
    """

    model_config = STRICT

    timeline: Annotated[int, Field(ge=1, lt=1 << 32)]
    start: Annotated[int, Field(ge=0, lt=1 << 64)]
    stop: Annotated[int, Field(ge=0, lt=1 << 64)]
    parent: Predecessor | None = None


class Commit(BaseModel):
    """What is known of a backup without a key. Sizes in bytes, times in UTC, digests are SHA-256 in hex.

    `sequence`: its number, from 1. `follows`: the backups before it, none for the first.
    `manifest_sha256`, `manifest_stored`: of the sealed manifest; `manifest_plain`: its size before compression.
    `locked_until`: until when the store keeps the objects from being deleted; None: it does not.
    `base`: of a physical backup; None of a logical one, where the field is left out.
    `key_check`: proves the data key. `recipients`: fingerprints of the keys it was sealed to when it was written.
    """

    model_config = STRICT

    format: Annotated[str, Field(pattern=rf"^{FORMAT}$")] = FORMAT
    estate: Annotated[str, Field(pattern=rf"^{ESTATE.pattern}$")]
    cluster: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]
    backup_id: Id
    sequence: Number
    follows: Annotated[tuple[Predecessor, ...], Field(max_length=MOST)]
    started: AwareDatetime
    snapshot_at: AwareDatetime
    finished: AwareDatetime
    manifest_sha256: Digest
    manifest_stored: Size
    manifest_plain: Annotated[int, Field(ge=1, le=LARGEST_MANIFEST)]
    key_check: Digest
    recipients: Annotated[tuple[Fingerprint, ...], Field(max_length=MOST_RECIPIENTS)]
    stored_size: Size
    plain_size: Size
    objects: Annotated[int, Field(ge=1, lt=1 << 31)]
    locked_until: AwareDatetime | None = None
    base: BaseRange | None = None

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """Return the envelope with this COMMIT, signed."""
        # A reader from before physical or incremental backups refuses the field: it could not restore such a backup.
        absent: dict[str, bool | dict[str, bool]] = {}
        if self.base is None:
            absent = {"base": True}
        elif self.base.parent is None:
            absent = {"base": {"parent": True}}
        return sign(KIND, canonical(self.model_dump(exclude=absent)), [key])


def read_commit(text: bytes, writers: Sequence[Ed25519PublicKey]) -> Commit:
    """Return the COMMIT in `text` if one of the writers signed it; raises Unreadable for anything else."""
    envelope = read_envelope(text, KIND)
    envelope.signed_by(writers)
    try:
        commit = Commit.model_validate_json(envelope.payload)
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("format",):
            raise Unreadable(f"COMMIT: not of format {FORMAT}; a newer one is read by newer versions") from None
        raise Unreadable(f"COMMIT: malformed ({explained(error)})") from None
    if len(set(commit.recipients)) < FEWEST:
        raise Unreadable(f"COMMIT: sealed to {len(set(commit.recipients))} recipient, at least {FEWEST} are required")
    return commit


def digest_of(text: bytes) -> str:
    """Return the SHA-256 of the bytes of a COMMIT or a manifest, hex."""
    return hashlib.sha256(text).hexdigest()


def key_check(dek: bytes, cluster: str, backup_id: str) -> str:
    """Return the value by which a data key is recognised: HKDF-SHA256 without salt, 32 bytes, hex."""
    return HKDF(hashes.SHA256(), 32, None, check_binding(cluster, backup_id)).derive(dek).hex()
