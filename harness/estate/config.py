"""Parser of `estate.toml`, read once, when a command starts; an unknown key is refused with the nearest valid one."""

from __future__ import annotations

import difflib
import graphlib
import tomllib
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Literal

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, BaseModel, Field, ValidationError, ValidationInfo, model_validator

from harness.core.errors import UsageError
from harness.estate.existing_config import ExistingTable, Name, Table

CRON_FIELDS = ("second", "minute", "hour", "day", "month", "day_of_week")


def reference(value: str) -> str:
    """Return `value` if it is a secret reference; raises ValueError."""
    if not value.startswith(("env:", "file:")):
        raise ValueError("must be a reference, env:NAME or file:PATH, never the secret itself")
    return value


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


def beside(word: str, info: ValidationInfo) -> str:
    """Return the absolute path of a file that lies in the folder of `estate.toml`, any other word as it is."""
    path = Path((info.context or {}).get("folder", "."), word)
    return str(path.absolute()) if path.is_file() else word


Reference = Annotated[str, AfterValidator(reference)]
IPv4 = Annotated[str, AfterValidator(address)]
Word = Annotated[str, AfterValidator(beside)]
Labels = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*$")]  # RFC 1035


class EstateTable(Table):
    """Name of the estate, and its public name: `host` in the DNS zone `zone`."""

    name: Name
    zone: Labels
    host: Labels = "www"


class BackupTable(Table):
    """Schedule of the backups, and the addresses that alerts of a failed one are sent to."""

    schedule: Annotated[str, AfterValidator(cron)] = "0 15 2 * * *"
    alerts: tuple[Reference, ...] = ()


class DataTable(Table):
    """Size of the example estate's data."""

    bulk_mb: Annotated[int, Field(ge=0, le=100_000)] = 200


class SiteTable(Table):
    """One site: the IPv4 address that its clients use, and the DR strategy (used of the DR site alone)."""

    edge: IPv4
    strategy: Literal["pilot-light", "cold"] = "pilot-light"


class SitesTable(Table):
    """The two sites."""

    primary: SiteTable
    dr: SiteTable

    @model_validator(mode="after")
    def two_addresses(self) -> SitesTable:
        """Refuse two sites with one address: a switch from one to the other could not be seen."""
        if self.primary.edge == self.dr.edge:
            raise ValueError(f"primary.edge and dr.edge are both {self.dr.edge}; give each site an address of its own")
        return self


class KeyTable(Table):
    """Key function: an HTTP request through the front door, and the answer that is expected."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str
    json_body: Annotated[Any, Field(alias="json")] = None
    headers: dict[str, str] = Field(default_factory=dict)
    status: int = 200
    contains: str = ""


class ServiceTable(Table):
    """A service. `target` is for kind `notification`; all other keys but `kind` and `needs` are for kind `http`.

    `command`: a word that is a file beside `estate.toml` becomes its absolute path.
    """

    kind: Literal["odoo", "n8n", "gateway", "notification", "http"]
    needs: tuple[str, ...] = ()
    command: tuple[Word, ...] = ()
    image: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, Reference] = Field(default_factory=dict)
    ready: str = "/"
    databases: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    prefix: str = ""
    auth: bool = True
    key: KeyTable | None = None
    target: Reference | None = None

    @model_validator(mode="after")
    def complete(self) -> ServiceTable:
        """Refuse an http service that could not be started or tested."""
        if self.kind == "http":
            lacking = [n for n, v in (("command", self.command), ("prefix", self.prefix), ("key", self.key)) if not v]
            if lacking:
                raise ValueError(f"kind http needs {', '.join(lacking)}")
        return self


class Config(Table):
    """All tables of `estate.toml`."""

    estate: EstateTable
    backup: BackupTable = BackupTable()
    data: DataTable = DataTable()
    sites: SitesTable
    services: dict[Name, ServiceTable]
    existing: ExistingTable | None = None

    @property
    def public_name(self) -> str:
        """The fully qualified name that clients use."""
        return f"{self.estate.host}.{self.estate.zone}"

    @model_validator(mode="after")
    def needs_are_known(self) -> Config:
        """Refuse a need that is not a service, and services that need each other."""
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


def explain(error: ValidationError, model: type[BaseModel], path: Path) -> UsageError:
    """Return one line for the first error of pydantic's, with file, key and remedy; an unknown key comes first.

    A mistyped key is two errors: the key is unknown, and the right one is missing. The first of them says what to do.
    """
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    where = [str(part) for part in first["loc"]]
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        reason = f"unknown key{nearest(where[-1], known_keys(model, where[:-1]))}"
    elif first["type"] in ("model_type", "dict_type"):
        reason = "must be a table"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return UsageError(f"{': '.join((str(path), *filter(None, ['.'.join(where)])))}: {reason}{more}")


def known_keys(model: type[BaseModel], where: list[str]) -> list[str]:
    """Return the keys that the table at `where` may hold."""
    table: Any = model
    for part in where:
        fields = getattr(table, "model_fields", {})
        table = fields[part].annotation if part in fields else table
        inner = getattr(table, "__args__", ())
        models = [a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)]
        table = models[0] if models else table
    return [f.alias or n for n, f in getattr(table, "model_fields", {}).items()]


def parse_toml(path: Path, remedy: str) -> dict[str, Any]:
    """Return the parsed file. Raises UsageError with file and line, or with `remedy` when it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; {remedy}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None


def load_config(path: Path) -> Config:
    """Return the estate that the file `path` declares. Raises UsageError, in one line that names file and key."""
    data = parse_toml(path, "name another with --config")
    try:
        return Config.model_validate(data, context={"folder": path.parent})
    except ValidationError as error:
        raise explain(error, Config, path) from None


def with_strategy(config: Config, strategy: str) -> Config:
    """Return the estate with another DR strategy, `pilot-light` or `cold`; with "" the declared one."""
    if not strategy:
        return config
    dr = config.sites.dr.model_copy(update={"strategy": strategy})
    return config.model_copy(update={"sites": config.sites.model_copy(update={"dr": dr})})
