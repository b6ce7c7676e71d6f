"""Recipients: X25519 pairs as PEM, and data keys wrapped to them by HPKE (RFC 9180, base mode)."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from harness.core.errors import Unreadable, UsageError

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
SHORT = 16  # hex digits of a fingerprint


def new_pair() -> tuple[bytes, bytes]:
    """Return a new private and public key, each as PEM (PKCS 8, SubjectPublicKeyInfo)."""
    private = X25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM
    secret = private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret, private.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_public(text: str) -> X25519PublicKey:
    """Return the public key in a PEM; raises UsageError in one line."""
    try:
        key = serialization.load_pem_public_key(text.encode())
    except (ValueError, TypeError):
        raise UsageError("recipient key: not a PEM public key; make one with `blackstart keys new`") from None
    if not isinstance(key, X25519PublicKey):
        raise UsageError("recipient key: not an X25519 key; make one with `blackstart keys new`")
    return key


def read_private(text: str) -> X25519PrivateKey:
    """Return the private key in a PEM; raises UsageError in one line that holds nothing of it."""
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError):
        raise UsageError(
            "private recipient key: not a PEM private key; give the .pem of `blackstart keys new`"
        ) from None
    if not isinstance(key, X25519PrivateKey):
        raise UsageError("private recipient key: not an X25519 key; give the .pem of `blackstart keys new`")
    return key


def fingerprint(key: X25519PublicKey) -> str:
    """Return the first 16 hex digits of the SHA-256 of the raw public key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:SHORT]


def wrap(data_key: bytes, recipient: X25519PublicKey, info: bytes) -> bytes:
    """Return the data key sealed to one recipient."""
    return SUITE.encrypt(data_key, recipient, info=info)


def unwrap(wrapped: bytes, private: X25519PrivateKey, info: bytes) -> bytes:
    """Return the data key; raises Unreadable when it was not sealed to this key for this backup."""
    try:
        return SUITE.decrypt(wrapped, private, info=info)
    except (InvalidTag, ValueError):
        raise Unreadable("the wrapped data key does not open with this private key") from None
