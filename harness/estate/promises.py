"""Parser of `features/budgets.toml`: all RTO and RPO budgets."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from harness.core.errors import UsageError
from harness.core.judge import Promise
from harness.declaration import Table
from harness.estate.mistakes import explain, nearest, parse_toml
from harness.estate.substrates import LABELS
from harness.parts.places import FILES

BUDGETS = "features/budgets.toml"


MAX_SECONDS = 3_155_760_000  # seconds
MOST_FILES = 1_000_000
Positive = Annotated[float, Field(gt=0, le=MAX_SECONDS, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, strict=True)]
Files = Annotated[int, Field(ge=0, le=MOST_FILES, strict=True)]


class SubstrateBudgets(Table):
    """Budgets of a promise on another substrate, times in seconds; an omitted one is inherited from the promise."""

    rto_s: Positive | None = None
    rpo_s: Seconds | None = None
    missing_files: Files | None = None


class PromiseTable(Table):
    """One promise, in seconds. Its budgets on other substrates are tables within, by the label of the substrate."""

    rto_s: Positive
    rpo_s: Seconds
    exposure_s: Positive
    owner: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]
    missing_files: Files = 0


def load_promises(path: Path, substrate: str = "embedded") -> dict[str, Promise]:
    """Return the promises of `budgets.toml` by name, with their budgets on that substrate; raises UsageError."""
    promises = {}
    for name, row in parse_toml(path, f"promises are declared in that file; example: {FILES / BUDGETS}").items():
        if not isinstance(row, dict):
            raise UsageError(f"{path}: {name}: must be a table")
        try:
            others = {label: SubstrateBudgets.model_validate(row.pop(label)) for label in LABELS if label in row}
            table = PromiseTable.model_validate(row)
        except ValidationError as error:
            raise explain(error, PromiseTable, Path(f"{path}: {name}"), {}) from None
        there = others.get(substrate, SubstrateBudgets())
        own = (there.rto_s or table.rto_s, table.rpo_s if there.rpo_s is None else there.rpo_s, table.exposure_s)
        rto, rpo, exposure = (timedelta(seconds=seconds) for seconds in own)
        files = table.missing_files if there.missing_files is None else there.missing_files
        promises[name] = Promise(name, rto, rpo, exposure, table.owner, table.reason, files)
    return promises


def promise_named(promises: dict[str, Promise], name: str) -> Promise:
    """Return one promise; raises UsageError with the nearest name for an unknown name."""
    if name not in promises:
        raise UsageError(f"no promise {name!r} in budgets.toml{nearest(name, promises)}")
    return promises[name]
