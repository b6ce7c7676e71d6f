"""Messages 2.9 and 2.10: the record of a drill or a restore test, built from what was seen, and its proposals."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.core.contents import Contents
from harness.core.egress import Egress
from harness.core.journal import Event, Journal
from harness.core.judge import Evidence, Judgement, Promise, Verdict, judge
from harness.core.judged import DRILL, JUDGED, PROMISED, evidence_in, inputs_of, promise_facts, since_promise
from harness.core.ledger import CLIENTS
from harness.core.overhead import overheads
from harness.core.record import (
    NOBODY,
    UNSIGNED,
    DrillRecord,
    KeyResult,
    Overhead,
    Promised,
    Statements,
    ledger_results,
)
from harness.evidence.failures import Failures
from harness.evidence.folder import RecordFolder
from harness.evidence.format.chain import OPENED, add, last_statement
from harness.evidence.format.derived import ENDED, findings_of, judged_of, origin_of, seen_messages
from harness.evidence.format.repeated import AFTER, BEFORE, RECORDED, repeats
from harness.evidence.refine import refine
from harness.evidence.time_server import note_offset
from harness.evidence.versions import own_versions

NOTHING_STATED = Statements()
NOT_CONCLUDED = "not concluded: it is still under way, or it was killed"


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What a record says without measuring it. `mode`: `drill` or `restore test`; `limits`: what it cannot show.

    `inputs`: name -> content of the files that decide the drill; `expected`, `controls` and `scenario_sha256` are those
    of `DrillRecord`; `signing_key`: fingerprint of the key that it is going to be signed with, UNSIGNED without one;
    `time_server`: HOST or HOST:PORT that is asked for the offset of the clock, "" for none.
    """

    drill: str
    objective: str
    promise: Promise
    initiator: str = ""
    approver: str = ""
    commit: str = ""
    inputs: Mapping[str, bytes] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    substrate: str = "embedded"
    mode: str = DRILL
    limits: tuple[str, ...] = ()
    estate: str = ""
    expected: str = ""
    controls: tuple[str, ...] = ()
    scenario_sha256: str = ""
    statements: Statements = NOTHING_STATED
    signing_key: str = UNSIGNED
    time_server: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a drill or a restore test, beside the evidence that is judged. None: nothing was restored.

    `size`: in bytes.
    """

    evidence: Evidence
    backup: Mapping[str, str | float] = field(default_factory=dict)
    passed_over: tuple[tuple[str, str], ...] = ()
    size: int | None = None
    rows: int | None = None
    lost_objects: tuple[str, ...] | None = None
    repeated: tuple[str, ...] = ()
    diverged: tuple[int, ...] = ()
    results: tuple[KeyResult, ...] = ()
    not_drilled: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    contents: Contents | None = None  # of the selected backup
    assertions: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    egress: Egress | None = None


def open_record(header: RecordHeader, folder: RecordFolder, journal: Journal) -> None:
    """Write down the promise, and a record that says UNKNOWN: it stays if this process is killed.

    The budgets are in the journal before anything is started, so that none can be changed to fit the result.
    """
    folder.keep(header.inputs)
    add(folder.path.parent, OPENED, folder.path.name)
    journal.mark(
        PROMISED,
        header.promise.name,
        message="",
        **promise_facts(header.promise, header.mode, header.expected),
        **repeats(_not_concluded(header, folder, journal), BEFORE),
        **_hashes(header),
    )
    note_offset(header.time_server, journal)
    folder.write(_not_concluded(header, folder, journal))


def _not_concluded(header: RecordHeader, folder: RecordFolder, journal: Journal) -> DrillRecord:
    judgement = Judgement(Verdict.UNKNOWN, (NOT_CONCLUDED,), None, None, None, None)
    return _Writer(header, Outcome(Evidence(header.promise)), folder, journal.events).record(judgement)


def conclude_unstarted(
    header: RecordHeader, folder: RecordFolder, journal: Journal, error: BaseException
) -> DrillRecord:
    """Write and return the record of a drill or restore test that `error` ended before anything was started."""
    if not any(event.kind == PROMISED for event in journal.events):
        open_record(header, folder, journal)
    failures = Failures(header.drill, journal, folder.logs)
    failures.note(error, "")
    evidence = Evidence(header.promise, findings=tuple(failures.findings), doubts=tuple(failures.doubts))
    return conclude(header, Outcome(evidence), folder, journal)


def conclude(header: RecordHeader, outcome: Outcome, folder: RecordFolder, journal: Journal) -> DrillRecord:
    """Judge what was seen, write the record and show it; return it.

    What is judged is what the journal says: whoever reads it comes to the same verdict.
    """
    for subject, facts in inputs_of(outcome.evidence):
        journal.mark(JUDGED, subject, message="", **facts)
    clients = outcome.evidence.clients
    stores = {store.name: store.ledger for store in clients.stores} if clients else {}
    evidence = evidence_in(journal.events, {CLIENTS: clients.ledger, **stores} if clients else {})
    judgement = judge(evidence)
    writer = _Writer(header, replace(outcome, evidence=evidence), folder, journal.events)
    journal.mark("documented", header.drill, message="2.9", verdict=str(judgement.verdict))
    record = writer.record(judgement)
    proposals = refine(record)
    journal.mark("refined", header.drill, message="2.10", proposals=len(proposals))
    ended = journal.mark(ENDED, header.drill, verdict=str(judgement.verdict), signed_off_by=NOBODY)
    spent = _spent(evidence, journal)
    record = replace(
        record,
        messages=seen_messages(journal.events, evidence.origin),
        findings=findings_of(judgement.reasons, header.promise.owner, ended.wall),
        notes={**outcome.notes, **{f"proposal {n}": f"{p.change} ({p.evidence})" for n, p in enumerate(proposals, 1)}},
        finished=ended.wall.isoformat(timespec="seconds"),
        egress=outcome.egress.wall if outcome.egress else None,
        refused=outcome.egress.refused if outcome.egress else (),
        overhead_seconds=None if spent is None else sum(one.took_seconds for one in spent),
        overhead=spent or (),
    )
    journal.mark(RECORDED, header.drill, message="", **repeats(record, AFTER))
    return folder.publish(record)


def _spent(evidence: Evidence, journal: Journal) -> tuple[Overhead, ...] | None:
    """Return the work of the harness within the time to recover; None where the recovery did not end."""
    if evidence.origin is None or evidence.key is None:
        return None
    return overheads(since_promise(journal.events), journal.writes, evidence.phases, evidence.origin, evidence.key)


def _hashes(header: RecordHeader) -> Mapping[str, str]:
    return {f"sha256 {name}": hashlib.sha256(content).hexdigest() for name, content in header.inputs.items()}


@dataclass(frozen=True, slots=True)
class _Writer:
    """What a record is made of."""

    header: RecordHeader
    outcome: Outcome
    folder: RecordFolder
    events: tuple[Event, ...]

    def record(self, judgement: Judgement) -> DrillRecord:
        header, outcome, events = self.header, self.outcome, self.events
        evidence, loss, origin = outcome.evidence, judgement.loss, origin_of(outcome.evidence, events)
        contents, begin = outcome.contents, origin.monotonic_seconds or 0.0
        acknowledged = len(evidence.clients.ledger.acknowledged()) if evidence.clients else None
        return DrillRecord(
            record=self.folder.path.name,
            drill=header.drill,
            objective=header.objective,
            mode=header.mode,
            substrate=header.substrate,
            initiator=header.initiator or None,
            approver=header.approver or None,
            signed_off_by=NOBODY,
            signing_key=header.signing_key,
            previous_statement_sha256=last_statement(self.folder.path.parent),
            statements=header.statements,
            started=events[0].wall.isoformat(timespec="seconds") if events else "",
            finished=None,
            origin=origin,
            commit=header.commit,
            hashes={name: hashlib.sha256(content).hexdigest() for name, content in header.inputs.items()},
            versions={**own_versions(), **header.versions},
            promise=Promised.of(header.promise),
            verdict=str(judgement.verdict),
            reasons=judgement.reasons,
            rto_seconds=judgement.rto,
            rpo_seconds=judgement.rpo,
            exposure_seconds=judgement.exposure,
            acknowledged=loss.acknowledged if loss else acknowledged,
            lost=loss.lost if loss else None,
            phantom=loss.phantom if loss else None,
            out_of_order=loss.out_of_order if loss else None,
            repeated=outcome.repeated,
            diverged=outcome.diverged,
            lost_objects=outcome.lost_objects,
            judged=judged_of(evidence, self.folder.path, len(events), begin),
            backup=outcome.backup,
            passed_over=outcome.passed_over,
            data_bytes=outcome.size,
            data_rows=outcome.rows,
            phases=evidence.phases,
            key_results=tuple(replace(one, at_seconds=one.at_seconds - begin) for one in outcome.results),
            messages=(),
            not_drilled=outcome.not_drilled,
            covered=contents.covered if contents else (),
            uncovered=evidence.uncovered,
            excluded=contents.excluded if contents else (),
            not_compared=contents.not_compared if contents else (),
            assertions=outcome.assertions,
            findings=(),
            notes=outcome.notes,
            estate=header.estate,
            expected=header.expected or None,
            unmet=outcome.unmet,
            controls=header.controls,
            scenario_sha256=header.scenario_sha256,
            ledgers=ledger_results(evidence.clients, judgement),
        )
