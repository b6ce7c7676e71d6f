"""Verification of a record by somebody who trusts only a public key that was not in the bundle.

Signature, hashes of all files, chain of the journal, budgets, and the verdict, which is judged again.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from harness.attestation.statement import BACKUP, PAYLOAD, SIGNED, UNSIGNED, read_statement, signed_files
from harness.core.errors import Unreadable
from harness.core.journal import Event
from harness.core.judge import Evidence, judge
from harness.core.judged import DOUBT, FINDING, PROMISED, evidence_in, noted_in, promise_in, since_promise
from harness.core.record import DrillRecord, LedgerResult, Promised, ledger_results
from harness.evidence.folder import INPUTS, JOURNAL, LEDGER, read_record
from harness.evidence.format.record_file import DIGITS, RECORD, sha256_of
from harness.evidence.journal import head_of, read_journal
from harness.evidence.ledger import read_ledgers
from harness.signing import read_envelope


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
    try:
        payload = payload_of(folder, keys)
        subjects, said = read_statement(json.loads(payload))
    except (Unreadable, ValueError, RecursionError) as error:
        refusals.append(f"signature: {error}")
    if subjects:
        refusals += files_changed(folder, subjects)
    try:
        record = read_record(folder)
    except Unreadable as error:
        return Verified(None, (*refusals, f"record: {error}"))
    refusals += contradictions(folder, record)
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


def contradictions(folder: Path, record: DrillRecord) -> Iterator[str]:
    """Yield a line for each thing that the record says and journal and ledger do not."""
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
    yield from verdict_differs(record, evidence)


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
        for name, digest in record.hashes.items():
            path = folder / INPUTS / name
            found = sha256_of(path) if path.is_file() else "no file"
            if event.facts.get(f"sha256 {name}") != digest or found != digest:
                yield f"budget: {name} is not the file that was journalled before the drill"
    if not opened:
        yield "budget: none was journalled before the drill"


def _said(now: Promised, before: Promised) -> str:
    names = [name for name in Promised.__slots__ if getattr(now, name) != getattr(before, name)]
    return ", ".join(f"{name} {getattr(now, name)}, the journal {getattr(before, name)}" for name in names)


def verdict_differs(record: DrillRecord, evidence: Evidence) -> Iterator[str]:
    """Yield a line for each figure of the record that journal and ledger do not give."""
    judgement = judge(evidence)
    loss = judgement.loss
    pairs = {
        "verdict": (record.verdict, str(judgement.verdict)),
        "rto_seconds": (record.rto_seconds, judgement.rto),
        "rpo_seconds": (record.rpo_seconds, judgement.rpo),
        "exposure_seconds": (record.exposure_seconds, judgement.exposure),
        "lost": (record.lost, loss.lost if loss else None),
        "phantom": (record.phantom, loss.phantom if loss else None),
        "ledgers": (record.ledgers, _rounded(ledger_results(evidence.clients, judgement))),
    }
    for name, (said, found) in pairs.items():
        measured = round(found, DIGITS) if isinstance(found, float) else found
        if said != measured:
            why = f" ({'; '.join(judgement.reasons) or 'no reason'})" if name == "verdict" else ""
            yield f"verdict: the record says {name} {_short(said)}, journal and ledger give {_short(measured)}{why}"
    if set(judgement.reasons) != set(record.reasons):
        yield f"verdict: the record gives other reasons than {'; '.join(judgement.reasons) or 'none'}"


def _rounded(results: tuple[LedgerResult, ...]) -> tuple[LedgerResult, ...]:
    return tuple(
        one if one.rpo_seconds is None else replace(one, rpo_seconds=round(one.rpo_seconds, DIGITS)) for one in results
    )


def _short(value: object) -> str:
    text = "not measured" if value is None else str(value)
    return text if len(text) < 80 else f"{text[:80]}..."  # noqa: PLR2004 - columns of a terminal


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
