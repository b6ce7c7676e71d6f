"""Who was told about the outcome of a drill, and whether it arrived."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """One delivery. `target`: the reference of an apprise URL, `heartbeat` or `textfile`; `reason`: why it failed."""

    target: str
    delivered: bool
    wall: str  # ISO 8601 UTC
    reason: str = ""
