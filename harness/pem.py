"""Key pairs in PEM, of one kind of key each: what recipients and writers have in common."""

import hashlib
from typing import Protocol, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from harness.core.errors import UsageError

FINGERPRINT = 32  # hex digits
REMEDY = "create a pair with `blackstart keys new`"

Public = TypeVar("Public", X25519PublicKey, Ed25519PublicKey)
Private = TypeVar("Private", X25519PrivateKey, Ed25519PrivateKey)


class Raw(Protocol):
    """A public key that has raw bytes."""

    def public_bytes_raw(self) -> bytes:
        """Return its 32 raw bytes."""


def pair_of(private: X25519PrivateKey | Ed25519PrivateKey) -> tuple[bytes, bytes]:
    """Return a key pair in PEM: the private key (PKCS #8) and the public key (SubjectPublicKeyInfo)."""
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def fingerprint(public: Raw) -> str:
    """Return the fingerprint of a public key: 32 hex digits of the SHA-256 of its 32 raw bytes."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:FINGERPRINT]


def public_in(text: str | bytes, kind: type[Public], what: str) -> Public:
    """Return the public key in `text`; raises UsageError for anything else, also for a private key."""
    if b"PRIVATE KEY" in (text.encode() if isinstance(text, str) else text):  # the worse of two mistakes
        raise UsageError(f"{what}: this is a private key; give the public key, and remove the private one from here")
    pem = _pem(text, what)
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{what}: not a public key in PEM; {REMEDY}") from None
    if not isinstance(key, kind):
        raise UsageError(f"{what}: a {_name(type(key))} key instead of an {_name(kind)} key; {REMEDY}")
    return key


def private_in(text: str | bytes, kind: type[Private], what: str) -> Private:
    """Return the private key in `text`; raises UsageError for anything else."""
    pem = _pem(text, what)
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the library's message, which might contain a part of the key.
        raise UsageError(f"{what}: not an unencrypted private key in PEM; give the .pem file") from None
    if not isinstance(key, kind):
        raise UsageError(f"{what}: a {_name(type(key))} key instead of an {_name(kind)} key; {REMEDY}")
    return key


def _pem(text: str | bytes, what: str) -> bytes:
    pem = text.encode() if isinstance(text, str) else text
    if (keys := pem.count(b"-----BEGIN ")) > 1:  # the library reads the first and passes over the others
        raise UsageError(f"{what}: {keys} keys in one file; give each a file of its own")
    return pem


def _name(kind: type[object]) -> str:
    """Return a type of key in words, e.g. `RSA`."""
    return kind.__name__.removesuffix("PublicKey").removesuffix("PrivateKey")
