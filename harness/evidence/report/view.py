"""What pages, messages and lists show of a record: the only place outside the record that knows its field names."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from harness.core.duration import figure, human
from harness.core.judge import Phase, Verdict
from harness.core.record import DrillRecord, FindingEntry, KeyResult, LedgerResult, SeenMessage
from harness.core.text import visible

Part = TypeVar("Part")


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured duration and its budget, in seconds; None: not measured, or not promised."""

    name: str
    measured: float | None
    budget: float | None

    @property
    def met(self) -> bool | None:
        """Whether the budget was kept; None when one of the two is not known."""
        return None if self.measured is None or self.budget is None else self.measured <= self.budget


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record for readers. Times in seconds, sizes in bytes, wall times in ISO 8601 UTC."""

    drill: str
    estate: str
    objective: str
    mode: str
    substrate: str
    verdict: str
    expected: str
    unmet: tuple[str, ...]
    reasons: tuple[str, ...]
    rto: Figure
    rpo: Figure
    exposure: Figure
    promise: str
    owner: str
    overhead: float | None  # seconds of the time to recover that the harness used for itself
    missing_files: int  # how many the promise allows
    lost: tuple[int, ...]
    ledgers: tuple[LedgerResult, ...]  # that of the clients first
    diverged: tuple[int, ...]
    lost_objects: tuple[str, ...]
    backup: str
    snapshot_at: str
    passed_over: tuple[tuple[str, str], ...]
    data_bytes: int
    data_rows: int
    phases: tuple[Phase, ...]
    key_results: tuple[KeyResult, ...]
    messages: tuple[SeenMessage, ...]
    covered: tuple[str, ...]
    uncovered: tuple[str, ...]
    excluded: tuple[str, ...]
    not_compared: tuple[str, ...]
    assertions: tuple[str, ...]
    not_drilled: tuple[str, ...]
    findings: tuple[FindingEntry, ...]
    controls: tuple[str, ...]
    scenario_sha256: str
    initiator: str
    approver: str
    plan: str
    participants: tuple[str, ...]
    next_due: str
    started: str
    finished: str
    commit: str
    versions: Mapping[str, str]
    hashes: Mapping[str, str]
    notes: Mapping[str, str]

    @property
    def as_expected(self) -> bool:
        """Whether the verdict is the expected one (KEPT where the scenario says none), and nothing else failed."""
        return self.verdict == (self.expected or Verdict.KEPT) and not self.unmet

    @property
    def outcome(self) -> str:
        """What to tell people: `kept` when as expected, else `broken` or `unknown`."""
        if self.as_expected:
            return "kept"
        return "unknown" if self.verdict == Verdict.UNKNOWN else "broken"

    @property
    def restored(self) -> bool:
        """Whether anything was restored: without it the sizes and the lost writes are not measured."""
        return bool(self.data_bytes or self.data_rows)

    @property
    def losses(self) -> str:
        """Lost writes of all ledgers in words, `not measured` where nothing was recovered to count them in."""
        if self.rpo.measured is None:
            return f"not measured, {sum(one.acknowledged for one in self.ledgers)} acknowledged"
        measured = [(one.lost, one.acknowledged) for one in self.ledgers if one.lost is not None]
        return f"{sum(len(lost) for lost, _ in measured)} of {sum(count for _, count in measured)} acknowledged"

    @property
    def by_ledger(self) -> tuple[str, ...]:
        """What each ledger lost, in words; none when the clients have the only one."""
        return tuple(map(loss_in_words, self.ledgers)) if len(self.ledgers) > 1 else ()

    @property
    def harness_work(self) -> str:
        """Work of the harness within the time to recover, in words, with its share of the RTO where there is one."""
        share = f", {self.overhead / self.rto.measured:.1%} of the RTO" if self.overhead and self.rto.measured else ""
        return f"{figure(self.overhead)}{share}"

    @property
    def size(self) -> str:
        """Size of what was restored, in words."""
        return f"{self.data_bytes / 1e6:,.0f} MB, {self.data_rows:,} rows" if self.restored else "not measured"


def visible_parts(part: Part) -> Part:
    """Return a record, or a part of one, whose texts can be shown: names of databases and answers are in it."""
    found: Any = part
    if isinstance(part, str):
        found = visible(part)
    elif isinstance(part, tuple):
        found = tuple(visible_parts(one) for one in part)
    elif isinstance(part, Mapping):
        found = {visible_parts(name): visible_parts(one) for name, one in part.items()}
    elif is_dataclass(part) and not isinstance(part, type):
        found = replace(part, **{one.name: visible_parts(getattr(part, one.name)) for one in fields(part)})
    return cast("Part", found)


def loss_in_words(one: LedgerResult) -> str:
    """Return what a ledger lost."""
    if one.lost is None:
        return f"{one.name}: not measured, {one.acknowledged} acknowledged"
    return f"{one.name}: {len(one.lost)} of {one.acknowledged} lost, RPO {figure(one.rpo_seconds)}"


def against(one: Figure) -> str:
    """Return a figure with its budget, in words."""
    return f"{one.name} {figure(one.measured)}" + ("" if one.budget is None else f" of {human(one.budget)}")


def restored_from(backup: Mapping[str, str | float]) -> str:
    """Return which backup was restored, "" for none; and the base backup where the databases are from one."""
    base = backup.get("base_backup")
    server = f", databases from base backup {base} and WAL up to {backup.get('replayed_to')}" if base else ""
    return f"{backup.get('id', '')}{server}"


def view_of(record: DrillRecord) -> RecordView:
    """Return what readers see of a record: no text of it commands a terminal, or turns a line of a page."""
    record = visible_parts(record)
    promise, stated = record.promise, record.statements
    return RecordView(
        drill=record.drill,
        estate=record.estate,
        objective=record.objective,
        mode=record.mode,
        substrate=record.substrate,
        verdict=record.verdict,
        expected=record.expected or "",
        unmet=record.unmet,
        reasons=record.reasons,
        rto=Figure("RTO", record.rto_seconds, promise.rto_seconds),
        rpo=Figure("RPO", record.rpo_seconds, promise.rpo_seconds),
        exposure=Figure("exposure", record.exposure_seconds, promise.exposure_seconds),
        promise=promise.name,
        owner=promise.owner,
        overhead=record.overhead_seconds,
        missing_files=promise.missing_files,
        lost=record.lost or (),
        ledgers=record.ledgers,
        diverged=record.diverged,
        lost_objects=record.lost_objects or (),
        backup=restored_from(record.backup),
        snapshot_at=str(record.backup.get("snapshot_at", "")),
        passed_over=record.passed_over,
        data_bytes=record.data_bytes or 0,
        data_rows=record.data_rows or 0,
        phases=record.phases,
        key_results=record.key_results,
        messages=record.messages,
        covered=record.covered,
        uncovered=record.uncovered,
        excluded=record.excluded,
        not_compared=record.not_compared,
        assertions=record.assertions,
        not_drilled=record.not_drilled,
        findings=record.findings,
        controls=record.controls,
        scenario_sha256=record.scenario_sha256,
        initiator=record.initiator or "",
        approver=record.approver or "",
        plan=" ".join(filter(None, (stated.plan, stated.plan_version))),
        participants=tuple(f"{one.name} ({one.role})" for one in stated.participants or ()),
        next_due=stated.next_due or "",
        started=record.started,
        finished=record.finished or "",
        commit=record.commit,
        versions=record.versions,
        hashes=record.hashes,
        notes=record.notes,
    )
