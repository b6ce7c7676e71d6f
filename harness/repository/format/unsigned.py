"""Backups of the format before, `blackstart-backup/1`: manifest in clear text, not signed, not chained. Only read."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.core.errors import Unreadable
from harness.pem import fingerprint
from harness.repository.format.layout import UNSIGNED, key_binding
from harness.repository.format.manifest import Manifest, read_manifest
from harness.repository.format.recipients import unwrap
from harness.signing import MALFORMED

MOST_RECIPIENTS = 32


@dataclass(frozen=True, slots=True)
class UnsignedBackup:
    """A committed backup of the format before. `recipients`: fingerprint and wrapped key of each."""

    manifest: Manifest
    text: bytes
    manifest_hmac: bytes
    recipients: tuple[tuple[str, bytes], ...]

    def data_key(self, private: X25519PrivateKey) -> bytes:
        """Return the data key; raises Unreadable when the key is no recipient's, or the manifest was altered."""
        tried, manifest = fingerprint(private.public_key()), self.manifest
        for name, wrapped in self.recipients:
            if name == tried:
                dek = unwrap(wrapped, private, key_binding(manifest.cluster, manifest.backup_id, UNSIGNED))
                key = HKDF(hashes.SHA256(), 32, None, f"{UNSIGNED} manifest".encode()).derive(dek)
                if not hmac.compare_digest(hmac.digest(key, self.text, "sha256"), self.manifest_hmac):
                    raise Unreadable(f"backup {manifest.backup_id}: the manifest was altered after COMMIT")
                return dek
        raise Unreadable(f"backup {manifest.backup_id}: key {tried} does not open it")


def is_unsigned(commit: bytes) -> bool:
    """Return whether a COMMIT says that it is of the format before."""
    try:
        return bool(json.loads(commit)["format"] == UNSIGNED)
    except MALFORMED:
        return False


def read_unsigned(commit: bytes, text: bytes, estate: str, backup_id: str) -> UnsignedBackup:
    """Return the backup of a COMMIT and the `text` of its manifest. Raises Unreadable when anything is malformed."""
    try:
        note, data = json.loads(commit), json.loads(text)
        found = str(note["manifest_sha256"]), str(note["backup_id"]), str(data["format"])
        code = bytes.fromhex(note["manifest_hmac"])
        wrapped = [(str(one["fingerprint"]), base64.b64decode(one["wrapped"])) for one in data["recipients"]]
    except MALFORMED as error:
        raise Unreadable(f"COMMIT or manifest: malformed ({type(error).__name__})") from None
    manifest = read_manifest(text)
    expected = hashlib.sha256(text).hexdigest(), backup_id, UNSIGNED
    if found != expected or (manifest.estate, manifest.backup_id) != (estate, backup_id):
        raise Unreadable("manifest: of another backup, or altered after COMMIT")
    return UnsignedBackup(manifest, text, code, tuple(wrapped[:MOST_RECIPIENTS]))
