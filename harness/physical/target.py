"""Target of a recovery: the state of the databases at a time, a position, a transaction, a name, or just before one."""

from dataclasses import dataclass
from datetime import UTC, datetime

from harness.core.errors import Unreadable, UsageError
from harness.core.wal import read_lsn, show_lsn

LATEST, TIME, POSITION, TRANSACTION, NAME = "latest", "time", "lsn", "xid", "name"
CONSISTENT = "immediate"  # as soon as the base backup is consistent: its own WAL alone; no target of `--to`
KINDS = (TIME, POSITION, TRANSACTION, NAME)
FORMS = "latest, time=2026-03-01T12:00:00Z, lsn=0/3000028, xid=1234, name=NAME, before=xid:1234 (or lsn:, time:)"
FIRST = 3  # transaction ID of a user
DIGITS = 20  # of the largest one with its epoch
LONGEST_NAME = 63  # bytes of the name of a restore point


@dataclass(frozen=True, slots=True)
class Target:
    """Where a recovery ends. `text`: as it was written; `before`: just before it, without the transaction itself."""

    kind: str
    text: str = ""
    before: bool = False
    time: datetime | None = None
    position: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """Return PostgreSQL's settings for it, none for the latest state."""
        if self.kind == LATEST:
            return {}
        if self.kind == CONSISTENT:
            return {"recovery_target": CONSISTENT}
        value = self.time.isoformat() if self.time is not None else self.text
        return {f"recovery_target_{self.kind}": value, "recovery_target_inclusive": "off" if self.before else "on"}

    def __str__(self) -> str:
        return f"{'before ' if self.before else ''}{self.kind} {self.text}".strip()


def read_target(text: str) -> Target:
    """Return the target that `text` names; raises UsageError with the forms there are."""
    kind, given, value = text.partition("=")
    if text == LATEST:
        return Target(LATEST)
    before = kind == "before"
    if before:
        kind, given, value = value.partition(":")
        if kind == NAME:
            raise UsageError("--to before=name: a restore point is not a change; name=NAME is the state at it")
    if kind not in KINDS or not given or not value:
        raise UsageError(f"--to {text!r}: none of {FORMS}")
    if kind == TIME:
        return Target(kind, value, before, time=_time(value))
    if kind == POSITION:
        try:
            position = read_lsn(value)
        except Unreadable as error:
            raise UsageError(f"--to {text!r}: {error}") from None
        return Target(kind, show_lsn(position), before, position=position)
    if kind == TRANSACTION:
        return Target(kind, _transaction(text, value), before)
    if len(value.encode()) > LONGEST_NAME:
        raise UsageError(f"--to {text!r}: longer than the {LONGEST_NAME} bytes of a restore point's name")
    return Target(kind, value, before)


def _transaction(text: str, value: str) -> str:
    """Return a transaction ID as WAL has it: pg_current_xact_id() gives 64 bits, of which WAL has the lower 32."""
    number = int(value) if value.isdecimal() and value.isascii() and len(value) <= DIGITS else 0
    if number >= 1 << 64 or (number := number % (1 << 32)) < FIRST:
        raise UsageError(f"--to {text!r}: no transaction ID; it is a number, as pg_current_xact_id() gives it")
    return str(number)


def _time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise UsageError(f"--to time={value}: no time; one is like 2026-03-01T12:00:00Z") from None
    if time.tzinfo is None:
        raise UsageError(f"--to time={value}: without a time zone; add Z for UTC, or an offset like +01:00")
    return time.astimezone(UTC)
