"""A promise: how long recovery may take, how much acknowledged work may be lost, and who says so."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Promise:
    """A named RTO and RPO budget. `exposure`: the largest gap between snapshots of valid backups."""

    name: str
    rto: timedelta
    rpo: timedelta
    exposure: timedelta
    owner: str
    reason: str
