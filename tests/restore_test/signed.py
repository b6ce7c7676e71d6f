"""Lists of drill targets that are signed, for tests."""

from __future__ import annotations

from pathlib import Path

from harness.restore_test.targets import PUBLIC, SIGNED, signature_of
from harness.signing import new_signing_pair, read_signing_key, sign

PINNED, OTHER = new_signing_pair(), new_signing_pair()  # private key, public key


def signed(file: Path, text: str, *, by: bytes = PINNED[0]) -> Path:
    """Write and sign a list, whatever it is; return the path of the key that is pinned."""
    file.write_text(text)
    signature_of(file).write_bytes(sign(SIGNED, text.encode(), (read_signing_key(by),)))
    key = file.with_name(PUBLIC)
    key.write_bytes(PINNED[1])
    return key
