"""Promise: the RTO and RPO budget of a drill, with owner and reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Promise:
    """A named RTO and RPO budget. `exposure`: largest allowed gap between snapshots of valid backups."""

    name: str
    rto: timedelta
    rpo: timedelta
    exposure: timedelta
    owner: str
    reason: str
