"""What whoever holds the key, or the file, may try: another text of the signature, a ledger that is not judged."""

from __future__ import annotations

import base64
import json
import string

from harness.attestation.statement import SIGNED, seal
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


def test_a_ledger_that_was_written_is_judged(sealed: Sealed) -> None:
    """Without its line in the judgement the writes of a store would be left out, and the verdict be KEPT."""
    ledger = sealed.folder / "ledger.jsonl"
    rows = [{"ledger": "orders", "number": 1, "sent": 1.0}, {"ledger": "orders", "number": 1, "acked": 1.1}]
    ledger.write_bytes(ledger.read_bytes() + b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    seal(sealed.folder, sealed.private)
    assert verify(sealed.folder, [sealed.public]).refusals
    done = alone(sealed)
    assert done.returncode == 1
    assert "ledger: not judged" in done.stderr
