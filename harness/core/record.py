"""The drill record: plain data, written as `record.json`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.judge import Phase

FORMAT = "blackstart-record/1"


@dataclass(frozen=True, slots=True)
class SeenMessage:
    """A message of the mission. `at`: its first occurrence in seconds since the record was opened."""

    number: str
    title: str
    at: float
    wall: str


@dataclass(frozen=True, slots=True)
class KeyResult:
    """Result of one key function in one round."""

    name: str
    service: str
    passed: bool
    detail: str
    took: float  # seconds
    at: float  # monotonic seconds while the drill runs; in a record, seconds after the fault


@dataclass(frozen=True, slots=True)
class FindingEntry:
    """A defect to correct, with owner and due date."""

    what: str
    owner: str
    due: str


@dataclass(frozen=True, slots=True)
class DrillRecord:
    """Result and evidence, for auditors. Times in seconds, sizes in bytes, wall times in ISO 8601 UTC."""

    drill: str
    objective: str
    initiator: str
    approver: str
    mode: str  # `drill` or `restore test`
    substrate: str
    started: str
    finished: str
    commit: str
    hashes: Mapping[str, str]
    promise: Mapping[str, str | float]  # the budgets
    verdict: str
    reasons: tuple[str, ...]
    rto: float | None  # measured, as are `rpo` and `exposure`; None when not measured
    rpo: float | None
    exposure: float | None
    acknowledged: int
    lost: tuple[int, ...]
    phantom: tuple[int, ...]
    repeated: tuple[str, ...]
    lost_objects: tuple[str, ...]
    backup: Mapping[str, str | float]
    passed_over: tuple[tuple[str, str], ...]
    data_bytes: int
    data_rows: int
    phases: tuple[Phase, ...]
    key_results: tuple[KeyResult, ...]
    messages: tuple[SeenMessage, ...]
    versions: Mapping[str, str]
    not_drilled: tuple[str, ...]
    findings: tuple[FindingEntry, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    diverged: tuple[int, ...] = ()  # writes that only the old primary has, taken after the fault
    covered: tuple[str, ...] = ()  # what is in the backup
    uncovered: tuple[str, ...] = ()  # what was declared or found and is not in it
    excluded: tuple[str, ...] = ()  # what [backup.exclude] leaves out, with its reason
    not_compared: tuple[str, ...] = ()  # what is in it and was not compared after the restore
    assertions: tuple[str, ...] = ()  # the user's own assertions and what they returned
    estate: str = ""  # its name
    expected: str = ""  # the verdict that the scenario says it expects; "" where it says none
    unmet: tuple[str, ...] = ()  # what the scenario asserted besides the verdict, and did not find
    controls: tuple[str, ...] = ()  # ids of the controls that the scenario is evidence for, of its @control: tags
    scenario_sha256: str = ""  # of what is asserted: sentences, key functions, assertions, exclusions
    format: str = FORMAT
