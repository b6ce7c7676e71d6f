"""Signatures: Ed25519 keys in PEM, and signed JSON in DSSE envelopes.

Source of the format: Dead Simple Signing Envelope 1.0.0, JSON envelope and PAE (pre-authentication encoding):
"DSSEv1", length and text of the payload's type, length and bytes of the payload, with one space between them.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness.core.errors import Unreadable
from harness.pem import fingerprint, pair_of, private_in, public_in

MOST_SIGNATURES = 16
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
    """Return a new key pair in PEM: the private key and the public key."""
    return pair_of(Ed25519PrivateKey.generate())


def read_signing_key(text: str | bytes) -> Ed25519PrivateKey:
    """Return the private key in `text`; raises UsageError for anything else."""
    return private_in(text, Ed25519PrivateKey, "signing key")  # type: ignore[type-abstract]  # it is not made, only asked for


def read_verify_key(text: str | bytes) -> Ed25519PublicKey:
    """Return the public key in `text`; raises UsageError for anything else, also for a private key."""
    return public_in(text, Ed25519PublicKey, "verify key")  # type: ignore[type-abstract]  # it is not made, only asked for


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
        data = json.loads(text.decode())
        found, payload = data["payloadType"], _decoded(data["payload"])
        signatures = tuple((_key_id(one["keyid"]), _decoded(one["sig"])) for one in data["signatures"])
    except MALFORMED as error:
        raise Unreadable(f"not a signed envelope ({type(error).__name__})") from None
    if found != kind:
        raise Unreadable(f"the payload is of type {ascii(found)[:80]} instead of {kind}")
    if len(signatures) > MOST_SIGNATURES:
        raise Unreadable(f"{len(signatures)} signatures, at most {MOST_SIGNATURES} are read")
    if len({name for name, _ in signatures}) < len(signatures):
        raise Unreadable("not a signed envelope (a key is named twice)")  # one reader tries the first, another all
    return Envelope(kind, payload, signatures)


def _decoded(text: str) -> bytes:
    """Return the bytes of a text in base64. The last character has bits to spare: one text alone is accepted."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64")
    return data


def _key_id(found: object) -> str:
    """Return a key's name if it is one: it goes into messages."""
    if not isinstance(found, str) or not re.fullmatch(r"[0-9a-zA-Z:._-]{1,128}", found):
        raise ValueError("keyid")
    return found
