"""Signatures in DSSE envelopes: only what a trusted key signed, whatever the bytes."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import Unreadable, UsageError
from harness.pem import fingerprint
from harness.signing import new_signing_pair, pae, read_envelope, read_signing_key, read_verify_key, sign

KIND, PAYLOAD = "application/vnd.blackstart.test+json", b'{"a":1}'
MINE, OTHER = new_signing_pair(), new_signing_pair()
PRIVATE, PUBLIC = read_signing_key(MINE[0]), read_verify_key(MINE[1])
STRANGER = read_verify_key(OTHER[1])


def test_what_a_trusted_key_signed_is_accepted() -> None:
    envelope = read_envelope(sign(KIND, PAYLOAD, [read_signing_key(OTHER[0]), PRIVATE]), KIND)
    assert (envelope.payload, envelope.signed_by([PUBLIC])) == (PAYLOAD, fingerprint(PUBLIC))


def test_the_example_of_the_specification() -> None:
    assert (
        pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(sign(KIND, PAYLOAD, [PRIVATE])), **fields}).encode()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed(payload=base64.b64encode(b'{"a":2}').decode()), "does not verify: altered"),
        (changed(signatures=[]), "not signed"),
        (changed(payloadType="text/plain"), "of type 'text/plain' instead of"),
        (changed(payloadType="\ud800"), r"of type '\\ud800' instead"),
        (sign(KIND, PAYLOAD, [read_signing_key(OTHER[0])]), f"signed by {fingerprint(STRANGER)}, which is not trusted"),
        (changed(signatures=[{"keyid": "\ud800", "sig": ""}]), "not a signed envelope"),
        (changed(signatures=[{"keyid": fingerprint(PUBLIC), "sig": "AA=="}]), "does not verify"),
        (changed(signatures=[{"keyid": "a", "sig": ""}] * 17), "17 signatures, at most 16"),
        (changed(signatures=[{"keyid": "a", "sig": ""}] * 2), "a key is named twice"),
        (b"[" * 100_000, "not a signed envelope"),
        (b"\xff\x00", "not a signed envelope"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_envelope(text, KIND).signed_by([PUBLIC])


KEYS = st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"])
VALUES = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner)
)


@given(st.binary() | VALUES.map(lambda one: json.dumps(one).encode()))
def test_whatever_the_bytes_the_answer_is_a_value_or_unreadable(text: bytes) -> None:
    with pytest.raises(Unreadable):
        read_envelope(text, KIND).signed_by([PUBLIC])


def test_a_wrong_key_is_named_without_its_text() -> None:
    for wrong in (MINE[1], b"nonsense", b""):
        with pytest.raises(UsageError, match="signing key: not an unencrypted private key"):
            read_signing_key(wrong)
    with pytest.raises(UsageError, match="verify key: this is a private key"):
        read_verify_key(MINE[0])
    with pytest.raises(UsageError, match="verify key: not a public key"):
        read_verify_key(b"nonsense")


def test_openssl_verifies_it(tmp_path: Path) -> None:
    (signature,) = json.loads(sign(KIND, PAYLOAD, [PRIVATE]))["signatures"]
    for name, data in (("key", MINE[1]), ("message", pae(KIND, PAYLOAD)), ("sig", base64.b64decode(signature["sig"]))):
        (tmp_path / name).write_bytes(data)
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "key",
        "-rawin",
        "-in",
        "message",
        "-sigfile",
        "sig",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully")
    (tmp_path / "message").write_bytes(pae(KIND, b'{"a":2}'))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1
