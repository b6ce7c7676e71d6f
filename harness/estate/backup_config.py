"""The table `[backup]` of `estate.toml`: when backups are taken, what is left out of them, and which are kept."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from harness.core.clock import SYSTEM
from harness.core.contents import PREPARED
from harness.declaration import Reference, Table
from harness.estate.server_tables import Bandwidth

CRON_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")
# What [backup.exclude] may name.
EXCLUDABLE = {
    "database ": "`database NAME`",
    "schema ": "`schema NAME of database NAME`",
    PREPARED: f"`{PREPARED}NAME`",
    "bucket ": "`bucket NAME`",
    "volume ": "`volume NAME`",
    "rest of volume ": "`rest of volume NAME`",
    "path ": "`path PATH`",
}


def cron(value: str) -> str:
    """Return `value` if it is a cron expression of six fields that ever comes; raises ValueError."""
    fields = value.split()
    if len(fields) != len(CRON_FIELDS):
        raise ValueError("needs six fields: second minute hour day month weekday")
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - a twentieth of a second, and not all have one

    trigger = CronTrigger(**dict(zip(CRON_FIELDS, fields, strict=True)), timezone="UTC")
    if trigger.get_next_fire_time(None, SYSTEM.wall()) is None:
        raise ValueError("comes in no year; is there such a day in such a month?")
    return value


def reason(value: str) -> str:
    """Return a reason that says something; raises ValueError."""
    if not value.strip():
        raise ValueError("needs a reason, which stands in every record")
    return value


def excluded(value: str) -> str:
    """Return `value` if it names something that a backup may leave out; raises ValueError."""
    kind = next((kind for kind in EXCLUDABLE if value.startswith(kind)), "")
    name = value.removeprefix(kind)
    if not kind or not name.strip() or (kind == "schema " and not all(part.strip() for part in _schema(name))):
        *others, last = EXCLUDABLE.values()
        raise ValueError(f"{value!r} is not {', '.join(others)} or {last}")
    return value


def _schema(name: str) -> tuple[str, str]:
    schema, _, database = name.partition(" of database ")
    return schema, database


Reason = Annotated[str, AfterValidator(reason)]


class RetentionTable(Table):
    """Which backups are kept: the newest `last`, and that of each of so many days, weeks, months, years that have one.

    `verified`: the fewest that were opened completely; below it nothing is removed.
    """

    last: Annotated[int, Field(ge=1, le=1000)] = 3
    day: Annotated[int, Field(ge=0, le=1000)] = 7
    week: Annotated[int, Field(ge=0, le=1000)] = 4
    month: Annotated[int, Field(ge=0, le=1000)] = 12
    year: Annotated[int, Field(ge=0, le=1000)] = 0
    verified: Annotated[int, Field(ge=1, le=1000)] = 2


class BackupTable(Table):
    """Schedule of the backups, and the addresses that get an alert when a backup fails.

    `mode`: dumps alone, or "physical": a base backup as well, and WAL that is shipped continuously. A recovery then
    restores the database server from those, and from the dumps where it cannot.
    `parallel`: connections to the primary's server that a backup opens at most. `exclude`: `database NAME`,
    `schema NAME of database NAME` (one that PostgreSQL brings), `bucket NAME`, `volume NAME`, `rest of volume NAME`
    (what no service declares of it) or `path PATH` (that a service names, outside its volumes) -> why it is in no
    backup.
    `lock_days`: for how long the store keeps a backup from being deleted; 0: not at all. `wal_seconds`: after which
    WAL is in the repository at the latest, where it is shipped continuously.
    `bandwidth`: bytes per second that are sent to the repository at most, over all threads of a command; 0: no limit.
    `retention`: which backups `blackstart retention` keeps; None: all.
    `full_days`: a full base backup at most every so many days, incremental ones between; 0: each one is full.
    """

    mode: Literal["logical", "physical"] = "logical"
    schedule: Annotated[str, AfterValidator(cron)] = "0 15 2 * * *"
    alerts: tuple[Reference, ...] = ()
    parallel: Annotated[int, Field(ge=2, le=64)] = 4
    exclude: dict[Annotated[str, AfterValidator(excluded)], Reason] = Field(default_factory=dict)
    lock_days: Annotated[int, Field(ge=0, le=36500)] = 0
    wal_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    bandwidth: Bandwidth = 0
    retention: RetentionTable | None = None
    full_days: Annotated[int, Field(ge=0, le=365)] = 0

    @model_validator(mode="after")
    def incremental_ones_are_physical(self) -> Self:
        """Refuse `full_days` where no base backups are taken."""
        if self.full_days and self.mode != "physical":
            raise ValueError('full_days: there are no base backups; set mode = "physical", or remove it')
        return self
