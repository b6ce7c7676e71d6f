"""The key that signs records: a reference in `drill.toml` or in BLACKSTART_RECORD_KEY."""

import os

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.core.errors import UsageError
from harness.core.record import UNSIGNED
from harness.pem import fingerprint
from harness.signing import read_signing_key
from harness.vault import read_secret

VARIABLE = "BLACKSTART_RECORD_KEY"


def signing_key(reference: str | None) -> Ed25519PrivateKey | None:
    """Return the key that records are signed with, None without one. Raises UsageError, before anything is started.

    BLACKSTART_RECORD_KEY is asked first, then the `reference` of the declaration.
    """
    named = os.environ.get(VARIABLE) or reference
    if not named:
        return None
    try:
        return read_signing_key(read_secret(named))
    except UsageError as error:
        raise UsageError(f"key of records, {named.partition(':')[0]}: reference: {error}") from None


def key_name(key: Ed25519PrivateKey | None) -> str:
    """Return what a record says about its key: the fingerprint, or that there is none."""
    return UNSIGNED if key is None else f"ed25519 {fingerprint(key.public_key())}"
