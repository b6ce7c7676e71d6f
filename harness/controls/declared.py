"""Parser of `controls.toml`: intervals of controls, and exceptions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from harness.core.controls import Exempt
from harness.core.errors import UsageError
from harness.declaration import Table
from harness.estate.mistakes import explain, parse_toml

FILE = "controls.toml"
LONGEST = timedelta(days=366)  # an exception is renewed by somebody after that


class ExceptionTable(Table):
    """A table [[exception]]: who puts the findings of a scenario, or of one record, aside, why, and until when."""

    scenario: Annotated[str, Field(min_length=1)]
    by: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    until: date
    record: str = ""


class ControlsTable(Table):
    """All tables of `controls.toml`. `interval_days`: control id -> how old its evidence may be."""

    interval_days: dict[str, Annotated[int, Field(ge=1, le=3660)]] = Field(default_factory=dict)
    exception: tuple[ExceptionTable, ...] = ()


@dataclass(frozen=True, slots=True)
class Declared:
    """What `controls.toml` declares."""

    intervals: Mapping[str, timedelta]
    exempts: tuple[Exempt, ...]


def read_declared(path: Path | None, default: Path, now: datetime) -> Declared:
    """Return what a file declares; without one that of `default`, or nothing. Raises UsageError with file and key.

    An exception that ends more than a year after `now` does not expire, and is refused.
    """
    if path is None and not default.is_file():
        return Declared({}, ())
    file = path or default
    data = parse_toml(file, "name another with --file")
    try:
        table = ControlsTable.model_validate(data)
    except ValidationError as error:
        raise explain(error, ControlsTable, file, data) from None
    for one in table.exception:
        if one.until - now.date() > LONGEST:
            raise UsageError(
                f"{file}: exception of {one.scenario!r}: until {one.until} is more than a year ahead; renew it"
            )
    return Declared(
        {name: timedelta(days=days) for name, days in table.interval_days.items()},
        tuple(Exempt(one.scenario, one.by, one.reason, one.until, one.record) for one in table.exception),
    )
