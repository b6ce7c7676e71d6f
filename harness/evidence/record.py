"""Messages 2.9 and 2.10: the record of a drill or a restore test, built from what was seen, and its proposals."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from harness.core.clock import SYSTEM
from harness.core.contents import Contents
from harness.core.journal import END, Event, Journal
from harness.core.judge import Evidence, Judgement, Phase, Promise, Verdict, judge
from harness.core.record import DrillRecord, FindingEntry, KeyResult, SeenMessage
from harness.core.sequence import MESSAGES
from harness.evidence.failures import Failures
from harness.evidence.folder import RecordFolder
from harness.evidence.refine import refine

DUE = timedelta(days=14)  # by when a finding is to be mended
NOT_CONCLUDED = "not concluded: it is still under way, or it was killed"


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What a record says without measuring it. `mode`: `drill` or `restore test`; `limits`: what it cannot show.

    `expected`, `controls` and `scenario_sha256` are those of `DrillRecord`.
    """

    drill: str
    objective: str
    promise: Promise
    initiator: str = ""
    approver: str = ""
    commit: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    substrate: str = "embedded"
    mode: str = "drill"
    limits: tuple[str, ...] = ()
    estate: str = ""
    expected: str = ""
    controls: tuple[str, ...] = ()
    scenario_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a drill or a restore test, beside the evidence that is judged. `size` in bytes."""

    evidence: Evidence
    backup: Mapping[str, str | float] = field(default_factory=dict)
    passed_over: tuple[tuple[str, str], ...] = ()
    size: int = 0
    rows: int = 0
    lost_objects: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    diverged: tuple[int, ...] = ()
    results: tuple[KeyResult, ...] = ()
    not_drilled: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    contents: Contents | None = None  # of the selected backup
    assertions: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()


def phases_of(events: tuple[Event, ...], origin: float | None) -> tuple[Phase, ...]:
    """Return the phases after `origin`, in seconds from it; a drill's detection begins with the fault itself."""
    if origin is None:
        return ()
    begun = {"detect": origin}
    phases = []
    for event in events:
        if event.at < origin:
            continue
        if event.kind == "begin":
            begun[event.subject] = event.at
        elif event.kind in (END, "failed") and event.subject in begun:
            phases.append(Phase(event.subject, begun.pop(event.subject) - origin, event.at - origin))
    return tuple(phases)


def seen_messages(events: tuple[Event, ...]) -> tuple[SeenMessage, ...]:
    """Return each message of the mission with the moment at which it was first seen."""
    titles = {message.number: message.title for message in MESSAGES}
    first: dict[str, Event] = {}
    for event in events:
        if event.message in titles:
            first.setdefault(event.message, event)
    return tuple(
        SeenMessage(n, titles[n], round(e.at - events[0].at, 3), e.wall.isoformat(timespec="milliseconds"))
        for n, e in first.items()
    )


def open_record(header: RecordHeader, folder: RecordFolder, journal: Journal) -> None:
    """Write a record that says UNKNOWN before anything is started: it stands if this process is killed."""
    judgement = Judgement(Verdict.UNKNOWN, (NOT_CONCLUDED,), None, None, None, None)
    folder.write(_record(header, Outcome(Evidence(header.promise)), judgement, journal.events))


def conclude_unstarted(
    header: RecordHeader, folder: RecordFolder, journal: Journal, error: BaseException
) -> DrillRecord:
    """Write and return the record of a drill or restore test that `error` ended before anything was started."""
    failures = Failures(header.drill, journal, folder.logs)
    failures.note(error, "")
    evidence = Evidence(header.promise, findings=tuple(failures.findings), doubts=tuple(failures.doubts))
    return conclude(header, Outcome(evidence), folder, journal)


def conclude(header: RecordHeader, outcome: Outcome, folder: RecordFolder, journal: Journal) -> DrillRecord:
    """Judge what was seen, write the record and show it; return it."""
    judgement = judge(outcome.evidence)
    journal.mark("documented", header.drill, message="2.9", verdict=str(judgement.verdict))
    record = _record(header, outcome, judgement, journal.events)
    proposals = refine(record)
    journal.mark("refined", header.drill, message="2.10", proposals=len(proposals))
    journal.mark("signoff", header.drill, verdict=str(judgement.verdict))
    due = (SYSTEM.wall() + DUE).date().isoformat()
    record = replace(
        record,
        messages=seen_messages(journal.events),
        findings=tuple(FindingEntry(reason, header.promise.owner, due) for reason in judgement.reasons),
        notes={**outcome.notes, **{f"proposal {n}": f"{p.change} ({p.evidence})" for n, p in enumerate(proposals, 1)}},
        finished=SYSTEM.wall().isoformat(timespec="seconds"),
    )
    folder.publish(record)
    return record


def _promise(promise: Promise) -> Mapping[str, str | float]:
    return {
        "name": promise.name,
        "rto_s": promise.rto.total_seconds(),
        "rpo_s": promise.rpo.total_seconds(),
        "exposure_s": promise.exposure.total_seconds(),
        "owner": promise.owner,
        "reason": promise.reason,
    }


def _record(header: RecordHeader, outcome: Outcome, judgement: Judgement, events: tuple[Event, ...]) -> DrillRecord:
    evidence, loss = outcome.evidence, judgement.loss
    acknowledged = len(evidence.clients.ledger.acknowledged()) if evidence.clients else 0
    origin = evidence.origin
    return DrillRecord(
        drill=header.drill,
        objective=header.objective,
        initiator=header.initiator,
        approver=header.approver,
        mode=header.mode,
        substrate=header.substrate,
        started=events[0].wall.isoformat(timespec="seconds") if events else "",
        finished="",
        commit=header.commit,
        hashes=dict(header.hashes),
        promise=_promise(header.promise),
        verdict=str(judgement.verdict),
        reasons=judgement.reasons,
        rto=judgement.rto,
        rpo=judgement.rpo,
        exposure=judgement.exposure,
        acknowledged=loss.acknowledged if loss else acknowledged,
        lost=loss.lost if loss else (),
        phantom=loss.phantom if loss else (),
        repeated=outcome.repeated,
        lost_objects=outcome.lost_objects,
        backup=outcome.backup,
        passed_over=outcome.passed_over,
        data_bytes=outcome.size,
        data_rows=outcome.rows,
        phases=evidence.phases,
        key_results=tuple(replace(result, at=result.at - (origin or 0.0)) for result in outcome.results),
        messages=(),
        versions=dict(header.versions),
        not_drilled=outcome.not_drilled,
        findings=(),
        notes=outcome.notes,
        diverged=outcome.diverged,
        covered=outcome.contents.covered if outcome.contents else (),
        uncovered=evidence.uncovered,
        excluded=outcome.contents.excluded if outcome.contents else (),
        not_compared=outcome.contents.not_compared if outcome.contents else (),
        assertions=outcome.assertions,
        estate=header.estate,
        expected=header.expected,
        unmet=outcome.unmet,
        controls=header.controls,
        scenario_sha256=header.scenario_sha256,
    )
