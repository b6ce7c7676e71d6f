"""`estate.toml` and `budgets.toml`, parsed once at the edge; an unknown key is an error that names the nearest one."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from apscheduler.triggers.cron import CronTrigger
from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

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


Reference = Annotated[str, AfterValidator(reference)]


class EstateTable(Table):
    """What the estate is called, and its public name."""

    name: Name
    zone: str
    host: str = "www"


class BackupTable(Table):
    """When backups are taken and who hears of a failure."""

    schedule: Annotated[str, AfterValidator(cron)] = "0 15 2 * * *"
    alerts: tuple[Reference, ...] = ()


class DataTable(Table):
    """How much data the example estate holds."""

    bulk_mb: Annotated[int, Field(ge=0, le=100_000)] = 200


class SiteTable(Table):
    """One site: the address at its edge, and of the DR site how much of it stands before a disaster."""

    edge: str
    strategy: Literal["pilot-light", "cold"] = "pilot-light"


class SitesTable(Table):
    """The two sites."""

    primary: SiteTable
    dr: SiteTable


class KeyTable(Table):
    """A key function: a request through the front door and what must come back."""

    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    path: str
    json_body: Annotated[Any, Field(alias="json")] = None
    headers: dict[str, str] = Field(default_factory=dict)
    status: int = 200
    contains: str = ""


class ServiceTable(Table):
    """A service. `target` belongs to kind `notification`; all else but `kind` and `needs` to kind `http`."""

    kind: Literal["odoo", "n8n", "gateway", "notification", "http"]
    needs: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
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
    """The whole of `estate.toml`."""

    estate: EstateTable
    backup: BackupTable = BackupTable()
    data: DataTable = DataTable()
    sites: SitesTable
    services: dict[Name, ServiceTable]
    existing: ExistingTable | None = None

    @property
    def public_name(self) -> str:
        """The name that clients use."""
        return f"{self.estate.host}.{self.estate.zone}"

    @model_validator(mode="after")
    def needs_are_known(self) -> Config:
        """Refuse a need that is not a service."""
        for name, table in self.services.items():
            for need in table.needs:
                if need not in self.services:
                    raise ValueError(f"services.{name}.needs: no service {need!r}{nearest(need, self.services)}")
        return self


def nearest(word: str, known: Any) -> str:
    """Return `; did you mean 'x'?` for the nearest of `known`, or an empty string."""
    close = difflib.get_close_matches(word, [str(k) for k in known], n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def explain(error: ValidationError, model: type[BaseModel], path: Path) -> UsageError:
    """Return pydantic's first complaint as one line that names file, key and remedy."""
    first = error.errors()[0]
    where = [str(part) for part in first["loc"]]
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = known_keys(model, where[:-1])
        reason = f"unknown key{nearest(where[-1], known)}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return UsageError(f"{path}: {'.'.join(where) or 'file'}: {reason}{more}")


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


def parse_toml(path: Path) -> dict[str, Any]:
    """Return the parsed file; raises UsageError with file and line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name another with --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None


def load_config(path: Path) -> Config:
    """Return the estate that `path` declares; raises UsageError."""
    data = parse_toml(path)
    try:
        return Config.model_validate(data, context={"folder": path.parent})
    except ValidationError as error:
        raise explain(error, Config, path) from None


def with_strategy(config: Config, strategy: str) -> Config:
    """Return the estate with another DR strategy, `pilot-light` or `cold`; "" leaves it as declared."""
    if not strategy:
        return config
    dr = config.sites.dr.model_copy(update={"strategy": strategy})
    return config.model_copy(update={"sites": config.sites.model_copy(update={"dr": dr})})
