"""The drill record: plain data, written as `record.json`. `docs/RECORD.md` describes each field."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.egress import Refused
from harness.core.judge import Clients, Judgement, Phase, Promise
from harness.core.ledger import CLIENTS

FORMAT = "blackstart-record/2"
NOBODY = "nobody signed off"
UNSIGNED = "unsigned: no key"
NOT_MEASURED, NOT_STATED = "not measured", "not stated"
ABSENT = "absent"  # key of a field's metadata: what a file has in place of None; by default NOT_MEASURED


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """A message of the mission. `at_seconds`: its first occurrence, after the record's time origin."""

    number: str
    title: str
    at_seconds: float
    wall: str


@dataclass(frozen=True, slots=True)
class KeyResult:
    """Result of one key function in one round. `at_seconds`: monotonic in a drill, in a record after its origin."""

    name: str
    service: str
    passed: bool
    detail: str
    took_seconds: float
    at_seconds: float


@dataclass(frozen=True, slots=True)
class FindingEntry:
    """A defect to correct, with owner and due date."""

    what: str
    owner: str
    due: str


@dataclass(frozen=True, slots=True)
class Promised:
    """The budgets of a promise, as they were when the drill began."""

    name: str
    owner: str
    reason: str
    rto_seconds: float
    rpo_seconds: float
    exposure_seconds: float
    missing_files: int

    @classmethod
    def of(cls, promise: Promise) -> "Promised":
        """Return the budgets of a promise."""
        return cls(
            promise.name,
            promise.owner,
            promise.reason,
            promise.rto.total_seconds(),
            promise.rpo.total_seconds(),
            promise.exposure.total_seconds(),
            promise.missing_files,
        )


@dataclass(frozen=True, slots=True)
class Person:
    """A participant and their role."""

    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Statements:
    """What no machine can know, from `drill.toml`. None: not stated."""

    plan: str | None = None
    plan_version: str | None = None
    plan_approved_by: str | None = None
    plan_changed_on: str | None = None
    basis: str | None = None
    critical_function: str | None = None
    in_scope: tuple[str, ...] | None = None
    out_of_scope: tuple[str, ...] | None = None
    third_parties: tuple[str, ...] | None = None
    assumptions: tuple[str, ...] | None = None
    participants: tuple[Person, ...] | None = None
    observers: tuple[Person, ...] | None = None
    excluded_people: tuple[Person, ...] | None = None
    reviewer: Person | None = None
    deviations: tuple[str, ...] | None = None
    next_due: str | None = None
    retain_until: str | None = None


@dataclass(frozen=True, slots=True)
class TimeOrigin:
    """The moment from which all times of a record count.

    `event`: `fault`, `activation`, or `opening` when neither was reached. `monotonic_seconds`: in journal and ledger.
    `clock_offset_seconds`: of the time server minus this machine's wall clock.
    """

    event: str
    wall: str | None
    monotonic_seconds: float | None
    clock_offset_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """Where the inputs of the judge are: `verify` judges them again. The journal's are its events of kind `judged`."""

    journal_events: int
    journal_head_sha256: str | None  # of the last of these events
    ledger_sha256: str | None
    struck_seconds: float | None
    witnessed: bool | None
    key_seconds: float | None  # when every key function had passed
    survivors: int | None  # number of writes in the recovered system
    missing_files: int
    checks: int


@dataclass(frozen=True, slots=True)
class Overhead:
    """Work of the harness within the recovery time that a recovery alone would not do, and how long it took."""

    what: str
    took_seconds: float


@dataclass(frozen=True, slots=True)
class LedgerResult:
    """One ledger: its writes that were acknowledged before the strike, and those that the recovered system has.

    `name`: `clients`, or the service and what was written. None: not measured.
    """

    name: str
    acknowledged: int
    found: int | None
    lost: tuple[int, ...] | None
    rpo_seconds: float | None


def ledger_results(clients: Clients | None, judgement: Judgement) -> tuple[LedgerResult, ...]:
    """Return a result for each ledger of a drill, that of the client load first; none without clients."""
    if clients is None:
        return ()
    losses = dict(judgement.stores)
    stores = ((store.name, store.ledger, losses.get(store.name)) for store in clients.stores)
    return tuple(
        LedgerResult(name, len(ledger.acknowledged()), None, None, None)
        if loss is None
        else LedgerResult(name, loss.acknowledged, loss.acknowledged - len(loss.lost), loss.lost, loss.rpa)
        for name, ledger, loss in ((CLIENTS, clients.ledger, judgement.loss), *stores)
    )


@dataclass(frozen=True, slots=True)
class DrillRecord:
    """Result and evidence, for auditors. Wall times in ISO 8601, UTC. None: not measured, or not stated."""

    record: str  # the name of its folder
    drill: str
    objective: str
    mode: str  # `drill`, `restore test`, `recovery` or `restore`
    substrate: str
    initiator: str | None = field(metadata={ABSENT: NOT_STATED})
    approver: str | None = field(metadata={ABSENT: NOT_STATED})
    signed_off_by: str  # when the record was written: NOBODY; a sign-off is a file of its own
    signing_key: str  # fingerprint, or UNSIGNED
    previous_statement_sha256: str | None = field(metadata={ABSENT: "none"})  # of the record before, in this folder
    statements: Statements
    started: str
    finished: str | None = field(metadata={ABSENT: "not concluded"})
    origin: TimeOrigin
    commit: str
    hashes: Mapping[str, str]
    versions: Mapping[str, str]
    promise: Promised
    verdict: str
    reasons: tuple[str, ...]
    rto_seconds: float | None
    rpo_seconds: float | None
    exposure_seconds: float | None
    acknowledged: int | None
    lost: tuple[int, ...] | None
    phantom: tuple[int, ...] | None
    out_of_order: tuple[int, ...] | None
    repeated: tuple[str, ...]
    diverged: tuple[int, ...]  # writes that only the old primary has, taken after the fault
    lost_objects: tuple[str, ...] | None
    judged: Judged
    backup: Mapping[str, str | float]
    passed_over: tuple[tuple[str, str], ...]
    data_bytes: int | None
    data_rows: int | None
    phases: tuple[Phase, ...]
    key_results: tuple[KeyResult, ...]
    messages: tuple[SeenMessage, ...]
    not_drilled: tuple[str, ...]
    covered: tuple[str, ...]  # what is in the backup
    uncovered: tuple[str, ...]  # what was declared or found and is not in it
    excluded: tuple[str, ...]  # what [backup.exclude] leaves out, with its reason
    not_compared: tuple[str, ...]  # what is in it and was not compared after the restore
    assertions: tuple[str, ...]  # the user's own assertions and what they returned
    findings: tuple[FindingEntry, ...]
    notes: Mapping[str, str]
    estate: str = ""  # its name
    expected: str | None = field(default=None, metadata={ABSENT: NOT_STATED})  # the verdict that the scenario states
    unmet: tuple[str, ...] = ()  # what the scenario asserted besides the verdict, and did not find
    controls: tuple[str, ...] = ()  # ids of the controls that the scenario is evidence for, of its @control: tags
    scenario_sha256: str = ""  # of what is asserted: sentences, key functions, assertions, exclusions
    ledgers: tuple[LedgerResult, ...] = ()  # of every writer of the drill; their worst RPO is that of the record
    egress: str | None = field(
        default=None, metadata={ABSENT: "no wall"}
    )  # what kept DR's programs from other addresses
    refused: tuple[Refused, ...] = ()  # what it refused
    overhead_seconds: float | None = None  # of the time to recover: what the harness did besides recovering
    overhead: tuple[Overhead, ...] = ()  # its parts; no verdict depends on them
    format: str = FORMAT
