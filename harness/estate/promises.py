"""Promises: `features/budgets.toml`, in which every RTO and RPO budget stands once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from harness.core.budget import Promise
from harness.core.errors import UsageError
from harness.estate.config import explain, nearest, parse_toml
from harness.estate.existing_config import Table


class Otherwise(Table):
    """What a promise says on another substrate, in seconds; what is left out stays."""

    rto_s: Annotated[float, Field(gt=0)] | None = None
    rpo_s: Annotated[float, Field(ge=0)] | None = None


class PromiseTable(Table):
    """One promise of `budgets.toml`, in seconds; and how it reads on a substrate, by its name in the record."""

    docker: Otherwise = Otherwise()
    kind: Otherwise = Otherwise()
    kind_cold: Annotated[Otherwise, Field(alias="kind, cold")] = Otherwise()
    rto_s: Annotated[float, Field(gt=0)]
    rpo_s: Annotated[float, Field(ge=0)]
    exposure_s: Annotated[float, Field(gt=0)]
    owner: Annotated[str, Field(min_length=1)]
    reason: Annotated[str, Field(min_length=1)]


def load_promises(path: Path, substrate: str = "embedded") -> dict[str, Promise]:
    """Return the promises of `budgets.toml`, by name, as they read on that substrate; raises UsageError."""
    promises = {}
    for name, row in parse_toml(path).items():
        try:
            table = PromiseTable.model_validate(row)
        except ValidationError as error:
            raise explain(error, PromiseTable, Path(f"{path}: {name}")) from None
        there = {"docker": table.docker, "kind": table.kind, "kind, cold": table.kind_cold}.get(substrate, Otherwise())
        own = (there.rto_s or table.rto_s, table.rpo_s if there.rpo_s is None else there.rpo_s, table.exposure_s)
        rto, rpo, exposure = (timedelta(seconds=seconds) for seconds in own)
        promises[name] = Promise(name, rto, rpo, exposure, table.owner, table.reason)
    return promises


def promise_named(promises: dict[str, Promise], name: str) -> Promise:
    """Return one promise; raises UsageError that names the nearest."""
    if name not in promises:
        raise UsageError(f"no promise {name!r} in budgets.toml{nearest(name, promises)}")
    return promises[name]
