"""The list of drill targets (`drill-targets.toml`): read only with a signature by the pinned key, and signed.

The signature is a DSSE envelope beside the list, `drill-targets.toml.dsse.json`; its payload is the list, byte by byte.
The key is pinned in the declaration, so that who may change the list cannot change what verifies it.
"""

import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, ValidationError

from harness.core.errors import HarnessError, Refused, Unreadable, UsageError
from harness.declaration import Table
from harness.signing import read_envelope, read_signing_key, read_verify_key, sign

SIGNED = "application/vnd.blackstart.drill-targets+toml"  # type of the payload: no other signature is taken for one
SUFFIX = ".dsse.json"
PRIVATE, PUBLIC = "drill-targets.pem", "drill-targets.pub"
MOST_BYTES = 1 << 20
LIST = "allowlist of drill targets"
MALFORMED = (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError)
Text = Annotated[str, Field(min_length=1)]


class Target(Table):
    """One entry of the list. `cluster`: "" for a site outside a cluster; `until`: the last day (UTC) it is good for."""

    name: Text
    system: Text
    bucket: Text
    tag: Text
    cluster: str = ""
    until: Annotated[date, Field(strict=True)] | None = None

    def expired(self, today: date) -> bool:
        """Return whether the entry has expired on that day."""
        return self.until is not None and self.until < today


class Targets(Table):
    """The file."""

    target: tuple[Target, ...]


def signature_of(path: Path) -> Path:
    """Return the path of the envelope that signs the list `path`."""
    return path.with_name(path.name + SUFFIX)


def read_targets_key(path: Path | None) -> Ed25519PublicKey:
    """Return the pinned key, in the file `path`. Raises UsageError: not declared, missing, or no key."""
    if path is None:
        raise UsageError(
            f"no key is declared that the {LIST} is verified with, and an unsigned list is not used; make one with "
            "`blackstart keys new targets`, declare its public key as targets_key under [existing], and sign the list "
            "with `blackstart targets sign`"
        )
    try:
        return read_verify_key(_read(path))
    except OSError as error:
        raise UsageError(
            f"{path}: key of the {LIST} cannot be read ({error.strerror}); put the public key there, or correct "
            "targets_key under [existing]"
        ) from None
    except HarnessError as error:
        raise UsageError(f"{path}: key of the {LIST}: {error}") from None


def read_targets(path: Path, key: Ed25519PublicKey) -> tuple[Target, ...]:
    """Return the drill targets in the file `path`, which `key` has signed.

    Raises Refused: the list or its signature is missing or unreadable, the list was changed after it was signed,
    another key signed it, or it is empty.
    """
    try:
        text = _read(path)
    except OSError as error:
        raise Refused(f"{path}: no {LIST} ({error.strerror}); create it; see deploy/README.md") from None
    _require_signed(path, text, key)
    try:
        return parse_targets(path, text)
    except UsageError as error:
        raise Refused(str(error)) from None


def parse_targets(path: Path, text: bytes) -> tuple[Target, ...]:
    """Return the drill targets in `text`, of the file `path`; raises UsageError when it is unreadable or empty."""
    try:
        found = Targets.model_validate(tomllib.loads(text.decode())).target
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise UsageError(f"{path}: unreadable {LIST}: {where}: {first['msg'].lower()}") from None
    except MALFORMED as error:
        raise UsageError(f"{path}: unreadable {LIST}: {error}") from None
    if not found:
        raise UsageError(f"{path}: the {LIST} is empty; add the DR site")
    return found


def unexpired(path: Path, found: Sequence[Target], today: date) -> tuple[Target, ...]:
    """Return those of `found` that are good today; raises Refused when all of them have expired."""
    if left := tuple(target for target in found if not target.expired(today)):
        return left
    expired = ", ".join(f"{target.name} on {target.until}" for target in found)
    raise Refused(
        f"{path.name}: its entry has expired: {expired}; extend `until`, and sign it with `blackstart targets sign`"
    )


def sign_targets(path: Path, private_pem: bytes, today: date) -> Path:
    """Sign the list `path` and return the path of the signature beside it, which is replaced.

    Raises UsageError for a list that no restore test would use (unreadable, empty, an expired entry); OSError.
    """
    key = read_signing_key(private_pem)
    try:
        text = _read(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); name the list of drill targets") from None
    for target in parse_targets(path, text):
        if target.expired(today):
            raise UsageError(f"{path}: entry {target.name} has expired on {target.until}; extend or remove it first")
    made = signature_of(path)
    made.write_bytes(sign(SIGNED, text, (key,)))
    return made


def _require_signed(path: Path, text: bytes, key: Ed25519PublicKey) -> None:
    """Raise Refused unless `key` has signed this text of the list."""
    beside = signature_of(path)
    again = "sign the list with `blackstart targets sign`"
    try:
        envelope = read_envelope(_read(beside), SIGNED)
    except FileNotFoundError:
        raise Refused(f"{path}: unsigned {LIST}: there is no {beside.name} beside it; {again}") from None
    except OSError as error:
        raise Refused(f"{beside}: signature of the {LIST} cannot be read ({error.strerror}); {again}") from None
    except Unreadable as error:
        raise Refused(f"{beside}: unreadable signature of the {LIST}: {error}; {again}") from None
    try:
        envelope.signed_by((key,))
    except Unreadable as error:
        raise Refused(f"{beside}: untrusted {LIST}: {error}; {again} and the private half of the pinned key") from None
    if envelope.payload != text:
        raise Refused(f"{path}: {LIST} was changed after it was signed; check every entry, then {again}")


def _read(path: Path) -> bytes:
    """Return the bytes of a small file; raises Refused for a large one, OSError."""
    with path.open("rb") as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise Refused(f"{path}: larger than {MOST_BYTES} bytes; it is no file of drill targets")
    return text
