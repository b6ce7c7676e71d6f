"""Key of what a writer seals to itself: it holds no key that opens a backup, and reads this back for the next one."""

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.repository.format.layout import writer_binding
from harness.repository.format.seal import KEY


def own_key(signing_key: Ed25519PrivateKey, cluster: str, backup_id: str) -> bytes:
    """Return the key to what a writer sealed to itself: HKDF-SHA256 of its private key, without salt, 32 bytes."""
    private = signing_key.private_bytes_raw()
    return HKDF(hashes.SHA256(), KEY, None, writer_binding(cluster, backup_id)).derive(private)
