"""Controls of standards, and whether drills are evidence for them: last pass, age against its interval, open findings.

Only a verdict that was expected is evidence, and UNKNOWN never is. A finding is closed by a later pass of the same
scenario under a promise that is no weaker, or put aside by an exception with a name and a last day.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from harness.core.judge import Verdict

SKEW = timedelta(minutes=5)  # a record that ended this much after the present is of another clock
OTHER = "other"  # framework of a control that the table lacks
YEAR, QUARTER = timedelta(days=365), timedelta(days=92)


@dataclass(frozen=True, slots=True)
class Control:
    """One control. `interval`: how old its evidence may be."""

    id: str
    framework: str
    title: str
    interval: timedelta


# Titles in our words; the standards have the text: NIST SP 800-53 rev. 5, ISO/IEC 27001:2022, DORA (EU) 2022/2554.
CONTROLS = (
    Control("ISO22301-8.5", "ISO 22301", "exercise programme", YEAR),
    Control("ISO27001-A.5.30", "ISO 27001", "ICT readiness for business continuity, tested", YEAR),
    Control("ISO27001-A.8.13", "ISO 27001", "backups are kept and regularly tested", QUARTER),
    Control("ISO27001-A.8.14", "ISO 27001", "redundancy of processing facilities", YEAR),
    Control("NIST-CP-4", "NIST 800-53", "contingency plan testing", YEAR),
    Control("NIST-CP-9", "NIST 800-53", "system backup, tested for reliability and integrity", QUARTER),
    Control("NIST-CP-10", "NIST 800-53", "system recovery and reconstitution", YEAR),
    Control("SOC2-A1.2", "SOC 2", "backup processes and recovery infrastructure", QUARTER),
    Control("SOC2-A1.3", "SOC 2", "recovery plan procedures are tested", YEAR),
    Control("DORA-11", "DORA", "response and recovery, with tests of switchovers", YEAR),
    Control("DORA-12", "DORA", "backup, restoration and recovery, tested periodically", YEAR),
    Control("DORA-24", "DORA", "testing of digital operational resilience", YEAR),
)


class Status(StrEnum):
    """Status of a control."""

    COVERED = "covered"
    EXCEPTION = "exception"  # every open finding is put aside by an exception
    FINDING = "open finding"
    STALE = "stale"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Run:
    """One concluded drill or restore test. `record`: the name of its folder.

    `budgets`: what is promised, by objective; less is stricter.
    """

    drill: str
    estate: str
    substrate: str
    scenario_sha256: str
    ended: datetime
    verdict: str
    as_expected: bool
    controls: tuple[str, ...]
    budgets: Mapping[str, float]
    record: str
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is evidence."""
        return self.as_expected and self.verdict != Verdict.UNKNOWN

    @property
    def failed(self) -> bool:
        """Whether it opened a finding; a run that could not be judged is no evidence, and no finding."""
        return not self.as_expected and self.verdict != Verdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class Exempt:
    """An exception: the findings of a scenario are put aside by somebody, for a reason, through a last day.

    `record`: of the only finding that is meant; "" for all of the scenario, later ones too.
    """

    scenario: str
    by: str
    reason: str
    until: date
    record: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A failed run that no later pass closed. `exempt`: the exception that puts it aside, also an expired one."""

    run: Run
    exempt: Exempt | None
    expired: bool

    @property
    def open(self) -> bool:
        """Whether nothing puts it aside."""
        return self.exempt is None or self.expired


@dataclass(frozen=True, slots=True)
class Row:
    """One control in the matrix. `age`: of the last pass; `unknown`: runs within the interval that were not judged."""

    control: Control
    status: Status
    last: Run | None
    age: timedelta | None
    findings: tuple[Finding, ...]
    unknown: int


def closes(later: Run, failed: Run) -> bool:
    """Return whether a run closes the finding of another: same scenario, estate and substrate, no weaker promise."""
    same = (later.drill, later.estate, later.substrate, later.scenario_sha256) == (
        failed.drill,
        failed.estate,
        failed.substrate,
        failed.scenario_sha256,
    )
    stricter = all(later.budgets.get(name, float("inf")) <= budget for name, budget in failed.budgets.items())
    return bool(same and failed.scenario_sha256 and stricter and later.passed and later.ended > failed.ended)


def findings(runs: Sequence[Run], exempts: Iterable[Exempt], now: datetime) -> tuple[Finding, ...]:
    """Return the findings that no later pass closed, oldest first; for each scenario that of its newest failure."""
    newest: dict[tuple[str, str, str, str], Run] = {}
    known = list(exempts)
    for run in sorted(_until(runs, now), key=lambda one: one.ended):
        if run.failed and not any(closes(later, run) for later in _until(runs, now)):
            newest[run.drill, run.estate, run.substrate, run.scenario_sha256] = run
    found = []
    for run in newest.values():
        named = [one for one in known if one.scenario == run.drill and one.record in ("", run.record)]
        valid = [one for one in named if now.date() <= one.until]
        exempt = max(valid or named, key=lambda one: one.until, default=None)
        found.append(Finding(run, exempt, expired=not valid))
    return tuple(found)


def matrix(
    runs: Sequence[Run], exempts: Iterable[Exempt], now: datetime, intervals: Mapping[str, timedelta]
) -> tuple[Row, ...]:
    """Return a row for each control of the table, and each that a run names. `intervals` replace those of the table."""
    current = tuple(_until(runs, now))
    opened = findings(current, exempts, now)
    return tuple(_row(control, current, opened, now) for control in _controls(current, intervals))


def _controls(runs: Sequence[Run], intervals: Mapping[str, timedelta]) -> Iterator[Control]:
    known = {control.id: control for control in CONTROLS}
    named = {name for run in runs for name in run.controls} | set(intervals)
    others = (Control(name, OTHER, "", YEAR) for name in sorted(named - set(known)))
    for control in (*CONTROLS, *others):
        interval = intervals.get(control.id, control.interval)
        yield Control(control.id, control.framework, control.title, interval)


def _row(control: Control, runs: Sequence[Run], opened: Sequence[Finding], now: datetime) -> Row:
    mine = [run for run in runs if control.id in run.controls]
    last = max((run for run in mine if run.passed), key=lambda run: run.ended, default=None)
    age = None if last is None else max(now - last.ended, timedelta())
    against = tuple(one for one in opened if control.id in one.run.controls)
    unknown = sum(run.verdict == Verdict.UNKNOWN and now - run.ended <= control.interval for run in mine)
    if any(one.open for one in against):
        status = Status.FINDING
    elif age is None:
        status = Status.EXCEPTION if against else Status.GAP
    elif age > control.interval:
        status = Status.STALE
    else:
        status = Status.EXCEPTION if against else Status.COVERED
    return Row(control, status, last, age, against, unknown)


def _until(runs: Iterable[Run], now: datetime) -> Iterator[Run]:
    """Yield the runs that had ended; one of the future would be fresh for ever."""
    return (run for run in runs if run.ended - now <= SKEW)
