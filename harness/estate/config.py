"""Parser of `estate.toml`. An unknown key is an error that names the nearest valid key."""

from __future__ import annotations

import difflib
import graphlib
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from apscheduler.triggers.cron import CronTrigger
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from harness.core.errors import UsageError
from harness.declaration import Name, Reference, ServiceTable, Table
from harness.estate.existing_config import ExistingTable
from harness.estate.kinds import KINDS

EXCLUDABLE = ("database", "bucket", "volume")  # what [backup.exclude] may name
CRON_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")


def cron(value: str) -> str:
    """Return `value` if it is a cron expression of six fields; raises ValueError."""
    fields = value.split()
    if len(fields) != len(CRON_FIELDS):
        raise ValueError("needs six fields: second minute hour day month weekday")
    CronTrigger(**dict(zip(CRON_FIELDS, fields, strict=True)))
    return value


def address(value: str) -> str:
    """Return `value` if it is an IPv4 address; raises ValueError."""
    return str(IPv4Address(value))


IPv4 = Annotated[str, AfterValidator(address)]
Labels = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$")]  # RFC 1035


class EstateTable(Table):
    """Name of the estate, and its public name: `host` in the DNS zone `zone`."""

    name: Name
    zone: Labels
    host: Labels = "www"


def excluded(value: str) -> str:
    """Return `value` if it names something that a backup may leave out; raises ValueError."""
    kind, _, name = value.partition(" ")
    if kind not in EXCLUDABLE or not name:
        raise ValueError(f"{value!r} is not `database NAME`, `bucket NAME` or `volume NAME`")
    return value


class BackupTable(Table):
    """Schedule of the backups, and the addresses that get an alert when a backup fails.

    `parallel`: connections to the primary's server that a backup opens at most. `exclude`: `database NAME`,
    `bucket NAME` or `volume NAME` -> why it is in no backup.
    """

    schedule: Annotated[str, AfterValidator(cron)] = "0 15 2 * * *"
    alerts: tuple[Reference, ...] = ()
    parallel: Annotated[int, Field(ge=2, le=64)] = 4
    exclude: dict[Annotated[str, AfterValidator(excluded)], Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict
    )


class DataTable(Table):
    """Size of the example estate's data."""

    bulk_mb: Annotated[int, Field(ge=0, le=100_000)] = 200


class SiteTable(Table):
    """One site: the IPv4 address that its clients use, and the DR strategy (ignored for the primary)."""

    edge: IPv4
    strategy: Literal["pilot-light", "cold"] = "pilot-light"


class SitesTable(Table):
    """The two sites."""

    primary: SiteTable
    dr: SiteTable

    @model_validator(mode="after")
    def two_addresses(self) -> SitesTable:
        """Refuse two sites with the same address: a traffic switch could not be verified."""
        if self.primary.edge == self.dr.edge:
            raise ValueError(f"primary.edge and dr.edge are both {self.dr.edge}; give each site its own address")
        return self


def of_kind(value: object, _inner: ValidatorFunctionWrapHandler, info: ValidationInfo) -> ServiceTable:
    """Return the table of a service, validated by the model of its kind; raises ValueError for an unknown kind."""
    if isinstance(value, ServiceTable):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is none of {', '.join(sorted(KINDS))}{nearest(str(kind), KINDS)}")
    return KINDS[kind].table.model_validate(value, context=info.context)


class Config(Table):
    """All tables of `estate.toml`."""

    estate: EstateTable
    backup: BackupTable = BackupTable()
    data: DataTable = DataTable()
    sites: SitesTable
    services: dict[Name, Annotated[ServiceTable, WrapValidator(of_kind)]]
    existing: ExistingTable | None = None

    @property
    def public_name(self) -> str:
        """The fully qualified name that clients use."""
        return f"{self.estate.host}.{self.estate.zone}"

    @model_validator(mode="after")
    def needs_are_known(self) -> Config:
        """Refuse an undeclared name in `needs`, and a circular dependency."""
        for name, table in self.services.items():
            for need in table.needs:
                if need not in self.services:
                    raise ValueError(f"services.{name}.needs: no service {need!r}{nearest(need, self.services)}")
        try:
            graphlib.TopologicalSorter({name: table.needs for name, table in self.services.items()}).prepare()
        except graphlib.CycleError as error:
            circle = " needs ".join(reversed(error.args[1]))
            raise ValueError(f"services: circular dependency: {circle}; remove one of these from `needs`") from None
        return self


def nearest(word: str, known: Any) -> str:
    """Return `; did you mean 'x'?` for the nearest of `known`, or an empty string."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def explain(error: ValidationError, model: type[BaseModel], path: Path, data: Mapping[str, Any]) -> UsageError:
    """Return one line for the first pydantic error, unknown keys first: file, key and remedy."""
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    where = [str(part) for part in first["loc"]]
    reason, named = first["msg"].removeprefix("Value error, "), 1
    if first["type"] == "extra_forbidden":
        reason = f"unknown key{nearest(where[-1], known_keys(model, where[:-1], data))}"
    elif first["type"] in ("model_type", "dict_type"):
        reason = "must be a table"
    elif first["type"] == "missing":
        where = where[:-1]
        missing = [
            str(e["loc"][-1]) for e in error.errors() if e["type"] == "missing" and e["loc"][:-1] == first["loc"][:-1]
        ]
        named = len(missing)
        reason = f"needs {', '.join(missing)}"
    more = f" (and {error.error_count() - named} more)" if error.error_count() > named else ""
    return UsageError(f"{': '.join((str(path), *filter(None, ['.'.join(where)])))}: {reason}{more}")


def known_keys(model: type[BaseModel], where: list[str], data: Mapping[str, Any]) -> list[str]:
    """Return the keys that are valid in the table at `where` of the file's `data`."""
    table: Any = model
    if where[:1] == ["services"] and len(where) > 1:  # the valid keys of a service depend on its kind
        table, where = KINDS[data["services"][where[1]]["kind"]].table, where[2:]
    for part in where:
        fields = getattr(table, "model_fields", {})
        table = fields[part].annotation if part in fields else table
        inner = getattr(table, "__args__", ())
        models = [a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)]
        table = models[0] if models else table
    return [f.alias or n for n, f in getattr(table, "model_fields", {}).items()]


def parse_toml(path: Path, remedy: str) -> dict[str, Any]:
    """Return the parsed file; raises UsageError with file and line, or with `remedy` when the file cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; {remedy}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None


def load_config(path: Path) -> Config:
    """Return the estate that the file `path` declares; raises UsageError, one line with file and key."""
    data = parse_toml(path, "name another with --config")
    try:
        return Config.model_validate(data, context={"folder": path.parent})
    except ValidationError as error:
        raise explain(error, Config, path, data) from None


def with_strategy(config: Config, strategy: str) -> Config:
    """Return the estate with another DR strategy, `pilot-light` or `cold`; "" keeps the declared one."""
    if not strategy:
        return config
    dr = config.sites.dr.model_copy(update={"strategy": strategy})
    return config.model_copy(update={"sites": config.sites.model_copy(update={"dr": dr})})
