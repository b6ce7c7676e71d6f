from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from harness.core.errors import Unreadable, UsageError
from harness.pem import fingerprint
from harness.repository.format.recipients import new_pair, read_private, read_public, read_recipients, unwrap, wrap

DEK = bytes(range(32))


def test_a_wrapped_key_needs_the_right_private_key_and_the_right_backup() -> None:
    (private, public), (other, _) = new_pair(), new_pair()
    wrapped = wrap(DEK, read_public(public), b"this backup")
    assert len(wrapped) == 80
    assert unwrap(wrapped, read_private(private), b"this backup") == DEK
    with pytest.raises(Unreadable, match="does not open"):
        unwrap(wrapped, read_private(other), b"this backup")
    with pytest.raises(Unreadable, match="does not open"):
        unwrap(wrapped, read_private(private), b"another backup")
    with pytest.raises(Unreadable, match="does not open"):
        unwrap(wrapped[:-1], read_private(private), b"this backup")


def test_both_keys_of_a_pair_have_the_same_fingerprint() -> None:
    private, public = new_pair()
    mine = fingerprint(read_public(public))
    assert mine == fingerprint(read_private(private.decode()).public_key())
    assert len(mine) == 32
    assert mine != fingerprint(read_public(new_pair()[1]))


def ed25519_pair() -> tuple[bytes, bytes]:
    key = Ed25519PrivateKey.generate()
    return (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    )


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "not a public key"),
        ("nonsense", "not a public key"),
        ("-----BEGIN PUBLIC KEY-----\nnonsense\n", "not a public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key"),
        (new_pair()[0].decode(), "this is a private key"),
        (ed25519_pair()[1].decode(), "Ed25519"),
        ("\xff\x00", "not a public key"),
        (new_pair()[1].decode() + new_pair()[0].decode(), "this is a private key"),
        (new_pair()[1].decode() * 2, "recipient: 2 keys in one file; give each a file of its own"),
    ],
)
def test_a_bad_recipient_is_refused_in_one_line(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        read_public(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "nonsense", new_pair()[1].decode(), ed25519_pair()[0].decode(), new_pair()[0].decode() * 2]
)
def test_a_bad_private_key_is_refused_in_one_line_without_its_content(text: str) -> None:
    with pytest.raises(UsageError, match="private key") as caught:
        read_private(text)
    assert "\n" not in str(caught.value)
    assert not any(line in str(caught.value) for line in text.splitlines()[1:] if line)


def test_at_least_two_different_recipients_are_required() -> None:
    one, two = new_pair()[1], new_pair()[1]
    assert len(read_recipients((one, two))) == 2
    assert all(isinstance(key, X25519PublicKey) for key in read_recipients((one, two, one)))
    for few in ((), (one,), (one, one)):
        with pytest.raises(UsageError, match="at least 2 different"):
            read_recipients(few)
