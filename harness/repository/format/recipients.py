"""Recipients: X25519 key pairs in PEM, to which a backup's data key is wrapped by HPKE.

Source of the format: RFC 9180, base mode, suite DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. A wrapped key is
the encapsulated key (32 bytes), the ciphertext (32 bytes) and its tag (16 bytes).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from harness.core.errors import Unreadable, UsageError
from harness.pem import REMEDY, fingerprint, pair_of, private_in, public_in

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
FEWEST = 2
WRAPPED = 80  # bytes of a wrapped key


def new_pair() -> tuple[bytes, bytes]:
    """Return a new key pair in PEM: the private key and the public key."""
    return pair_of(X25519PrivateKey.generate())


def read_public(text: str | bytes) -> X25519PublicKey:
    """Return the public key in `text`; raises UsageError for anything else, also for a private key."""
    return public_in(text, X25519PublicKey, "recipient")  # type: ignore[type-abstract]  # it is not made, only asked for


def read_private(text: str | bytes) -> X25519PrivateKey:
    """Return the private key in `text`; raises UsageError for anything else."""
    return private_in(text, X25519PrivateKey, "private key")  # type: ignore[type-abstract]  # it is not made, only asked for


def read_recipients(texts: tuple[str | bytes, ...]) -> tuple[X25519PublicKey, ...]:
    """Return the public keys. Raises UsageError for fewer than two: with one, its loss would be that of all backups."""
    keys = {fingerprint(key): key for key in map(read_public, texts)}
    if len(keys) < FEWEST:
        raise UsageError(f"recipients: {len(keys)} instead of at least {FEWEST} different ones; {REMEDY}")
    return tuple(keys.values())


def wrap(dek: bytes, recipient: X25519PublicKey, info: bytes) -> bytes:
    """Return `dek` wrapped to the recipient: 80 bytes for a key of 32. Unwrapping needs the same `info`."""
    return SUITE.encrypt(dek, recipient, info)


def unwrap(wrapped: bytes, private: X25519PrivateKey, info: bytes) -> bytes:
    """Return the data key; raises Unreadable when `wrapped` was altered, or is of another key or backup."""
    try:
        return SUITE.decrypt(wrapped, private, info)
    except InvalidTag:
        raise Unreadable(
            f"the wrapped key of {fingerprint(private.public_key())} does not open: altered, or of another backup"
        ) from None
