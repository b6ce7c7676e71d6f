"""Messages 2.9 and 2.10: what a drill saw becomes a judged record and a list of proposed changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.core.journal import messages_seen
from harness.core.judge import Evidence, Judgement, judge
from harness.core.record import DrillRecord, FindingEntry
from harness.core.sequence import Branch, expected
from harness.evidence.refine import refine

if TYPE_CHECKING:
    from harness.drill.drill import Drill
from harness.evidence.record import DUE, phases_of, promise_facts, seen_messages

# Messages that only an estate with that kind of service can show.
OF_KIND = {"odoo": ("2.6.1", "2.6.1.1", "2.8.1"), "n8n": ("2.6.2", "2.6.2.1", "2.8.2")}
LAST = ("2.9", "2.10")


def not_drilled(drill: Drill) -> tuple[str, ...]:
    """Return, by name, what this drill could not show, and why."""
    kinds = {table.kind for table in drill.world.config.services.values()}
    lacking = [*drill.paper.limits]
    lacking += [
        f"{', '.join(numbers)}: no {kind} in this estate" for kind, numbers in OF_KIND.items() if kind not in kinds
    ]
    if not drill.scheduled:
        lacking.append("1.1: the backup was taken by hand")
    return tuple(lacking)


def missing(drill: Drill, seen: tuple[str, ...]) -> tuple[str, ...]:
    """Return the main messages that should have been seen by now and were not."""
    kinds = {table.kind for table in drill.world.config.services.values()}
    excused = {n for kind, numbers in OF_KIND.items() if kind not in kinds for n in numbers}
    if not drill.scheduled:
        excused.add("1.1")
    if drill.recovery.stopped:
        return ()  # what came after a failure was not to be done
    return tuple(n for n in expected(Branch.MAIN) if n not in seen and n not in excused and n not in LAST)


def judged(drill: Drill) -> Judgement:
    """Return the verdict on what the drill saw so far."""
    events = drill.journal.events
    findings = list(drill.findings)
    if drill.restored and drill.restored.lost_objects:
        findings.append(f"{len(drill.restored.lost_objects)} referenced objects had not reached the DR site")
    phases = phases_of(events, drill.fault) if drill.fault is not None else ()
    held = drill.tested.held_at if drill.tested else None
    return judge(
        Evidence(
            promise=drill.promise,
            struck=drill.struck.at if drill.struck else None,
            witnessed=bool(drill.struck and drill.struck.witnessed),
            key=held,
            ledger=drill.book.ledger,
            survivors=drill.surviving,
            exposure=drill.exposed,
            phases=phases,
            missing=missing(drill, messages_seen(events)),
            findings=tuple(findings),
            checks=len(drill.tested.results) if drill.tested else len(findings),
        )
    )


def document(drill: Drill) -> DrillRecord:
    """Write the record of a drill and return it."""
    result = judged(drill)
    journal = drill.journal
    journal.mark("documented", drill.name, message="2.9", verdict=str(result.verdict))
    record = _record(drill, result)
    proposals = refine(record)
    journal.mark("refined", drill.name, message="2.10", proposals=len(proposals))
    journal.mark("signoff", drill.name, verdict=str(result.verdict))
    due = (drill.clock.wall() + DUE).date().isoformat()
    record = replace(
        record,
        messages=seen_messages(journal.events),
        findings=tuple(FindingEntry(reason, drill.promise.owner, due) for reason in result.reasons),
        notes={f"proposal {n}": f"{p.change} ({p.evidence})" for n, p in enumerate(proposals, 1)},
        finished=drill.clock.wall().isoformat(timespec="seconds"),
    )
    drill.folder.write(record)
    return record


def _record(drill: Drill, result: Judgement) -> DrillRecord:
    paper, promise, events = drill.paper, drill.promise, drill.journal.events
    loss, fault = result.loss, drill.fault
    return DrillRecord(
        drill=drill.name,
        objective=drill.objective,
        initiator=paper.initiator,
        approver=paper.approver,
        mode=paper.mode,
        substrate=paper.substrate,
        started=events[0].wall.isoformat(timespec="seconds"),
        finished="",
        commit=paper.commit,
        hashes=dict(paper.hashes),
        promise=promise_facts(promise),
        verdict=str(result.verdict),
        reasons=result.reasons,
        rto=result.rto,
        rpo=result.rpo,
        exposure=result.exposure,
        acknowledged=loss.acknowledged if loss else len(drill.book.ledger.acknowledged()),
        lost=loss.lost if loss else (),
        phantom=loss.phantom if loss else (),
        repeated=drill.world.receiver.repeats(),
        lost_objects=drill.restored.lost_objects if drill.restored else (),
        backup=_backup(drill),
        passed_over=drill.selected.passed_over if drill.selected else (),
        data_bytes=drill.restored.size if drill.restored else 0,
        data_rows=drill.restored.rows if drill.restored else 0,
        phases=phases_of(events, fault) if fault is not None else (),
        key_results=tuple(replace(r, at=r.at - (fault or 0.0)) for r in drill.tested.results) if drill.tested else (),
        messages=(),
        versions=dict(paper.versions),
        not_drilled=not_drilled(drill),
        findings=(),
    )


def _backup(drill: Drill) -> Mapping[str, str | float]:
    if drill.selected is None:
        return {}
    manifest = drill.selected.backup.manifest
    return {
        "id": manifest.backup_id,
        "snapshot_at": manifest.contents.snapshot_at.isoformat(timespec="milliseconds"),
        "stored_bytes": sum(entry.stored_size for entry in manifest.objects),
        "plain_bytes": sum(entry.plain_size for entry in manifest.objects),
        "databases": ", ".join(d.name for d in manifest.contents.databases),
    }
