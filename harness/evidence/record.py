"""Message 2.9: builds the record of a drill or a restore test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from harness.core.journal import END
from harness.core.judge import Phase
from harness.core.record import SeenMessage
from harness.core.sequence import MESSAGES

if TYPE_CHECKING:
    from harness.core.budget import Promise
    from harness.core.journal import Event

DUE = timedelta(days=14)  # by when a finding of a drill is to be mended


@dataclass(frozen=True, slots=True)
class Paper:
    """What a record says that no measurement tells."""

    initiator: str
    approver: str
    commit: str
    hashes: Mapping[str, str]
    versions: Mapping[str, str]
    substrate: str = "embedded"
    mode: str = "drill"
    limits: tuple[str, ...] = ()  # what no drill on that substrate can show


def phases_of(events: tuple[Event, ...], fault: float) -> tuple[Phase, ...]:
    """Return the phases after the fault, in seconds from it; detection begins with the fault itself."""
    begun = {"detect": fault}
    phases = []
    for event in events:
        if event.at < fault:
            continue
        if event.kind == "begin":
            begun[event.subject] = event.at
        elif event.kind in (END, "failed") and event.subject in begun:
            phases.append(Phase(event.subject, begun.pop(event.subject) - fault, event.at - fault))
    return tuple(phases)


def seen_messages(events: tuple[Event, ...]) -> tuple[SeenMessage, ...]:
    """Return each message of the mission with the moment at which it was first seen."""
    titles = {message.number: message.title for message in MESSAGES}
    first: dict[str, Event] = {}
    for event in events:
        if event.message in titles:
            first.setdefault(event.message, event)
    begin = events[0].at
    return tuple(
        SeenMessage(n, titles[n], round(e.at - begin, 3), e.wall.isoformat(timespec="milliseconds"))
        for n, e in first.items()
    )


def promise_facts(promise: Promise) -> Mapping[str, str | float]:
    """Return a promise as a record says it, in seconds."""
    return {
        "name": promise.name,
        "rto_s": promise.rto.total_seconds(),
        "rpo_s": promise.rpo.total_seconds(),
        "exposure_s": promise.exposure.total_seconds(),
        "owner": promise.owner,
        "reason": promise.reason,
    }
