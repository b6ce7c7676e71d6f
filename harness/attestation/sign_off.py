"""Sign-off of a record: the act of a person, in a file of its own. The program never signs off by itself."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness.core.clock import SYSTEM
from harness.core.errors import Refused, Unreadable
from harness.core.record import NOBODY
from harness.evidence.format.record_file import RECORD, canonical, sha256_of
from harness.pem import fingerprint
from harness.signing import Envelope, read_envelope, sign

FORMAT = "blackstart-sign-off/1"
KIND = "application/vnd.blackstart.sign-off+json"
PATTERN = "sign-off-*.json"


@dataclass(frozen=True, slots=True)
class SignedOff:
    """One sign-off. `key`: fingerprint of the key that signed it, "" when only the name was given."""

    by: str
    at: str
    record_sha256: str
    remark: str
    key: str = ""
    format: str = FORMAT

    @property
    def line(self) -> str:
        """The sign-off in one line."""
        how = f"signed with key {self.key}" if self.key else "by name, without a key"
        return f"{self.by} at {self.at} ({how}){f': {self.remark}' if self.remark else ''}"


def sign_off(folder: Path, name: str, remark: str, key: Ed25519PrivateKey | None) -> Path:
    """Write the sign-off of a person and return its file. Raises Refused for an empty name, Unreadable, OSError."""
    if not name.strip() or not name.isprintable():
        raise Refused("a sign-off needs the name of a person: --as NAME")
    record = folder / RECORD
    if not record.is_file():
        raise Unreadable(f"{folder}: has no {RECORD}")
    mine = fingerprint(key.public_key()) if key is not None else ""
    at = SYSTEM.wall().isoformat(timespec="milliseconds")
    note = canonical(asdict(SignedOff(name.strip(), at, sha256_of(record), remark, mine)))
    text = sign(KIND, note, [key]) if key is not None else note + b"\n"
    target = folder / f"sign-off-{hashlib.sha256(note).hexdigest()[:12]}.json"
    with target.open("xb") as file:
        file.write(text)
    return target


def sign_offs(folder: Path, keys: Sequence[Ed25519PublicKey] = ()) -> Iterator[SignedOff]:
    """Yield the sign-offs of a record, oldest first; signatures by one of `keys` are verified, others are not.

    Raises Unreadable for one that is damaged or of another record.
    """
    found = [(_read(path, keys), path.name) for path in folder.glob(PATTERN)]
    digest = sha256_of(folder / RECORD)
    for one, name in sorted(found, key=lambda pair: (pair[0].at, pair[1])):
        if one.record_sha256 != digest:
            raise Unreadable(
                f"{name}: the sign-off of {one.by} is of another record than this, or it was changed since"
            )
        yield one


def signed_off_by(folder: Path, keys: Sequence[Ed25519PublicKey] = ()) -> str:
    """Return who signed off a record, in one line: `nobody signed off` without one. Raises Unreadable."""
    lines = [one.line for one in sign_offs(folder, keys)]
    return f"signed off by {'; '.join(lines)}" if lines else NOBODY


def _read(path: Path, keys: Sequence[Ed25519PublicKey]) -> SignedOff:
    try:
        data = json.loads(path.read_bytes())
        envelope: Envelope | None = None
        if isinstance(data, dict) and "payload" in data:
            envelope = read_envelope(path.read_bytes(), KIND)
            data = json.loads(envelope.payload)
        one = SignedOff(**data)
        if one.format != FORMAT or not all(isinstance(value, str) for value in asdict(one).values()):
            raise Unreadable(f"{path.name}: not a sign-off of this version")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"{path.name}: not a sign-off ({error})") from None
    if one.key and (envelope is None or one.key not in {name for name, _ in envelope.signatures}):
        raise Unreadable(f"{path.name}: says that it is signed with key {one.key}, and is not")
    if envelope is not None and (known := [key for key in keys if fingerprint(key) == one.key]):
        envelope.signed_by(known)
    return one
