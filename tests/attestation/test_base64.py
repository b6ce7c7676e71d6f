"""A signature has one text in base64."""

from __future__ import annotations

import base64
import json
import string

from harness.attestation.statement import SIGNED
from harness.attestation.verify import verify
from tests.attestation.conftest import Sealed
from tests.attestation.test_verify import alone

ALPHABET = string.ascii_letters + string.digits + "+/"


def test_the_spare_bits_of_a_signature_are_part_of_it(sealed: Sealed) -> None:
    """The last character of 64 bytes in base64 stands for two bits: sixteen texts would be the same signature."""
    statement = sealed.folder / SIGNED
    before = statement.read_bytes()
    sig = json.loads(before)["signatures"][0]["sig"]
    other = next(c for c in ALPHABET if c != sig[-3] and base64.b64decode(f"{sig[:-3]}{c}==") == base64.b64decode(sig))
    statement.write_bytes(before.replace(sig.encode(), f"{sig[:-3]}{other}==".encode()))
    try:
        assert verify(sealed.folder, [sealed.public]).refusals
        assert alone(sealed).returncode == 1
    finally:
        statement.write_bytes(before)
