"""Signatures: Ed25519 keys in PEM, and signed JSON in DSSE envelopes.

Source of the format: Dead Simple Signing Envelope 1.0.0, JSON envelope and PAE (pre-authentication encoding):
"DSSEv1", length and text of the payload's type, length and bytes of the payload, with one space between them.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from harness.core.errors import Unreadable, UsageError

FINGERPRINT = 32  # hex digits
MOST_SIGNATURES = 16
REMEDY = "create a pair with `blackstart keys new`"
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload and its signatures, each with the fingerprint of its key. Nothing is verified yet."""

    kind: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    def signed_by(self, trusted: Iterable[Ed25519PublicKey]) -> str:
        """Return the fingerprint of the first trusted key that signed; raises Unreadable when none did."""
        message, known = pae(self.kind, self.payload), {fingerprint(key): key for key in trusted}
        tried = [(name, signature) for name, signature in self.signatures if name in known]
        for name, signature in tried:
            with suppress(InvalidSignature):
                known[name].verify(signature, message)
                return name
        if tried:
            raise Unreadable(f"the signature of key {tried[0][0]} does not verify: altered after it was signed")
        if not self.signatures:
            raise Unreadable("not signed")
        names = ", ".join(name for name, _ in self.signatures)
        raise Unreadable(f"signed by {names}, which is not trusted here; trusted: {', '.join(known) or 'no key'}")


def new_signing_pair() -> tuple[bytes, bytes]:
    """Return a new key pair in PEM: the private key (PKCS #8) and the public key (SubjectPublicKeyInfo)."""
    private = Ed25519PrivateKey.generate()
    return (
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


def fingerprint(public: Ed25519PublicKey) -> str:
    """Return the fingerprint of a key: 32 hex digits of the SHA-256 of its 32 raw bytes."""
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:FINGERPRINT]


def read_signing_key(text: str | bytes) -> Ed25519PrivateKey:
    """Return the private key in `text`; raises UsageError for anything else."""
    try:
        key = load_pem_private_key(text.encode() if isinstance(text, str) else text, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the library's message, which might contain a part of the key.
        raise UsageError("signing key: not an unencrypted private key in PEM; give the .pem file") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"signing key: {type(key).__name__} instead of an Ed25519 key; {REMEDY}")
    return key


def read_verify_key(text: str | bytes) -> Ed25519PublicKey:
    """Return the public key in `text`; raises UsageError for anything else, also for a private key."""
    pem = text.encode() if isinstance(text, str) else text
    if b"PRIVATE KEY" in pem:
        raise UsageError("verify key: this is a private key; give the public key, and remove the private one from here")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"verify key: not a public key in PEM; {REMEDY}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"verify key: {type(key).__name__} instead of an Ed25519 key; {REMEDY}")
    return key


def pae(kind: str, payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of a payload and its type."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def sign(kind: str, payload: bytes, keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """Return the envelope of a payload, signed by each key, as one line of JSON."""
    signatures = [
        {"keyid": fingerprint(key.public_key()), "sig": base64.b64encode(key.sign(pae(kind, payload))).decode()}
        for key in keys
    ]
    body = {"payload": base64.b64encode(payload).decode(), "payloadType": kind, "signatures": signatures}
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_envelope(text: bytes, kind: str) -> Envelope:
    """Return the envelope in `text`; raises Unreadable for anything else, and for another type of payload."""
    try:
        data = json.loads(text)
        found, payload = data["payloadType"], base64.b64decode(data["payload"], validate=True)
        signatures = tuple(
            (_key_id(one["keyid"]), base64.b64decode(one["sig"], validate=True)) for one in data["signatures"]
        )
    except MALFORMED as error:
        raise Unreadable(f"not a signed envelope ({type(error).__name__})") from None
    if found != kind:
        raise Unreadable(f"the payload is of type {ascii(found)[:80]} instead of {kind}")
    if len(signatures) > MOST_SIGNATURES:
        raise Unreadable(f"{len(signatures)} signatures, at most {MOST_SIGNATURES} are read")
    return Envelope(kind, payload, signatures)


def _key_id(found: object) -> str:
    """Return a key's name if it is one: it goes into messages."""
    if not isinstance(found, str) or not re.fullmatch(r"[0-9a-zA-Z:._-]{1,128}", found):
        raise ValueError("keyid")
    return found
