"""Verification of a record by somebody who trusts only a public key that was not in the bundle.

Signature, hashes of all files, chain of the journal, budgets, and the verdict, which is judged again.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.attestation.recomputed import differing
from harness.attestation.statement import (
    BACKUP,
    FILES,
    PAYLOAD,
    SIGNED,
    UNSIGNED,
    read_statement,
    signed_files,
    statement_of,
)
from harness.core.errors import Unreadable
from harness.core.journal import Event
from harness.core.judged import DOUBT, FINDING, PROMISED, evidence_in, noted_in, promise_in, since_promise
from harness.core.record import UNSIGNED as NO_KEY
from harness.core.record import DrillRecord, Promised
from harness.core.text import visible
from harness.evidence.folder import INPUTS, JOURNAL, LEDGER, read_record
from harness.evidence.format.record_file import RECORD, canonical, sha256_of
from harness.evidence.journal import head_of, read_journal
from harness.evidence.ledger import read_ledgers
from harness.pem import fingerprint
from harness.signing import read_envelope

VIEW, LOGS, SIGN_OFF = "phases.svg", "logs", "sign-off-"  # what is in a record's folder and not signed with it
SHA256 = "sha256 "  # begins the name of the fact with the hash of an input


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reader expects to be shown: the drill by name, and the earliest time at which it ended."""

    drill: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """Result: the record, None when it cannot be read, why it is refused, and what its statement says.

    `statement_sha256`: of the payload, "" without a statement.
    """

    record: DrillRecord | None
    refusals: tuple[str, ...]
    statement_sha256: str = ""
    said: Mapping[str, str] | None = None


def verify(folder: Path, keys: Sequence[Ed25519PublicKey], expected: Expected | None = None) -> Verified:
    """Return what is wrong with a record folder. Without `keys` the signature is not checked, and all else is."""
    refusals: list[str] = []
    said: Mapping[str, str] | None = None
    subjects: Mapping[str, str] = {}
    payload = b""
    if odd := [*elsewhere(folder)]:
        return Verified(None, tuple(odd))  # not even read: a pipe would never end
    try:
        payload = payload_of(folder, keys)
        subjects, said = read_statement(json.loads(payload))
    except (Unreadable, ValueError, RecursionError) as error:
        refusals.append(f"signature: {error}")
    if subjects:
        refusals += [*files_changed(folder, subjects), *strangers(folder, subjects)]
    try:
        record = read_record(folder)
    except Unreadable as error:
        return Verified(None, (*refusals, f"record: {error}"))
    refusals += contradictions(folder, record)
    if said is not None:
        refusals += misstated(folder, record, json.loads(payload), said, keys)
    refusals += replayed(folder, record, expected or Expected())
    return Verified(record, tuple(refusals), hashlib.sha256(payload).hexdigest() if payload else "", said)


def payload_of(folder: Path, keys: Sequence[Ed25519PublicKey]) -> bytes:
    """Return the statement of a folder. Raises Unreadable unless one of `keys` signed it; any will do without keys."""
    signed, unsigned = folder / SIGNED, folder / UNSIGNED
    if signed.is_file():
        envelope = read_envelope(signed.read_bytes(), PAYLOAD)
        if keys:
            envelope.signed_by(keys)
        return envelope.payload
    if keys or not unsigned.is_file():
        raise Unreadable(f"there is no {SIGNED}: the record is unsigned")
    return unsigned.read_bytes()


def elsewhere(folder: Path) -> Iterator[str]:
    """Yield a line for each part of a record that is a link, or no regular file: what is verified could be changed."""
    try:
        every = sorted(folder.rglob("*"))
    except (OSError, RecursionError) as error:
        yield f"file: the folders of the record cannot be listed ({type(error).__name__}); look who put them there"
        return
    for path in every:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            yield f"file: {visible(path.relative_to(folder).as_posix())} is a link, or no regular file"


def files_changed(folder: Path, subjects: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each file that is not the one that was signed, is gone, or was added."""
    here = {path.relative_to(folder).as_posix(): path for path in signed_files(folder)}
    for name in (RECORD, JOURNAL):
        if name not in subjects:
            yield f"file: {name} is not signed"
    for name, digest in subjects.items():
        if name.startswith(BACKUP):
            continue
        if name not in here:
            yield f"file: {name} was signed and is not here"
        elif sha256_of(here[name]) != digest:
            yield f"file: {name} was changed: its SHA-256 is not the signed one"
    yield from (f"file: {name} is not signed" for name in here if name not in subjects)


def strangers(folder: Path, subjects: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each file that is neither signed nor one of those that need not be: nobody vouches for it."""
    known = {
        *(name for name in subjects if not name.startswith(BACKUP)),
        *FILES,
        VIEW,
        SIGNED if (folder / SIGNED).exists() else UNSIGNED,
    }
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        name = path.relative_to(folder).as_posix()
        if name not in known and not name.startswith((f"{LOGS}/", SIGN_OFF, f"{INPUTS}/")):
            yield f"file: {visible(name)} is no file of a record, and not signed: it was added; take it away"


def misstated(
    folder: Path, record: DrillRecord, payload: Any, said: Mapping[str, str], keys: Sequence[Ed25519PublicKey]
) -> Iterator[str]:
    """Yield a line where statement and record differ, for whoever reads one of them, and for another signing key."""
    right = statement_of(folder, record, said.get("previous_line_sha256", ""))
    if canonical(payload["predicate"]) != canonical(right["predicate"]):
        yield "statement: its result, drill, times or inputs are not those of record.json"
    now, then = ({one["name"]: one["digest"]["sha256"] for one in part["subject"]} for part in (payload, right))
    if any(now.get(name) != then.get(name) for name in {**now, **then} if name.startswith(BACKUP)):
        yield "statement: its backup is not that of record.json"
    if (found := signers(folder, keys)) and record.signing_key not in found:
        yield f"signature: the record says {record.signing_key}, it is of {', '.join(found)}"


def signers(folder: Path, keys: Sequence[Ed25519PublicKey]) -> tuple[str, ...]:
    """Return what the record may say of its key: of those `keys` that signed it, without `keys` of all that signed."""
    if not (folder / SIGNED).is_file():
        return (NO_KEY,)
    pinned = {fingerprint(key) for key in keys}
    names = [name for name, _ in read_envelope((folder / SIGNED).read_bytes(), PAYLOAD).signatures]
    return tuple(f"ed25519 {name}" for name in names if name in pinned or not pinned)


def contradictions(folder: Path, record: DrillRecord) -> Iterator[str]:
    """Yield a line for each thing that the record says and journal and ledger do not; whatever these contain."""
    try:
        yield from _contradictions(folder, record)
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:  # an event of another form
        yield f"journal: an event is of no form that blackstart writes ({type(error).__name__}: {error})"


def _contradictions(folder: Path, record: DrillRecord) -> Iterator[str]:
    try:
        events = read_journal(folder / JOURNAL)
    except Unreadable as error:
        yield f"journal: {error}"
        return
    yield from budgets_changed(folder, record, events)
    judged = record.judged
    if judged.journal_head_sha256 != head_of(folder / JOURNAL, judged.journal_events):
        yield f"journal: its event {judged.journal_events} is not the one that was judged"
    ledger = folder / LEDGER
    if judged.ledger_sha256 != (sha256_of(ledger) if ledger.exists() else None):
        yield "ledger: not the one that was judged"
    try:
        evidence = evidence_in(events, read_ledgers(ledger))
    except Unreadable as error:
        yield f"verdict: cannot be judged again: {error}"
        return
    yield from unseen(events, evidence.clients.struck if evidence.clients else None, evidence.key)
    newest = since_promise(events)  # a drill may hold several restore tests: the record is of the last
    noted = {*noted_in(newest, FINDING), *noted_in(newest, DOUBT)}
    yield from (
        f"verdict: the journal notes what was not judged: {one}"
        for one in noted - {*evidence.findings, *evidence.doubts}
    )
    yield from differing(folder, record, events, evidence)


def unseen(events: Sequence[Event], struck: float | None, key: float | None) -> Iterator[str]:
    """Yield a line when strike or passed key functions were judged at a time at which no such event is."""
    for kind, at in (("struck", struck), ("held", key)):
        if at is not None and not any(event.kind == kind and event.at == at for event in events):
            yield f"verdict: judged with `{kind}` at {at}, where the journal has no such event"


def budgets_changed(folder: Path, record: DrillRecord, events: Sequence[Event]) -> Iterator[str]:
    """Yield a line when budgets, or files that decide a drill, are not those that were journalled before it began."""
    opened = [event for event in events if event.kind == PROMISED]
    for event in opened:
        try:
            promised = Promised.of(promise_in(event.facts))
        except Unreadable as error:
            yield f"budget: {error}"
            continue
        if promised != record.promise:
            yield f"budget: the record says {_said(record.promise, promised)} before the drill"
        if event is opened[-1] and event.facts.get("mode") != record.mode:
            yield f"budget: the record is of a {record.mode}, the journal of a {event.facts.get('mode')}"
        if event is opened[-1] and event.facts.get("expected") != record.expected:
            yield f"budget: the record expects {record.expected}, the journal {event.facts.get('expected')}"
        journalled = {name.removeprefix(SHA256): fact for name, fact in event.facts.items() if name.startswith(SHA256)}
        for name in {**record.hashes, **journalled}:
            path = folder / INPUTS / name
            found = sha256_of(path) if path.is_file() else "no file"
            if not journalled.get(name) == record.hashes.get(name) == found:
                yield f"budget: {name} is not the file that was journalled before the drill"
    if not opened:
        yield "budget: none was journalled before the drill"


def _said(now: Promised, before: Promised) -> str:
    names = [name for name in Promised.__slots__ if getattr(now, name) != getattr(before, name)]
    return ", ".join(f"{name} {getattr(now, name)}, the journal {getattr(before, name)}" for name in names)


def replayed(folder: Path, record: DrillRecord, expected: Expected) -> Iterator[str]:
    """Yield a line when this is another record than the one that is asked for: an old one shown as new."""
    if record.record != folder.resolve().name:
        yield f"replay: this is the record {record.record}, in a folder named {folder.resolve().name}"
    if expected.drill and record.drill != expected.drill:
        yield f"replay: this is the drill {record.drill!r}, not {expected.drill!r}"
    if expected.since is not None:
        try:
            finished = datetime.fromisoformat(record.finished or "")
            old = finished < expected.since
        except (ValueError, TypeError):
            yield f"replay: it did not end at a known time ({record.finished!r})"
            return
        if old:
            yield f"replay: it ended at {record.finished}, before {expected.since.isoformat(timespec='seconds')}"
