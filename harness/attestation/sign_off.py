"""Sign-off of a record: the act of a person, in a file of its own. The program never signs off by itself."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from harness.core.clock import SYSTEM
from harness.core.errors import Refused, Unreadable
from harness.core.record import NOBODY
from harness.core.text import odd_in
from harness.evidence.format.record_file import RECORD, canonical, read_record, sha256_of
from harness.pem import fingerprint
from harness.regular_file import read_regular
from harness.signing import Envelope, read_envelope, sign

FORMAT = "blackstart-sign-off/1"
KIND = "application/vnd.blackstart.sign-off+json"
PATTERN = "sign-off-*"
LARGEST = 64 << 10  # bytes of a sign-off
LONGEST = 500  # characters of a name
AHEAD = timedelta(minutes=5)  # by which the clock of who signs off may be ahead of the reader's


@dataclass(frozen=True, slots=True)
class SignedOff:
    """One sign-off. `key`: fingerprint of the key that signed it, "" when only the name was given."""

    by: str
    at: str
    record_sha256: str
    remark: str
    key: str = ""
    format: str = FORMAT

    def line(self, keys: Sequence[Ed25519PublicKey] = (), signing_key: str = "") -> str:
        """Return the sign-off in one line. `keys`: those that it was verified with, if its own is among them.

        `signing_key`: what the record says of the key that signed it: it is no person's.
        """
        how = "by name, without a key"
        if self.key and signing_key == f"ed25519 {self.key}":
            how = "NOT A PERSON'S: signed with the key that signs the records"
        elif self.key:
            known = self.key in map(fingerprint, keys)
            how = f"signed with key {self.key}" if known else f"says key {self.key}, not verified: give it with --key"
        # Quoted, and on one line: a name or a remark may look like another sign-off, or like another answer.
        remark = f": {' / '.join(self.remark.split(chr(10)))!r}" if self.remark else ""
        return f"{self.by!r} at {self.at} ({how}){remark}"


def sign_off(folder: Path, name: str, remark: str, key: Ed25519PrivateKey | None) -> Path:
    """Write the sign-off of a person and return its file.

    Raises Refused for no name, for the key that signed the record and before the drill ended, Unreadable, OSError.
    """
    if not name.strip() or odd_in(name) or len(name) > LONGEST:
        raise Refused("a sign-off needs the name of a person, in plain text on one line: --as NAME")
    if found := odd_in("".join(remark.split("\n"))):
        raise Refused(f"--remark: has a character that cannot be shown ({found}); write plain text")
    record = folder / RECORD
    if not record.is_file():
        raise Unreadable(f"{folder}: has no {RECORD}")
    about = read_record(folder)
    mine = fingerprint(key.public_key()) if key is not None else ""
    if mine and about.signing_key == f"ed25519 {mine}":
        raise Refused("--key: that key signs the records; a person signs off with a key of their own")
    now = SYSTEM.wall()
    if (ended := _moment(about.finished)) is None or now < ended:
        raise Refused(
            f"the record ended at {about.finished}, which is later than now: correct the clock of one machine"
        )
    at = now.isoformat(timespec="milliseconds")
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
    if not found:
        return
    digest, ended = sha256_of(folder / RECORD), _moment(read_record(folder).finished)
    latest = SYSTEM.wall() + AHEAD
    for one, name in sorted(found, key=lambda pair: (pair[0].at, pair[1])):
        if one.record_sha256 != digest:
            raise Unreadable(
                f"{name}: the sign-off of {one.by} is of another record than this, or it was changed since"
            )
        at = _moment(one.at)
        if at is None or ended is None or not ended <= at <= latest:
            raise Unreadable(f"{name}: signed off at {one.at}, which is before the record ended, or in the future")
        yield one


def signed_off_by(folder: Path, keys: Sequence[Ed25519PublicKey] = ()) -> str:
    """Return who signed off a record, in one line: `nobody signed off` without one. Raises Unreadable."""
    found = [*sign_offs(folder, keys)]
    signing_key = read_record(folder).signing_key if found else ""
    lines = dict.fromkeys(one.line(keys, signing_key) for one in found)  # a copy of a sign-off is no second one
    return f"signed off by {'; '.join(lines)}" if lines else NOBODY


def _moment(wall: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(wall or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _read(path: Path, keys: Sequence[Ed25519PublicKey]) -> SignedOff:
    try:
        text = read_regular(path, LARGEST + 1)
        if len(text) > LARGEST:
            raise Unreadable(f"{path.name}: not a sign-off (larger than {LARGEST} bytes)")
        data = json.loads(text)
        envelope: Envelope | None = None
        if isinstance(data, dict) and "payload" in data:
            envelope = read_envelope(text, KIND)
            data = json.loads(envelope.payload)
        one = SignedOff(**data)
        if one.format != FORMAT or not all(isinstance(value, str) for value in asdict(one).values()):
            raise Unreadable(f"{path.name}: not a sign-off of this version")
        if any(map(odd_in, (one.by, one.at, one.key))) or not one.by.strip():
            raise Unreadable(f"{path.name}: not a sign-off (a name, a time or a key that is no text in one line)")
        if odd_in("".join(one.remark.split("\n"))):
            raise Unreadable(f"{path.name}: not a sign-off (control characters in its remark)")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"{path.name}: not a sign-off ({error})") from None
    if one.key and (envelope is None or one.key not in {name for name, _ in envelope.signatures}):
        raise Unreadable(f"{path.name}: says that it is signed with key {one.key}, and is not")
    if envelope is not None and (known := [key for key in keys if fingerprint(key) == one.key]):
        envelope.signed_by(known)
    return one
