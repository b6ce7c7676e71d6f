"""Recipients: X25519 key pairs in PEM, to which a backup's data key is wrapped by HPKE.

Source of the format: RFC 9180, base mode, suite DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. A wrapped key is
the encapsulated key (32 bytes), the ciphertext (32 bytes) and its tag (16 bytes).
"""

import hashlib

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from harness.core.errors import Unreadable, UsageError

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
FINGERPRINT = 32  # hex digits
FEWEST = 2
WRAPPED = 80  # bytes of a wrapped key
REMEDY = "create a pair with `blackstart keys new`"


def new_pair() -> tuple[bytes, bytes]:
    """Return a new key pair in PEM: the private key (PKCS #8) and the public key (SubjectPublicKeyInfo)."""
    private = X25519PrivateKey.generate()
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def fingerprint(public: X25519PublicKey) -> str:
    """Return the fingerprint of a public key: 32 hex digits of the SHA-256 of its 32 raw bytes."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:FINGERPRINT]


def read_public(text: str | bytes) -> X25519PublicKey:
    """Return the public key in `text`; raises UsageError for anything else, also for a private key."""
    pem = _pem(text)
    if b"PRIVATE KEY" in pem:
        raise UsageError("recipient: this is a private key; give the public key, and remove the private one from here")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"recipient: not a public key in PEM; {REMEDY}") from None
    if not isinstance(key, X25519PublicKey):
        raise UsageError(f"recipient: {_kind(key)} instead of an X25519 key; {REMEDY}")
    return key


def read_private(text: str | bytes) -> X25519PrivateKey:
    """Return the private key in `text`; raises UsageError for anything else."""
    try:
        key = load_pem_private_key(_pem(text), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the library's message, which might contain a part of the key.
        raise UsageError("private key: not an unencrypted private key in PEM; give the .pem file") from None
    if not isinstance(key, X25519PrivateKey):
        raise UsageError(f"private key: {_kind(key)} instead of an X25519 key; {REMEDY}")
    return key


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


def _pem(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _kind(key: object) -> str:
    """Return the type of a key in words, e.g. `a RSA key`."""
    return f"a {type(key).__name__.removesuffix('PublicKey').removesuffix('PrivateKey')} key"
