"""The table [notify] of `estate.toml`: who is told about the outcome of drills and restore tests."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, model_validator

from harness.declaration import Reference, Table


def one_or_many(value: object) -> object:
    """Return a single reference as a list of one."""
    return [value] if isinstance(value, str) else value


def in_folder(value: Path, info: ValidationInfo) -> Path:
    """Return a path below the folder of `estate.toml`, unless it is absolute; raises ValueError for another suffix."""
    if value.suffix != ".prom":
        raise ValueError("must end in .prom; the node exporter reads no other file")
    return Path((info.context or {}).get("folder", "."), value).absolute()


References = Annotated[tuple[Reference, ...], BeforeValidator(one_or_many)]


class NotifyTable(Table):
    """References to apprise URLs, by outcome. `kept`: also a refusal that the scenario expects.

    `heartbeat`: reference to a URL that is called after each KEPT; `textfile`: file for Prometheus' node exporter.
    A single reference, or a list, in place of the table stands for `broken` and `unknown`.
    """

    kept: References = ()
    broken: References = ()
    unknown: References = ()
    heartbeat: Reference | None = None
    textfile: Annotated[Path, AfterValidator(in_folder)] | None = None

    @model_validator(mode="before")
    @classmethod
    def short_form(cls, value: Any) -> Any:
        """Return the table that a single reference or a list of references stands for."""
        return {"broken": value, "unknown": value} if isinstance(value, str | list) else value

    def of(self, outcome: str) -> tuple[str, ...]:
        """Return the references for an outcome: `kept`, `broken` or `unknown`; each once."""
        return tuple(dict.fromkeys({"kept": self.kept, "broken": self.broken}.get(outcome, self.unknown)))
